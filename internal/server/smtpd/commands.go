package smtpd

import (
	"context"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
)

// state is where a session stands between two commands. Each is a bit, so that a row of the table can
// name several.
type state uint8

const (
	connected state = 1 << iota // not introduced
	helloed                     // HELO
	greeted                     // EHLO
	mailing                     // MAIL accepted
	addressed                   // and a recipient
	chunking                    // and a chunk of the message

	anyState = connected | helloed | greeted | mailing | addressed | chunking
)

// flags say what a reader would otherwise have to hunt for.
type flags uint8

const (
	beforeTLS   flags = 1 << iota // allowed where TLS is demanded and has not begun
	clearOnly                     // meaningless under TLS
	credential                    // carries a secret: not accepted without encryption, nor on port 25
	beforeLogin                   // allowed once
	needsLogin                    // on submission, from elsewhere than a relay network
	hasContent                    // octets that follow the line belong to it, also when it is refused
)

// handler runs a command whose state and flags were checked. It returns a reply or an error; a reply
// without a code says that nothing is left to be said.
type handler func(s *session, ctx context.Context, cmd smtp.Command) (smtp.Reply, error)

// command is a row of the table.
type command struct {
	verb     string
	states   state
	flags    flags
	handler  handler
	keywords func(*session) []string // what EHLO announces with it
}

// commands drives a session; order is the same for EHLO and HELP, which are derived from it.
var (
	commands map[string]*command
	order    []*command
)

// rows is the table. The comment has the section that defines the command, of RFC 5321 when no other
// RFC is named.
func rows() []*command {
	return []*command{
		{"EHLO", anyState, beforeTLS, handle((*session).ehlo), nil},                                                      // 4.1.1.1
		{"HELO", anyState, beforeTLS, handle((*session).helo), nil},                                                      // 4.1.1.1
		{"STARTTLS", greeted | mailing | addressed, beforeTLS | clearOnly, handle((*session).startTLS), startTLSKeyword}, // RFC 3207, 4
		{"AUTH", greeted, credential | beforeLogin, handle((*session).auth), authKeyword},                                // RFC 4954, 4
		{"MAIL", helloed | greeted, needsLogin, handle((*session).mail), mailKeywords},                                   // 4.1.1.2
		{"RCPT", mailing | addressed, 0, handle((*session).rcpt), rcptKeywords},                                          // 4.1.1.3
		{"DATA", addressed, 0, handle((*session).data), nil},                                                             // 4.1.1.4
		{"BDAT", addressed | chunking, hasContent, handle((*session).bdat), bdatKeywords},                                // RFC 3030, 2
		{"RSET", anyState, beforeTLS, handle((*session).rset), nil},                                                      // 4.1.1.5
		{"NOOP", anyState, beforeTLS, handle((*session).noop), nil},                                                      // 4.1.1.9
		{"QUIT", anyState, beforeTLS, handle((*session).quit), nil},                                                      // 4.1.1.10
		{"VRFY", anyState, 0, handle((*session).vrfy), nil},                                                              // 4.1.1.6
		{"EXPN", anyState, 0, handle((*session).expn), nil},                                                              // 4.1.1.7
		{"HELP", anyState, 0, handle((*session).help), nil},                                                              // 4.1.1.8
	}
}

// The table is filled in here because the handlers of EHLO and HELP read it.
func init() {
	commands, order = map[string]*command{}, rows()
	for _, c := range order {
		commands[c.verb] = c
	}
}

// handle makes a handler of a method with a typed argument.
func handle[C smtp.Command](f func(*session, context.Context, C) (smtp.Reply, error)) handler {
	return func(s *session, ctx context.Context, cmd smtp.Command) (smtp.Reply, error) {
		return f(s, ctx, cmd.(C))
	}
}

// permit checks a row's flags and states. Encryption comes first: nothing else is told to a program
// whose next step may be to send a secret.
func (s *session) permit(c *command) error {
	if c.flags&credential != 0 && !s.submission {
		return mail.Errorf(mail.Unsupported, "No login on this port: use 465 (SSL/TLS) or 587 (STARTTLS)")
	}
	if c.flags&credential != 0 && !s.mayLogIn() {
		return mail.Errorf(mail.NeedTLS, "Not accepted without encryption. If a password was just sent, it may have been read by others. See %s", s.server.helpURL())
	}
	if s.conn.NeedsTLS() {
		return s.permitInClear(c)
	}
	if c.flags&clearOnly != 0 && s.conn.UnderTLS() {
		return mail.Errorf(mail.Sequence, "TLS is already active")
	}
	if c.states&s.state == 0 {
		return outOfOrder(c.verb, s.state)
	}
	if c.flags&beforeLogin != 0 && s.account != nil {
		return mail.Errorf(mail.Sequence, "Already logged in")
	}
	if c.flags&needsLogin != 0 && s.submission && s.account == nil && !s.trusted {
		return mail.Errorf(mail.AuthNeeded, "Authentication required")
	}
	return nil
}

// permitInClear is permit where TLS is demanded and has not begun.
func (s *session) permitInClear(c *command) error {
	switch {
	case c.flags&beforeTLS == 0 && s.submission:
		return encryptionFirst()
	case c.flags&beforeTLS == 0:
		return mail.Errorf(mail.NeedTLS, "Must issue a STARTTLS command first").With(5, 7, 0)
	case c.states&s.state == 0:
		return outOfOrder(c.verb, s.state)
	}
	return nil
}

// encryptionFirst is R-01.
func encryptionFirst() *mail.Error {
	return mail.Errorf(mail.NeedTLS, "Encryption required first: set connection security to STARTTLS (587) or SSL/TLS (465)").With(5, 7, 0)
}

// outOfOrder says what is missing (RFC 5321, section 4.1.4).
func outOfOrder(verb string, s state) error {
	text := "Not now: finish or RSET the transaction first"
	switch {
	case s == connected, s == helloed:
		text = "Say EHLO first"
	case s == greeted:
		text = "Say MAIL first"
	case s == mailing && (verb == "DATA" || verb == "BDAT"):
		text = "No valid recipients"
	}
	return mail.Errorf(mail.Sequence, "%s", text)
}
