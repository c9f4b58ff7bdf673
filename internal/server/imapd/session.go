package imapd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/server/listen"
	"candor/internal/store/mailbox"
)

// The waits of a session (specification, section 2.10). What a client sends once it has begun to
// send comes within lineTimeout; what is written to it is taken within writeTimeout.
const (
	lineTimeout  = 5 * time.Minute
	writeTimeout = 5 * time.Minute
)

// session lives as long as the connection. What CLOSE or a failed SELECT drops is in selected.
type session struct {
	server *Server
	conn   *listen.Conn
	reader *imap.Reader
	log    *slog.Logger

	user     string         // as logged in
	method   string         // by which
	program  string         // as the client calls itself in ID
	owner    mail.AccountID // of account
	account  *mailbox.Account
	uncount  func() // gives the account's connection back; nil: not counted
	selected *selected

	rev2      bool // ENABLE IMAP4rev2
	accepts   bool // ENABLE UTF8=ACCEPT (RFC 9755)
	condStore bool // RFC 7162, section 3.1
	qresync   bool // ENABLE QRESYNC; condStore, too

	tag          string  // of the command under way
	replied      bool    // its tagged response is sent already, as STARTTLS does
	untold       error   // why not all changes could be told at its end; waits for the reply
	bad          int     // commands answered BAD, in a row
	tries        int     // logins refused
	ended        bool    // nothing more is to be said
	goodbye      string  // why the session ended, for the log
	broken       error   // of writing to the client; what only writes may end
	reserved     int64   // octets of the server's memory, for the command under way
	kept         int64   // of which its parts do not share these
	reservations []int64 // of which it is made up
	scratch      []byte  // for rendering; empty, and given up while waiting

	closing <-chan struct{} // closed when the server shuts down
}

func newSession(s *Server, c *listen.Conn) *session {
	c.SetReadTimeout(lineTimeout)
	c.SetWriteTimeout(writeTimeout)
	return &session{server: s, conn: c, reader: imap.NewReader(c), log: s.log}
}

// mayLogIn reports whether a login may be taken: under TLS, or by an exception.
func (s *session) mayLogIn() bool {
	_, ok := s.conn.Encrypted()
	return ok
}

func (s *session) state() states {
	switch {
	case s.selected != nil:
		return selecting
	case s.account != nil:
		return authenticated
	}
	return notAuthenticated
}

// utf8 reports whether the client takes UTF-8 in quoted strings, mailbox names and headers.
func (s *session) utf8() bool { return s.rev2 || s.accepts }

// style is how strings are rendered for the client.
func (s *session) style() imap.Style {
	if s.utf8() {
		return imap.Rev2
	}
	return imap.Rev1
}

// send writes b, which was appended to scratch, and takes its memory back. A failure is kept in
// broken, and shows at the next Flush.
func (s *session) send(b []byte) {
	if _, err := s.conn.Write(b); err != nil {
		s.broken = lost(err)
	}
	s.scratch = b[:0]
}

func (s *session) sendf(format string, args ...any) {
	s.send(append(fmt.Appendf(s.scratch, format, args...), "\r\n"...))
}

// serve is the session's loop: it owns the socket, reads commands, writes replies and recovers a panic.
func (s *session) serve(ctx context.Context) {
	defer s.leave()
	defer s.recoverPanic()
	s.closing = ctx.Done()
	s.sendf("* OK [CAPABILITY %s] %s Candor ready", s.capabilities(), s.conn.Listener().Hostname)
	for !s.ended {
		err := s.wait(ctx)
		if err == nil {
			err = s.next(s.conn.Work())
		}
		if err != nil {
			s.end(err)
			return
		}
	}
	s.conn.Flush()
}

// wait sends what is pending and waits for the next command, holding no buffers, unless the client
// has sent it already.
func (s *session) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return errShutdown
	}
	if s.conn.Buffered() > 0 {
		return nil
	}
	if err := s.conn.Flush(); err != nil {
		return err
	}
	s.scratch = nil
	s.reader.Release()
	err := s.conn.WaitInput(ctx, s.server.limits.Idle)
	if err != nil && ctx.Err() != nil {
		return errShutdown
	}
	return err
}

func (s *session) readLimits(ctx context.Context) imap.Limits {
	l := &s.server.limits
	if s.account == nil {
		return imap.Limits{Line: l.StrangerLine, Literals: l.StrangerLiterals}
	}
	return imap.Limits{Line: l.Line, Literals: l.Literals, Reserve: func(n int64) error {
		if n <= smallLiterals {
			return nil
		}
		return s.reserve(ctx, 2*n)
	}}
}

// invite asks for a synchronising literal of a command that may go on (RFC 9051, section 4.3).
func (s *session) invite(ctx context.Context, c imap.Command) error {
	if _, err := s.find(c); err != nil {
		return err
	}
	if c.Name == "LOGIN" {
		if err := s.loginHidden(ctx); err != nil {
			return err
		}
	}
	return s.goAhead("+ Ready for literal data\r\n")
}

// goAhead sends a continuation request.
func (s *session) goAhead(line string) error {
	s.conn.WriteString(line)
	return s.conn.Flush()
}

// next reads a command, runs it and replies. An error ends the connection.
func (s *session) next(ctx context.Context) error {
	defer s.giveBack()
	c, err := s.reader.Next(s.readLimits(ctx), func(c imap.Command) error { return s.invite(ctx, c) })
	s.tag = c.Tag
	s.server.stats.commands.Add(1)
	var r imap.Response
	switch {
	case err == nil:
		r, err = s.run(ctx, c)
	case errors.Is(err, listen.ErrLineTooLong):
		err = mail.Errorf(mail.Syntax, "Line is too long")
	case !understood(err):
		return lost(err)
	case !s.mayLogIn() && carriesPassword(c) && mail.IsKind(err, mail.Syntax):
		err = s.needTLS(commandsByName[c.Name], c)
	}
	if err != nil {
		if r, err = s.refusal(c, err); err != nil {
			return err
		}
	}
	if s.replied {
		s.replied = false
		return nil
	}
	s.knownUpTo(&r)
	if r.Text == "" {
		r.Text = c.Name + " completed"
	}
	s.reply(r)
	return s.admit(c)
}

// admit tells the client of a failure that came after its command was done. One of the connection comes back; after
// any other the next command catches up (RFC 9051, section 7.1.2).
func (s *session) admit(c imap.Command) error {
	if s.untold == nil {
		return nil
	}
	r, err := s.refusal(c, s.untold)
	s.untold = nil
	if err == nil {
		s.send(r.Append(s.scratch, "*"))
	}
	return err
}

// run finds the command's row, parses its arguments and calls its handler. Afterwards the client
// hears what has changed meanwhile. If that fails, the command is done all the same: a client that gets no
// OK for it would do it again.
func (s *session) run(ctx context.Context, c imap.Command) (imap.Response, error) {
	row, err := s.find(c)
	if err != nil {
		return imap.Response{}, s.refuseMessages(c, err)
	}
	if row.flags&credentials != 0 {
		defer c.Wipe()
	}
	args, err := s.parse(c)
	if err != nil {
		return imap.Response{}, s.refuseMessages(c, err)
	}
	r, err := row.run(s, ctx, args)
	if err != nil {
		return r, err
	}
	if r.Condition != imap.Bad && row.flags&oneMoment == 0 {
		s.untold = s.sync(ctx, mayExpunge(row, args))
	}
	return r, nil
}

// mayExpunge reports whether messages that are gone may be told of at the end of a command. A UID SEARCH by
// numbers tells of none either (RFC 7162, section 3.2.10.2).
func mayExpunge(row *command, args any) bool {
	search, _ := args.(imap.Search)
	return row.flags&keepsNumbers == 0 && !search.Numbers
}

// parse parses the arguments. An APPEND without a literal has none that its grammar could miss.
func (s *session) parse(c imap.Command) (any, error) {
	args, err := c.Parse()
	if err == nil && c.Name == "APPEND" && c.Message == nil {
		err = mail.Errorf(mail.Syntax, "message literal expected")
	}
	return args, err
}

// refuseMessages reads past the messages of an APPEND that fails before its handler, and returns cause.
func (s *session) refuseMessages(c imap.Command, cause error) error {
	if c.Message == nil {
		return cause
	}
	return s.skipMessages(*c.Message, cause)
}

// find returns the command's row, or why it is not allowed now.
func (s *session) find(c imap.Command) (*command, error) {
	row := commandsByName[c.Name]
	if row == nil {
		return nil, mail.Errorf(mail.Syntax, "Unknown command")
	}
	if row.flags&beforeTLS == 0 && !s.mayLogIn() {
		return nil, s.needTLS(row, c)
	}
	if c.Name != "LOGOUT" {
		if err := s.standing(); err != nil {
			return nil, err
		}
	}
	if row.states&s.state() != 0 {
		return row, nil
	}
	switch {
	case s.account == nil:
		return nil, mail.Errorf(mail.AuthNeeded, "Log in first")
	case row.states&selecting != 0:
		return nil, mail.Errorf(mail.Sequence, "Select a mailbox first")
	}
	return nil, mail.Errorf(mail.Sequence, "Not allowed after login")
}

// standing refuses everything, and ends the session, when its account was disabled or removed since the login.
func (s *session) standing() error {
	if s.account == nil || s.server.directory.Enabled(s.owner) {
		return nil
	}
	const text = "This account cannot be used any more"
	s.bye(text)
	return mail.Errorf(mail.Forbidden, text)
}

func carriesPassword(c imap.Command) bool {
	row := commandsByName[c.Name]
	return row != nil && row.flags&credentials != 0
}

// needTLS refuses a command on a connection in clear (specification, R-20 and R-21).
func (s *session) needTLS(row *command, c imap.Command) error {
	if row.flags&credentials == 0 {
		return mail.Errorf(mail.NeedTLS, "TLS required first")
	}
	user := s.overheard(&c)
	s.server.stats.inClear.Add(1)
	s.conn.NoteClearLogin(user)
	method := c.Name
	if method == "LOGIN" {
		method = loginMethod
	}
	s.denied(method, user, "cleartext-credential")
	c.Wipe()
	return mail.Errorf(mail.NeedTLS, "Not accepted without encryption: set SSL/TLS on port 993 (or STARTTLS). "+
		"A password just sent may have been read by others")
}

// refusal translates the error of a command. An error of the connection comes back.
func (s *session) refusal(c imap.Command, err error) (imap.Response, error) {
	if isLost(err) {
		return imap.Response{}, err
	}
	if mail.AsError(err).Kind == mail.Internal {
		s.log.LogAttrs(context.Background(), slog.LevelError, "command failed", append(s.conn.Attrs(),
			slog.String("user", s.user), slog.String("command", c.Name), slog.Any("err", err))...)
	}
	return imap.CodeFor(err), nil
}

// reply writes the response to the command under way. Too many commands in a row that are bad, or come before TLS, end the
// session.
func (s *session) reply(r imap.Response) {
	tag := s.tag
	if tag == "" {
		tag = "*"
	}
	s.send(r.Append(s.scratch, tag))
	switch {
	case r.Condition == imap.Bad:
		s.server.stats.bad.Add(1)
	case r.Code != imap.PrivacyRequired:
		s.bad = 0
		return
	}
	limit := s.server.limits.BadCommands
	if s.account == nil {
		limit = s.server.limits.StrangerBad
	}
	if s.bad++; s.bad >= limit {
		s.bye("Too many bad commands")
	}
}

// bye announces the end of the connection (RFC 9051, section 7.1.5).
func (s *session) bye(text string) {
	s.sendf("* BYE %s", text)
	s.ended, s.goodbye = true, text
}
