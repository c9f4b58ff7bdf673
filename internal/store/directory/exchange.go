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
		x.mechanism = sasl.NewPlainServer(x.plain)
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
		x.scram = sasl.NewScramServer(a.Mechanism, bindable(a, offered), x.credentials, x.actsAs)
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
	refusal    error // that waits for the client to have taken the mechanism's own word of it
}

// Next takes the client's response (nil: none yet, so that a mechanism whose server or client must
// speak first can ask; an empty one is not nil) and returns a challenge, or done. A challenge that
// comes with done is the additional data of success (RFC 4422, section 3.6): IMAP and POP3 send it
// as a last challenge that expects an empty response, SMTP likewise. The mechanism's own word of failure, if it has
// one, is a challenge whose response, whatever it is, gives the refusal. The response is wiped, for it may hold a
// password.
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
		if x.hasWord(challenge) && mail.IsKind(err, mail.AuthFailed) {
			x.refusal = err
			return challenge, false, nil
		}
		return nil, false, err
	}
	if used := x.directory.legacy.Load().used; x.rule != nil && used != nil {
		used(x.rule.ID, x.attempt.Peer.Remote.Addr())
	}
	return challenge, true, nil
}

// hasWord reports whether the client is told of a failure by the mechanism itself, before the refusal: of what SCRAM
// finds wrong beside the proof (RFC 5802, section 7), and of every bearer token (RFC 7628, section 3.2.2). What depends
// on the user has no word of its own, so that a wrong password, a disabled account and a name that is nobody's look alike.
func (x *Exchange) hasWord(challenge []byte) bool {
	told, ok := strings.CutPrefix(string(challenge), "e=")
	return x.tokens != nil || ok && sasl.ServerError(told) != sasl.ErrInvalidProof
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

// plain verifies for PLAIN. That the client names another account shows after the password alone.
func (x *Exchange) plain(ctx context.Context, authzid, login string, password []byte) error {
	if err := x.password(ctx, login, password); err != nil {
		return err
	}
	return x.directory.throttle.mark(x.directory.actsAs(x.verified.account, authzid), password)
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
// refusal of which that was the word, if the connection was lost, for programs go away with it; else with err, which
// has the refusal as a cause. A program that gives up a login bound to the connection because it cannot bind is told
// what to set, since some choose it without being able to: mutt with GNU SASL does, and shows this to its user.
func (x *Exchange) BrokenOff(err error) error {
	other, binds := strings.CutSuffix(x.attempt.Mechanism, "-PLUS")
	switch {
	case err == nil:
		return nil
	case x.refusal != nil && !mail.IsKind(err, mail.Syntax):
		return x.refusal
	case binds && errors.Is(err, sasl.ErrCancelled) && (x.refusal == nil || Reason(x.refusal) == string(reasonType)):
		return mail.Wrap(mail.Syntax, errors.Join(err, x.refusal), "Your program gave up the login by "+x.attempt.Mechanism+
			"; set another login method there, for example "+other)
	case x.refusal != nil:
		e := *mail.AsError(err)
		e.Err = errors.Join(err, x.refusal)
		return &e
	}
	return err
}
