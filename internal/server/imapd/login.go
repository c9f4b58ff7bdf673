package imapd

import (
	"context"
	"log/slog"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/store/directory"
	"candor/internal/store/mailbox"
)

// loginMethod is LOGIN in the log and for the verifier.
const loginMethod = directory.IMAPLogin

// login verifies a name and a password. RFC 9051, section 6.2.3.
func (s *session) login(ctx context.Context, a imap.Login) (imap.Response, error) {
	defer clear(a.Password)
	proof, ok := s.conn.Encrypted()
	if !ok {
		return imap.Response{}, mail.Errorf(mail.NeedTLS, "TLS required first")
	}
	began := time.Now()
	account, err := s.server.directory.Login(ctx, proof, s.attempt(loginMethod, false), a.User, a.Password)
	s.conn.Excuse(began)
	if err != nil {
		return imap.Response{}, s.failedLogin(loginMethod, a.User, err)
	}
	return s.welcome(ctx, loginMethod, "none", account)
}

// loginHidden refuses a LOGIN that is not offered to this client, before it is asked for a literal.
func (s *session) loginHidden(ctx context.Context) error {
	attempt := s.attempt(loginMethod, false)
	if !s.server.directory.Hidden(attempt) {
		return nil
	}
	return s.failedLogin(loginMethod, "", s.server.directory.NotOffered(ctx, attempt, ""))
}

func (s *session) attempt(mechanism string, initial bool) directory.Attempt {
	return directory.Attempt{Service: directory.IMAP, Mechanism: mechanism, Initial: initial, Peer: s.conn.Peer(), Program: s.program}
}

// welcome begins the authenticated state. The binding is that of the login to the TLS channel.
func (s *session) welcome(ctx context.Context, method, binding string, a directory.Account) (imap.Response, error) {
	account, err := s.server.mailboxes.Account(ctx, a.ID)
	if err != nil {
		return imap.Response{}, err
	}
	if err := s.count(account); err != nil {
		s.denied(method, a.Address.String(), "connections")
		return imap.Response{}, err
	}
	s.account, s.owner, s.user, s.method = account, a.ID, a.Address.String(), method
	s.conn.Authenticated()
	s.server.stats.logins.Add(1)
	s.logLogin(slog.LevelInfo, "login ok", slog.String("user", s.user), slog.String("method", method), slog.String("cb", binding))
	s.alert(ctx)
	return imap.Response{Code: "CAPABILITY " + s.capabilities(), Text: "Logged in"}, nil
}

// alert tells the owner of a password that crossed the network in clear, where that can be read by nobody else
// (RFC 9051, section 7.1).
func (s *session) alert(ctx context.Context) {
	if !s.conn.UnderTLS() {
		return
	}
	if text := s.server.directory.Alert(ctx, s.owner); text != "" {
		s.sendf("* OK [ALERT] %s", text)
	}
}

// count takes one of the account's connections, unless the client is in an exempt network. Errors: TooMany.
func (s *session) count(a *mailbox.Account) (err error) {
	if !s.conn.Exempt() {
		s.uncount, err = a.Session(s.server.limits.Connections)
	}
	return err
}

// failedLogin logs a refusal and returns the error to answer with, which says the same whatever
// was wrong (specification, R-25). After the last try it says goodbye.
func (s *session) failedLogin(method, user string, err error) error {
	method = directory.Method(method)
	switch {
	case mail.IsKind(err, mail.AuthFailed):
		s.denied(method, user, directory.Reason(err))
		if s.tries++; s.tries >= s.server.limits.AuthTries {
			s.bye("Too many failed logins")
		}
		return mail.Wrap(mail.AuthFailed, err, "Authentication failed")
	case mail.IsKind(err, mail.TooMany):
		s.denied(method, user, directory.Reason(err))
		s.bye("Too many failed logins")
	case mail.IsKind(err, mail.Unsupported):
		s.denied(method, user, directory.Reason(err))
		return mail.Wrap(mail.Unsupported, err, "Mechanism not offered")
	case mail.IsKind(err, mail.Unavailable):
		s.denied(method, user, "unavailable")
		return mail.Wrap(mail.Unavailable, err, "Temporary authentication failure")
	case directory.Reason(err) != "": // the client gave up when it was told of its refusal
		s.denied(method, user, directory.Reason(err))
	}
	return err
}

// denied counts and logs a login that was refused.
func (s *session) denied(method, user, reason string) {
	s.server.stats.denied.Add(1)
	s.logLogin(slog.LevelWarn, "login deny", slog.String("user", loggable(user)), slog.String("method", method), slog.String("reason", reason))
}

// loggable is as much of a name as the log takes; the longest address has 254 octets.
func loggable(name string) string { return name[:min(len(name), 254)] }

// logLogin logs an attempt with the keys of the specification, sections 1.2 and 1.3.
func (s *session) logLogin(level slog.Level, what string, attrs ...slog.Attr) {
	transport := s.transport()
	attrs = append(append(attrs, s.conn.Attrs()...), transport.Attrs()...)
	s.log.LogAttrs(context.Background(), level, what, attrs...)
}

// transport is the state of the connection with who was proved to be at its other end.
func (s *session) transport() mail.Transport {
	t := s.conn.Transport()
	if s.method != "" {
		t.Peer = "sasl:" + s.method
	}
	return t
}

// overheard notes a login that was tried without encryption, and returns the name in a LOGIN. What becomes of the
// password shows nowhere on the connection (specification, section 2.6).
func (s *session) overheard(c *imap.Command) (user string) {
	args, err := c.ParseLoosely()
	switch a := args.(type) {
	case imap.Login:
		s.server.directory.InClear(s.attempt(loginMethod, false), a.User, a.Password)
		clear(a.Password)
		return a.User
	case imap.Authenticate:
		s.server.directory.InClearSASL(s.attempt(a.Mechanism, a.Initial != nil), a.Initial)
	}
	switch { // a literal was announced that is not invited, or nobody knows what was meant
	case err != nil && c.Name == "LOGIN":
		s.server.directory.InClear(s.attempt(loginMethod, false), "", nil)
	case err != nil:
		s.server.directory.InClear(s.attempt("", false), "", nil)
	}
	return ""
}
