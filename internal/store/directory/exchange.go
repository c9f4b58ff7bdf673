package directory

import (
	"context"
	"crypto"
	"slices"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// StartSASL begins an exchange by mechanism a.Mechanism, in any case.
//
// Errors: Unsupported (not offered), NeedTLS (e is no proof of encryption: a bug of the caller).
func (d *Directory) StartSASL(ctx context.Context, e mail.Encrypted, a Attempt) (*Exchange, error) {
	if err := d.demand(e, a); err != nil {
		return nil, err
	}
	a.Mechanism = strings.ToUpper(a.Mechanism)
	offered := d.Mechanisms(a)
	if !slices.Contains(offered, a.Mechanism) {
		return nil, d.NotOffered(ctx, a)
	}
	x := &Exchange{directory: d, encrypted: e, attempt: a}
	switch a.Mechanism {
	case sasl.Plain:
		x.mechanism = sasl.NewPlainServer(x.password)
	case sasl.Login:
		x.mechanism = sasl.NewLoginServer(x.password)
	case sasl.ScramSHA256, sasl.ScramSHA256Plus:
		x.scram = sasl.NewScramServer(a.Mechanism, bindable(a, offered), x.credentials)
		x.mechanism = x.scram
	}
	return x, nil
}

// bindable is the channel of an attempt by SCRAM, if its -PLUS is offered.
func bindable(a Attempt, offered []string) *sasl.Channel {
	if !slices.Contains(offered, strings.TrimSuffix(a.Mechanism, "-PLUS")+"-PLUS") {
		return nil
	}
	return channel(a)
}

// mechanism is the server's end of a SASL mechanism.
type mechanism interface {
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
}

// Exchange is a SASL exchange under way. It is not to be used concurrently.
type Exchange struct {
	directory *Directory
	encrypted mail.Encrypted
	attempt   Attempt
	mechanism mechanism
	scram     *sasl.ScramServer // mechanism, when it is SCRAM

	login      string
	principal  principal      // SCRAM: whom the client's first message named
	candidates []credentialID // SCRAM: of the keys that the proof is tried against
	verified   verified
}

// Next takes the client's response (nil: none yet, so that a mechanism whose server or client must
// speak first can ask; an empty one is not nil) and returns a challenge, or done. A challenge that
// comes with done is the additional data of success (RFC 4422, section 3.6): IMAP and POP3 send it
// as a last challenge that expects an empty response, SMTP likewise. One that comes with an error
// may be left out. The response is wiped, for it may hold a password.
//
// Errors: AuthFailed, Syntax (malformed), Unavailable, Sequence (after the end).
func (x *Exchange) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	started := time.Now()
	defer clear(response)
	challenge, done, err = x.mechanism.Next(ctx, response)
	if err == nil && !done {
		return challenge, false, nil
	}
	if x.scram != nil {
		err = x.admit(err)
	}
	if mail.IsKind(err, mail.AuthFailed) && Reason(err) == "" {
		err = refuse(reasonOf(err), err)
	}
	if err = x.directory.settle(ctx, started, outcome{x.attempt, x.login, x.flag(), x.verified, err}); err != nil {
		x.verified = verified{}
		return x.lastWord(challenge), false, err
	}
	return challenge, true, nil
}

// lastWord is what a mechanism may say of its failure. A proof that was right but does not help,
// because the account is disabled, must not be told from a wrong one.
func (x *Exchange) lastWord(challenge []byte) []byte {
	if x.scram != nil && x.scram.Matched() >= 0 {
		return []byte("e=" + string(sasl.ErrInvalidProof))
	}
	return challenge
}

// Account is who logged in, once done.
func (x *Exchange) Account() Account {
	if x.verified.account == nil {
		return Account{}
	}
	return x.verified.account.public()
}

// Login is the name as the client sent it, for the log; empty before it was sent.
func (x *Exchange) Login() string { return x.login }

// Binding says what an exchange that is done was bound to, as the log has it: "exporter", "endpoint" or "none".
func (x *Exchange) Binding() string {
	switch x.flag() {
	case sasl.TLSExporter:
		return "exporter"
	case sasl.TLSServerEndPoint:
		return "endpoint"
	}
	return "none"
}

// flag is how the client stood to channel binding, if the mechanism knows of it.
func (x *Exchange) flag() string {
	if x.scram == nil {
		return ""
	}
	return x.scram.Flag()
}

// password verifies for PLAIN and LOGIN.
func (x *Exchange) password(ctx context.Context, login string, password []byte) (err error) {
	x.login = login
	x.verified, err = x.directory.checkPassword(ctx, x.encrypted, x.attempt, login, password)
	return err
}

// credentials finds those of a user for SCRAM. Who has none gets keys that nobody knows, and the
// salt that would be his.
func (x *Exchange) credentials(_ context.Context, login string) (sasl.ScramCredentials, error) {
	x.login = login
	found := sasl.ScramCredentials{Iterations: scramIterations}
	x.directory.view(func(s *state) {
		x.principal = s.principal(login)
		found.Salt = s.salt(x.principal.name)
	})
	if a := x.principal.account; a != nil {
		found.Salt = a.Salt
		for _, c := range a.credentials {
			if c.Verifiers.Scram != nil {
				found.Keys = append(found.Keys, c.Verifiers.Scram.Keys)
				x.candidates = append(x.candidates, c.id)
			}
		}
	}
	if len(found.Keys) == 0 {
		found.Keys = []sasl.Keys{unknownKeys(crypto.SHA256)}
	}
	return found, nil
}

// admit turns the outcome of a SCRAM exchange into that of the login.
func (x *Exchange) admit(err error) error {
	a := x.principal.account
	switch {
	case err != nil && !mail.IsKind(err, mail.AuthFailed), err != nil && x.login == "":
		return err
	case err != nil && reasonOf(err) != reasonProtocol:
		return refuse(reasonOf(err), err)
	case a == nil:
		return refuse(reasonUnknown, err)
	case len(x.candidates) == 0:
		return refuse(reasonNoVerifier, err)
	case err != nil:
		return refuse(reasonWrong, err)
	}
	c := a.credential(x.candidates[x.scram.Matched()])
	if r := a.admits(c, x.attempt.Service, x.directory.now()); r != "" {
		return refuse(r, nil)
	}
	x.verified = verified{a, c}
	if !x.directory.current(x.verified) {
		return refuse(reasonWrong, errChanging)
	}
	return nil
}
