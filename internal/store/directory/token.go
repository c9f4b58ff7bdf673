package directory

import (
	"context"

	"candor/internal/proto/sasl"
)

// Token is what an issuer says of a bearer token.
type Token struct {
	Account string // whom it names, as a login name; empty if it was refused
	Refused string // why, a word for the log and the census; empty if it is good
}

// Tokens is how bearer tokens are verified.
type Tokens struct {
	// Verify finds out whom a token is of, without keeping it. Its errors are failures to find out: Unavailable.
	// It may be called concurrently.
	Verify func(ctx context.Context, token []byte) (Token, error)
	// Discovery tells the programs of those who are refused where to get a token.
	Discovery sasl.Discovery
}

// bearerToken is the kind of the credential that an issuer keeps for an account. Its id is 0: it is none of the
// account's own.
const bearerToken credentialKind = "oauth"

// SetTokens changes how bearer tokens are verified; nil: OAUTHBEARER and XOAUTH2 are not offered. Exchanges under way
// end as they began.
func (d *Directory) SetTokens(t *Tokens) { d.tokens.Store(t) }

// bearer verifies for OAUTHBEARER and XOAUTH2. A program that sends the same old token again and again does not guess.
func (x *Exchange) bearer(ctx context.Context, b sasl.Bearer) error {
	return x.directory.throttle.mark(x.identify(ctx, b), b.Token)
}

// identify finds the account of a token, which an issuer names by its address: who had an address before it became an
// alias is not who has it now. The identity that the client asks for, if it does, has to be that account.
func (x *Exchange) identify(ctx context.Context, b sasl.Bearer) error {
	x.login = b.Identity
	t, err := x.tokens.Verify(ctx, b.Token)
	switch {
	case err != nil:
		return err
	case t.Refused != "":
		return refuse(reason(t.Refused), nil)
	case x.login == "":
		x.login = t.Account
	}
	var named, wanted *account
	x.directory.view(func(s *state) { named, wanted = s.addressed(t.Account).account, s.principal(x.login).account })
	switch {
	case named == nil:
		return refuse(reasonUnknown, nil)
	case wanted != named:
		return refuse(reasonIdentity, nil)
	}
	c := &credential{0, credentialRecord{Kind: bearerToken}}
	if r := named.admits(c, x.attempt, x.directory.now()); r != "" {
		return refuse(r, nil)
	}
	x.verified = verified{named, c}
	return nil
}
