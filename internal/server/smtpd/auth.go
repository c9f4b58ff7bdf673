package smtpd

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
	"candor/internal/proto/smtp"
	"candor/internal/server/listen"
	"candor/internal/store/directory"
)

func (s *session) mechanisms() []string { return s.server.Directory.Mechanisms(s.attempt("", false)) }

func (s *session) attempt(mechanism string, initial bool) directory.Attempt {
	return directory.Attempt{Service: directory.Submission, Mechanism: mechanism, Initial: initial, Peer: s.conn.Peer(), Program: s.name}
}

func authKeyword(s *session) []string {
	if !s.submission || s.account != nil || !s.mayLogIn() {
		return nil
	}
	mechanisms := s.mechanisms()
	if len(mechanisms) == 0 {
		return nil
	}
	return []string{"AUTH " + strings.Join(mechanisms, " ")}
}

// authTooLongDetail is that of 5.5.6, which RFC 4954, section 6 registered.
const authTooLongDetail = 6

// authLineTooLong is R-14 (RFC 4954, section 6).
func authLineTooLong() *mail.Error {
	return mail.Errorf(mail.Syntax, "Authentication exchange line too long").With(5, 5, authTooLongDetail)
}

// auth logs an account in. RFC 4954, section 4.
func (s *session) auth(ctx context.Context, cmd smtp.Auth) (smtp.Reply, error) {
	proof, ok := s.conn.Encrypted()
	if !ok {
		return smtp.Reply{}, mail.Errorf(mail.NeedTLS, "Not accepted without encryption")
	}
	x, err := s.server.Directory.StartSASL(ctx, proof, s.attempt(cmd.Mechanism, cmd.Initial != ""))
	if err == nil {
		err = s.exchange(ctx, x, cmd.Initial)
	}
	if err != nil {
		return s.denied(x, cmd.Mechanism, err)
	}
	account, binding := x.Account(), x.Binding()
	if binding != "none" {
		s.conn.Bound()
	}
	s.account, s.mechanism = &account, cmd.Mechanism
	s.conn.Authenticated()
	s.server.counters.logins.Add(1)
	s.logLogin("login ok", slog.String("user", account.Address.String()), slog.String("method", cmd.Mechanism), slog.String("cb", binding))
	return smtp.NewReply(235, "2.7.0", "Authentication successful"), nil
}

// exchange carries challenges and responses until the login is done. Additional data of success goes
// out as a last challenge, which is answered with an empty response (RFC 4954, section 4).
func (s *session) exchange(ctx context.Context, x *directory.Exchange, initial string) error {
	var response []byte
	if initial != "" {
		var err error
		if response, err = sasl.DecodeInitial([]byte(initial)); err != nil {
			return err
		}
	}
	for {
		challenge, done, err := s.next(ctx, x, response)
		if err != nil || done && len(challenge) == 0 {
			return err
		}
		if response, err = s.prompt(challenge); err != nil || done {
			return x.BrokenOff(err)
		}
	}
}

// next takes a step of an exchange. The time to log in does not run meanwhile.
func (s *session) next(ctx context.Context, x *directory.Exchange, response []byte) (challenge []byte, done bool, err error) {
	defer s.conn.Excuse(time.Now())
	return x.Next(ctx, response)
}

// prompt sends a challenge and reads the response to it.
func (s *session) prompt(challenge []byte) ([]byte, error) {
	s.write(smtp.NewReply(334, "", base64.StdEncoding.EncodeToString(challenge)))
	if err := s.conn.Flush(); err != nil {
		return nil, connectionError{err}
	}
	line, err := s.conn.ReadLine(s.server.Limits.AuthLine)
	if errors.Is(err, listen.ErrLineTooLong) {
		return nil, authLineTooLong()
	}
	if err != nil {
		return nil, connectionError{err}
	}
	defer clear(line)
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return nil, mail.Errorf(mail.Syntax, "Bare CR or LF not allowed")
	}
	return sasl.DecodeResponse(text)
}

// connectionError marks an error after which there is nobody to answer.
type connectionError struct{ error }

// denied answers a login that did not succeed. Only refused credentials count as tries.
func (s *session) denied(x *directory.Exchange, mechanism string, err error) (smtp.Reply, error) {
	var broken connectionError
	if errors.As(err, &broken) {
		s.closing = true
		return s.lastWords(broken.error), nil
	}
	s.server.counters.loginsRefused.Add(1)
	s.logDenied(x, mechanism, err)
	if mail.IsKind(err, mail.AuthFailed) {
		return s.wrongCredentials(), nil
	}
	if isOurs(err) {
		s.log.Error("login failed", "err", err)
	}
	return loginRefusal(err, s.mechanisms())
}

// loginRefusal is the answer to what goes wrong with a login beside wrong credentials.
func loginRefusal(err error, offered []string) (smtp.Reply, error) {
	switch e := mail.AsError(err); e.Kind {
	case mail.Unsupported:
		return smtp.Reply{}, mail.Errorf(mail.Unsupported, "Mechanism not offered: %s", strings.Join(offered, " ")).With(5, 5, 4)
	case mail.Syntax:
		if e.Status.Detail == authTooLongDetail {
			return smtp.Reply{}, err
		}
		// RFC 4954, section 4 wants 501 for what is no response, although the line was one.
		return smtp.Reply{}, e.With(5, 5, 4)
	case mail.TooMany:
		return tooManyLogins(), nil
	case mail.Internal, mail.Unavailable:
		return smtp.NewReply(454, "4.7.0", "Temporary authentication failure"), nil
	}
	return smtp.Reply{}, err
}

// wrongCredentials is the same for whatever was wrong. After the last try the session ends.
func (s *session) wrongCredentials() smtp.Reply {
	refusal := smtp.NewReply(535, "5.7.8", "Authentication failed")
	s.logins++
	if s.logins < s.server.Limits.Logins {
		return refusal
	}
	s.write(refusal)
	return tooManyLogins()
}

func tooManyLogins() smtp.Reply {
	return smtp.NewReply(421, "4.7.0", "Too many failed logins; try later")
}

// blanks are what may stand between the words of a login that was overheard; between those of others it is one space.
const blanks = " \t"

// overheard notes a login that was tried without encryption, and wipes what may be a secret in its line. What becomes of
// that shows nowhere on the connection (specification, section 2.6).
func (s *session) overheard(line []byte) {
	text := bytes.TrimLeft(line, blanks)[len(authVerb):]
	mechanism, initial := bytes.TrimSpace(text), []byte(nil)
	if i := bytes.IndexAny(mechanism, blanks); i >= 0 {
		mechanism, initial = mechanism[:i], bytes.TrimLeft(mechanism[i:], blanks)
	}
	a := s.attempt(string(mechanism), len(initial) > 0)
	response, _ := sasl.DecodeInitial(initial)
	clear(initial)
	s.server.Directory.InClearSASL(a, response)
	s.server.counters.clearCredentials.Add(1)
	s.conn.NoteClearLogin("")
	s.logLogin("login deny", slog.String("reason", "cleartext-credential"))
}

// maxLoggedName bounds what a stranger can write into the log as a name: more than any address has.
const maxLoggedName = 320

func (s *session) logDenied(x *directory.Exchange, mechanism string, err error) {
	user, reason := "", directory.Reason(err)
	if x != nil {
		user = x.Login()
		user = user[:min(len(user), maxLoggedName)]
	}
	if reason == "" {
		reason = err.Error()
	}
	s.logLogin("login deny", slog.String("user", user), slog.String("method", directory.Method(mechanism)), slog.String("reason", reason))
}

// logLogin writes the line of a login with the keys of the specification, section 1.3.
func (s *session) logLogin(event string, attrs ...slog.Attr) {
	t := s.conn.Transport()
	s.log.LogAttrs(context.Background(), slog.LevelInfo, event, append(attrs, t.Attrs()...)...)
}
