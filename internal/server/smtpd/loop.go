package smtpd

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"strings"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
	"candor/internal/server/listen"
)

// serve runs the session: it alone owns the socket, and its deadlines, but for the moments in which a
// handler reads content or a login.
func (s *session) serve(ctx context.Context) {
	count := s.server.counters
	count.sessions.Add(1)
	count.open.Add(1)
	defer count.open.Add(-1)
	defer s.end()
	// What was begun is finished while the server drains; ctx ends only the waits between commands.
	work := s.conn.Work()
	s.greet()
	for !s.closing {
		line, err := s.readLine(ctx)
		if err != nil && !mail.IsKind(err, mail.Syntax) {
			s.farewell(ctx, err)
			return
		}
		s.write(s.answer(work, line, err))
	}
	s.conn.Flush()
}

// greet says who we are, or that there is no service for this client (RFC 5321, section 3.1).
func (s *session) greet() {
	if s.submission && len(s.server.Clients) > 0 && !within(s.server.Clients, s.conn.Remote().Addr()) {
		s.write(smtp.NewReply(554, "5.7.1", string(s.hostname)+" Not open to your network"))
		s.closing = true
		return
	}
	s.write(smtp.NewReply(220, "", string(s.hostname)+" ESMTP Candor"))
}

// write puts a reply into the buffer. It goes out with those that belong to the same group of
// commands, in one write.
func (s *session) write(r smtp.Reply) {
	if r.Code == 0 {
		return
	}
	s.line = r.AppendTo(s.line[:0])
	s.conn.Write(s.line) // a failure shows at the next read
	if cap(s.line) > 4096 {
		s.line = nil
	}
	if r.Closes() {
		s.closing = true
	}
}

// readLine returns the next command line. Replies are sent before it waits (RFC 2920, section 3.2).
//
// Errors: mail.Syntax for a line that is too long, after which the session goes on; those of the
// connection.
func (s *session) readLine(ctx context.Context) ([]byte, error) {
	s.conn.SetReadTimeout(s.server.Limits.CommandTimeout)
	if s.conn.Buffered() == 0 {
		if err := s.conn.Flush(); err != nil {
			return nil, err
		}
		if err := s.conn.WaitInput(ctx, s.server.Limits.CommandTimeout); err != nil {
			return nil, err
		}
	}
	here, err := s.conn.Peek()
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(here, '\n') < 0 {
		if err := s.conn.Flush(); err != nil {
			return nil, err
		}
	}
	limit, tooLong := s.server.Limits.CommandLine, mail.Errorf(mail.Syntax, "Line too long")
	if beginsAuth(here) {
		limit, tooLong = s.server.Limits.AuthLine, authLineTooLong()
	}
	line, err := s.conn.ReadLine(limit)
	if errors.Is(err, listen.ErrLineTooLong) {
		return nil, tooLong
	}
	return line, err
}

const authVerb = "AUTH"

// beginsAuth reports whether what is here may be an AUTH command, whose line may be long, however it is spaced. No other
// verb begins with its first letter.
func beginsAuth(here []byte) bool {
	here = bytes.TrimLeft(here, blanks)
	n := min(len(here), len(authVerb))
	return strings.EqualFold(string(here[:n]), authVerb[:n]) && (n == len(here) || bytes.IndexByte([]byte(blanks+"\r\n"), here[n]) >= 0)
}

// answer runs one command line and returns what is to be said. A panic is a bug of ours: it ends this
// session and no other.
func (s *session) answer(ctx context.Context, line []byte, tooLong error) (reply smtp.Reply) {
	defer func() {
		if p := recover(); p != nil {
			s.server.counters.panics.Add(1)
			s.log.Error("panic", "panic", p, "stack", string(debug.Stack()))
			reply = smtp.NewReply(421, "4.3.0", string(s.hostname)+" Internal error, closing")
		}
	}()
	verb, reply, err := s.run(ctx, line, tooLong)
	if err != nil {
		reply = smtp.ReplyFor(err)
		s.refused(verb, reply, err)
	}
	return s.countBad(reply, err)
}

// commandEffort is what a command costs, in octets that take as long to move.
const commandEffort = 4 << 10

// run finds the row of a line, and runs it. verb is for the log; it is empty for an unknown one.
func (s *session) run(ctx context.Context, line []byte, tooLong error) (verb string, _ smtp.Reply, _ error) {
	if tooLong != nil {
		return "", smtp.Reply{}, tooLong
	}
	if beginsAuth(line) && !s.mayLogIn() {
		s.overheard(line)
		line = []byte(authVerb + "\r\n")
	}
	l, err := smtp.ParseLine(line)
	if err != nil {
		return "", smtp.Reply{}, err
	}
	c, ok := commands[l.Verb]
	if !ok && s.submission && s.conn.NeedsTLS() {
		return "", smtp.Reply{}, encryptionFirst()
	}
	if !ok {
		_, err := l.Command()
		return "", smtp.Reply{}, err
	}
	s.conn.Spend(ctx, commandEffort)
	refusal := s.permit(c)
	if refusal != nil && c.flags&hasContent == 0 {
		return c.verb, smtp.Reply{}, refusal
	}
	cmd, err := l.Command()
	if err != nil {
		// Where the content ends is not known then: what follows must not be read as commands.
		s.closing = s.closing || c.flags&hasContent != 0
		return c.verb, smtp.Reply{}, err
	}
	if refusal != nil {
		return c.verb, smtp.Reply{}, s.dropContent(ctx, cmd, refusal)
	}
	reply, err := c.handler(s, ctx, cmd)
	return c.verb, reply, err
}

// countBad ends a session that makes nothing but errors: a program that is lost, or one that guesses.
func (s *session) countBad(reply smtp.Reply, err error) smtp.Reply {
	if !isBad(err) {
		if reply.Class() == 2 || reply.Class() == 3 {
			s.bad = 0
		}
		return reply
	}
	s.bad++
	limit := s.server.Limits.BadCommands
	if s.submission && s.account == nil && !s.trusted {
		limit = s.server.Limits.BadCommandsBeforeLogin
	}
	if s.bad < limit {
		return reply
	}
	return smtp.NewReply(421, "4.7.0", string(s.hostname)+" Too many errors, closing")
}

// isBad reports whether err says that a command was wrong, rather than what it asked for.
func isBad(err error) bool {
	if err == nil {
		return false
	}
	switch mail.AsError(err).Kind {
	case mail.Syntax, mail.Sequence, mail.Unsupported, mail.NeedTLS, mail.AuthNeeded:
		return true
	}
	return false
}

// farewell says why the session ends, where someone may still listen.
func (s *session) farewell(ctx context.Context, err error) {
	if ctx.Err() != nil {
		s.write(smtp.NewReply(421, "4.3.2", string(s.hostname)+" Shutting down"))
	} else {
		s.write(s.lastWords(err))
	}
	s.conn.Flush()
}

// lastWords are said after an error of the connection; none where nobody listens any more.
func (s *session) lastWords(err error) smtp.Reply {
	switch {
	case errors.Is(err, listen.ErrTimeout):
		return smtp.NewReply(421, "4.4.2", string(s.hostname)+" Timed out")
	case errors.Is(err, listen.ErrTooSlow):
		return smtp.NewReply(421, "4.4.2", string(s.hostname)+" Too slow")
	case errors.Is(err, listen.ErrNoMemory):
		return smtp.NewReply(421, "4.3.1", string(s.hostname)+" Out of memory for this, try again later")
	}
	return smtp.Reply{}
}

// end drops what is left and writes the session's line to the log.
func (s *session) end() {
	s.resetTransaction()
	t := s.transport()
	attrs := []slog.Attr{slog.Int("messages", s.messages)}
	if s.account != nil {
		attrs = append(attrs, slog.String("user", s.account.Address.String()))
	}
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "session end", append(attrs, t.Attrs()...)...)
}

// isOurs reports whether err is a failure of this server rather than a judgement on the peer.
func isOurs(err error) bool {
	k := mail.AsError(err).Kind
	return k == mail.Internal || k == mail.Unavailable
}

// refused logs what a refusal means: a cause of ours is an error, a policy is told, mistakes of the
// peer are only counted.
func (s *session) refused(verb string, reply smtp.Reply, err error) {
	switch {
	case isOurs(err):
		s.log.Error("command failed", "command", verb, "reply", reply.String(), "err", err)
	case !isBad(err):
		s.log.Info("command refused", "command", verb, "reply", reply.String(), "err", err)
	}
}
