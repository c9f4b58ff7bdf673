package directory

import (
	"context"
	"crypto"
	"errors"
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
		return nil, d.NotOffered(ctx, a, "")
	}
	x := &Exchange{directory: d, encrypted: e, attempt: a}
	switch a.Mechanism {
	case sasl.Plain:
		x.mechanism = sasl.NewPlainServer(x.password)
	case sasl.Login:
		x.mechanism = sasl.NewLoginServer(x.password)
	case sasl.CramMD5:
		x.mechanism = sasl.NewCramServer(d.host(), x.digest)
	case sasl.External:
		x.mechanism = sasl.NewExternalServer(x.external)
	case sasl.OAuthBearer, sasl.XOAuth2:
		// They may have been taken away since they were offered.
		if x.tokens = d.tokens.Load(); x.tokens == nil {
			return nil, d.NotOffered(ctx, a, "")
		}
		x.mechanism = sasl.NewBearerServer(a.Mechanism, x.tokens.Discovery, x.bearer)
	default:
		x.scram = sasl.NewScramServer(a.Mechanism, bindable(a, offered), x.credentials)
		x.mechanism = x.scram
	}
	return x, nil
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
	tokens    *Tokens           // when it is by bearer token

	login      string
	principal  principal      // SCRAM: whom the client's first message named
	candidates []credentialID // SCRAM: of the keys that the proof is tried against
	rule       *LegacyRule    // by which the mechanism is allowed to the one who has proved himself
	verified   verified
	refusal    error // of a bearer token, that waits for the client to have taken the word that came first
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
	if x.refusal != nil {
		return nil, false, x.refusal
	}
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
		if x.tokens != nil && mail.IsKind(err, mail.AuthFailed) {
			x.refusal = err
			return challenge, false, nil
		}
		return x.lastWord(challenge), false, err
	}
	if used := x.directory.legacy.Load().used; x.rule != nil && used != nil {
		used(x.rule.ID, x.attempt.Peer.Remote.Addr())
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

// digest verifies for CRAM-MD5. Who cannot log in by it has a key that nobody knows.
func (x *Exchange) digest(_ context.Context, login string, challenge, digest []byte) error {
	x.login = login
	var p principal
	x.directory.view(func(s *state) { p = s.principal(login) })
	c, rule := x.directory.byRule(x.attempt, p.account)
	key := sasl.NewCramKey(unknownKeys(crypto.SHA256).StoredKey)
	if c != nil {
		key = *c.Verifiers.CramMD5
	}
	switch right := key.Matches(challenge, digest); {
	case p.account == nil:
		return refuse(reasonUnknown, nil)
	case c == nil:
		return refuse(reasonNoVerifier, nil)
	case !right:
		return refuse(reasonWrong, nil)
	}
	x.rule = rule
	return x.accept(p.account, c)
}

// accept lets an account in that has proved itself by a credential, unless that may not be used here and now.
func (x *Exchange) accept(a *account, c *credential) error {
	if r := a.admits(c, x.attempt, x.directory.now()); r != "" {
		return refuse(r, nil)
	}
	x.verified = verified{a, c}
	if !x.directory.current(x.verified) {
		return refuse(reasonWrong, errChanging)
	}
	return nil
}

// BrokenOff returns how an exchange ends of which the client has not answered a challenge, because of err: with the
// refusal of which that was the word, if the connection was lost, for programs go away with it; else with err. A
// program that gives up a login bound to the connection is told what to set, since some choose it without being able
// to: mutt with GNU SASL does, and shows this to its user.
func (x *Exchange) BrokenOff(err error) error {
	switch {
	case x.refusal != nil && err != nil && !mail.IsKind(err, mail.Syntax):
		return x.refusal
	case errors.Is(err, sasl.ErrCancelled):
		if other, binds := strings.CutSuffix(x.attempt.Mechanism, "-PLUS"); binds {
			return mail.Wrap(mail.Syntax, err, "Your program gave up the login by "+x.attempt.Mechanism+
				"; set another login method there, for example "+other)
		}
	}
	return err
}
