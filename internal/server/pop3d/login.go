package pop3d

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
	"candor/internal/store/directory"
)

// user takes the name to log in with. Every name is accepted, so that none can be tried out.
// RFC 1939, section 7.
func (s *session) user(ctx context.Context, args arguments) (reply, error) {
	if len(args) == 0 {
		return reply{}, mail.Errorf(mail.Syntax, "a name is expected")
	}
	if attempt := s.attempt(directory.POP3User, false); s.server.Directory.Hidden(attempt) {
		err := s.server.Directory.NotOffered(ctx, attempt, string(args))
		s.notOffered(string(args), directory.POP3User, err)
		return reply{}, mail.Wrap(mail.Unsupported, err, "USER is not offered; use AUTH")
	}
	s.login = string(args)
	return ok("Password please"), nil
}

func (s *session) userCapability() string {
	if s.server.Directory.Hidden(s.attempt(directory.POP3User, false)) {
		return ""
	}
	return "USER"
}

// pass logs in with the name of USER. The password is all that follows the space. RFC 1939, section 7.
func (s *session) pass(ctx context.Context, args arguments) (reply, error) {
	if s.login == "" {
		return reply{}, mail.Errorf(mail.Sequence, "USER first")
	}
	defer clear(args)
	login := s.login
	s.login = ""
	proof, _ := s.conn.Encrypted()
	attempt := s.attempt(directory.POP3User, false)
	began := time.Now()
	account, err := s.server.Directory.Login(ctx, proof, attempt, login, args)
	s.conn.Excuse(began)
	if err != nil {
		return reply{}, s.denied(login, attempt.Mechanism, err)
	}
	return s.enter(ctx, account, attempt.Mechanism, "none")
}

// apop is never offered: it needs passwords kept in clear.
func (s *session) apop(ctx context.Context, args arguments) (reply, error) {
	name, _ := split(args)
	err := s.server.Directory.NotOffered(ctx, s.attempt("APOP", true), string(name))
	s.notOffered(string(name), "APOP", err)
	return reply{}, mail.Wrap(mail.Unsupported, err, "APOP is not offered; use USER or AUTH")
}

// notOffered counts and logs a login by a mechanism that is not offered. It is no try at a password.
func (s *session) notOffered(login, mechanism string, err error) {
	s.server.stats.loginFailures.Add(1)
	s.log(slog.LevelWarn, "login deny", slog.String("user", loggable(login)), slog.String("method", directory.Method(mechanism)),
		slog.String("reason", directory.Reason(err)))
}

func (s *session) attempt(mechanism string, initial bool) directory.Attempt {
	return directory.Attempt{Service: directory.POP3, Mechanism: mechanism, Initial: initial, Peer: s.conn.Peer()}
}

// denied logs a failed login and says how to answer it: R-33.
func (s *session) denied(login, mechanism string, err error) error {
	s.server.stats.loginFailures.Add(1)
	kind := mail.AsError(err).Kind
	s.log(slog.LevelWarn, "login deny", slog.String("user", loggable(login)), slog.String("method", directory.Method(mechanism)),
		slog.String("reason", cmp.Or(directory.Reason(err), kind.String())), slog.Any("err", err))
	switch kind {
	case mail.TooMany:
		s.ended = "throttled"
		return mail.Wrap(mail.TooMany, err, "Too many failed logins")
	case mail.Unavailable, mail.Internal:
		return mail.Wrap(mail.Unavailable, err, "Temporary authentication failure")
	}
	if s.tries++; s.tries >= s.server.Limits.AuthTries {
		s.ended = "login-tries"
	}
	return err
}

// enter opens the maildrop of an account that has logged in. The binding is that of the login to the TLS channel.
func (s *session) enter(ctx context.Context, account directory.Account, mechanism, binding string) (reply, error) {
	s.account = account
	s.server.stats.logins.Add(1)
	s.log(slog.LevelInfo, "login ok", slog.String("user", account.Address.String()), slog.String("method", mechanism), slog.String("cb", binding))
	if err := s.maildrop.open(ctx, s.server.Mailboxes, account.ID); err != nil {
		return reply{}, err
	}
	s.conn.Authenticated()
	s.state = transaction
	return ok("Logged in"), nil
}

// overhear reports whether a line that came before TLS is part of a login, however it is spaced and ended; it counts and
// logs that. The name may be logged, a password never, and what becomes of it shows nowhere on the connection
// (specification, section 2.6).
func (s *session) overhear(line []byte) bool {
	word, args := cutBlank(bytes.TrimLeft(bytes.TrimRight(line, "\r\n"), blanks))
	switch strings.ToUpper(string(word)) {
	case "USER":
		s.overheard = string(args)
		s.server.Directory.InClear(s.attempt(directory.POP3User, false), s.overheard, nil)
		s.noteClear("POP3-USER", s.overheard)
	case "PASS": // sent without waiting for the refusal of USER
		s.server.Directory.InClear(s.attempt(directory.POP3User, false), s.overheard, args)
		clear(args)
		s.overheard = ""
		s.noteClear("POP3-PASS", "")
	case "APOP":
		login, _ := cutBlank(args)
		s.server.Directory.InClear(s.attempt("APOP", true), string(login), nil)
		s.noteClear("POP3-APOP", string(login))
	case "AUTH":
		mechanism, text := cutBlank(bytes.Trim(args, blanks))
		text = bytes.TrimLeft(text, blanks)
		a := s.attempt(strings.ToUpper(loggable(string(mechanism))), len(text) > 0)
		initial, _ := sasl.DecodeInitial(text)
		clear(text)
		s.server.Directory.InClearSASL(a, initial)
		s.noteClear(a.Mechanism, "")
	default:
		return false
	}
	return true
}

// blanks are what may stand between the words of a login that was overheard; between those of others it is one space.
const blanks = " \t"

// cutBlank takes text apart at its first blank.
func cutBlank(text []byte) (before, after []byte) {
	if i := bytes.IndexAny(text, blanks); i >= 0 {
		return text[:i], text[i+1:]
	}
	return text, nil
}

func (s *session) noteClear(method, login string) {
	s.server.stats.clearCredentials.Add(1)
	s.conn.NoteClearLogin(login)
	s.log(slog.LevelWarn, "login deny", slog.String("user", loggable(login)), slog.String("method", method), slog.String("reason", "cleartext-credential"))
}

// loggable is as much of a name, of whatever, as the log takes; the longest address has 254 octets.
func loggable(login string) string { return login[:min(len(login), 254)] }
