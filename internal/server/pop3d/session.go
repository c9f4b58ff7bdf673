package pop3d

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/server/listen"
	"candor/internal/store/directory"
)

// maxWrite is how long a write may wait for the client.
const maxWrite = 5 * time.Minute

// session is a connection's conversation.
type session struct {
	server *Server
	conn   *listen.Conn
	began  time.Time

	state state
	login string // of USER
	// overheard is that of a USER that was refused before TLS.
	overheard string
	utf8      bool // RFC 6856
	account   directory.Account
	tries     int
	bad       int    // commands in a row
	ended     string // why the session is over, for the log; empty: it is not

	maildrop maildrop
	marks    marks // dropped by RSET

	retrieved, removed int
}

func newSession(s *Server, c *listen.Conn) *session {
	return &session{server: s, conn: c, began: time.Now(), state: authorization}
}

// run serves the connection until it ends.
func (s *session) run(ctx context.Context) {
	s.server.stats.sessions.Add(1)
	defer s.end()
	defer s.recover()
	s.conn.SetReadTimeout(s.server.Limits.Idle)
	s.conn.SetWriteTimeout(maxWrite)
	s.say("+OK " + string(s.conn.Listener().Hostname) + " POP3 Candor")
	for s.ended == "" {
		s.next(ctx)
	}
}

// next reads a command and answers it.
func (s *session) next(ctx context.Context) {
	if s.conn.Buffered() == 0 {
		if s.flush(); s.ended != "" {
			return
		}
		if err := s.conn.WaitInput(ctx, s.server.Limits.Idle); err != nil {
			s.lost(ctx, err)
			return
		}
	}
	line, err := s.conn.ReadLine(s.server.Limits.AuthLine)
	if errors.Is(err, listen.ErrLineTooLong) {
		s.refuse(mail.Errorf(mail.Syntax, "line too long"))
		return
	}
	if err != nil {
		s.lost(ctx, err)
		return
	}
	s.answer(s.conn.Work(), line)
}

// answer runs the row of the command.
func (s *session) answer(ctx context.Context, line []byte) {
	cmd, args, err := s.command(line)
	if err != nil {
		s.refuse(err)
		return
	}
	r, err := cmd.run(s, ctx, args)
	if err != nil {
		s.refuse(err)
		return
	}
	s.bad = 0
	s.accept(r)
}

// command finds the row for a line and checks the state.
func (s *session) command(line []byte) (*command, arguments, error) {
	if !s.mayLogIn() && s.overhear(line) {
		return nil, nil, mail.Errorf(mail.NeedTLS, encryptionRequired)
	}
	text, crlf := bytes.CutSuffix(line, []byte("\r\n"))
	if !crlf {
		return nil, nil, mail.Errorf(mail.Syntax, "lines end in CRLF")
	}
	name, args := split(text)
	cmd := lookup(name)
	switch {
	case cmd == nil:
		return nil, nil, mail.Errorf(mail.Unsupported, "unknown command")
	case len(line) > s.server.Limits.Line && cmd.name != "AUTH":
		return nil, nil, mail.Errorf(mail.Syntax, "line too long")
	case cmd.states&s.state == 0:
		return nil, nil, mail.Errorf(mail.Sequence, "not valid in this state")
	case s.state == transaction && !s.server.Directory.Enabled(s.account.ID):
		s.ended = "disabled" // or removed; nothing is deleted at its end
		return nil, nil, mail.Errorf(mail.Forbidden, "This account cannot be used any more")
	}
	return cmd, args, nil
}

// mayLogIn reports whether a login may be taken: under TLS, or by an exception.
func (s *session) mayLogIn() bool {
	_, is := s.conn.Encrypted()
	return is
}

// accept writes a positive reply.
func (s *session) accept(r reply) {
	if r.silent {
		return
	}
	s.say(strings.TrimSuffix("+OK "+r.text, " "))
	if r.lines == nil {
		return
	}
	if err := r.lines(s.conn); err != nil {
		// The client has part of the lines: only the end of the connection can tell it.
		s.log(slog.LevelWarn, "reply broken off", slog.Any("err", err))
		s.ended = "broken-off"
		return
	}
	s.conn.WriteString(".\r\n")
}

// refuse writes a negative reply, and ends a session that has earned too many.
func (s *session) refuse(err error) {
	e := mail.AsError(err)
	if e.Kind == mail.Internal {
		s.log(slog.LevelError, "internal error", slog.Any("err", err))
	}
	s.say("-ERR " + textFor(e))
	if s.ended != "" || e.Kind != mail.Syntax && e.Kind != mail.Unsupported && e.Kind != mail.Sequence && e.Kind != mail.NeedTLS {
		return
	}
	limit := s.server.Limits.BadCommands
	if s.state == authorization {
		limit = s.server.Limits.StrangerBad
	}
	if s.bad++; s.bad >= limit {
		s.leave("bad-commands", "Too many bad commands")
	}
}

// leave ends the session with a last word.
func (s *session) leave(reason, text string) {
	s.say("-ERR " + text)
	s.ended = reason
}

// say writes one line.
func (s *session) say(line string) {
	s.conn.WriteString(line)
	s.conn.WriteString("\r\n")
}

func (s *session) flush() {
	if err := s.conn.Flush(); err != nil {
		s.ended = "write-failed"
	}
}

// lost ends the session after a failed read.
func (s *session) lost(ctx context.Context, err error) {
	switch {
	case errors.Is(err, listen.ErrWrongProtocol):
		s.ended = "wrong-protocol"
	case ctx.Err() != nil:
		s.leave("shutdown", shuttingDown)
	case errors.Is(err, listen.ErrTimeout):
		s.leave("timeout", "[SYS/TEMP] Idle for too long")
	case errors.Is(err, listen.ErrNoMemory):
		s.leave("no-memory", "[SYS/TEMP] Out of memory for this; try again later")
	case errors.Is(err, io.EOF):
		s.ended = "disconnected"
	default:
		s.ended = "read-failed"
	}
}

// recover turns a bug in a handler into the end of this session alone.
func (s *session) recover() {
	if p := recover(); p != nil {
		s.log(slog.LevelError, "panic", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		s.leave("panic", internalError)
	}
}

// end gives the maildrop back and logs the session.
func (s *session) end() {
	s.conn.Flush()
	s.maildrop.close()
	attrs := []slog.Attr{slog.String("reason", s.ended)}
	if s.account.ID != 0 {
		attrs = append(attrs, slog.String("user", s.account.Address.String()),
			slog.Int("retrieved", s.retrieved), slog.Int("removed", s.removed))
	}
	attrs = append(attrs, slog.Duration("lasted", time.Since(s.began)))
	s.log(slog.LevelInfo, "session end", attrs...)
}

// log writes a line with the keys that name the connection and its transport.
func (s *session) log(level slog.Level, message string, attrs ...slog.Attr) {
	t := s.conn.Transport()
	attrs = append(append(attrs, s.conn.Attrs()...), t.Attrs()...)
	s.server.Log.LogAttrs(context.Background(), level, message, attrs...)
}
