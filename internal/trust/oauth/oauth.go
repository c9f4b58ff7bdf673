// Package oauth finds out whom a bearer token (RFC 6750) is of: by the keys that its issuer publishes (OpenID Connect
// Discovery 1.0; RFC 7517, RFC 7519), or by asking the issuer about each token (RFC 7662). It keeps keys, but neither
// tokens nor what was said of them. What it cannot find out because an issuer does not answer is never taken for a
// wrong token.
package oauth

import (
	"context"
	"crypto/x509"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"candor/internal/mail"
)

// Issuer is who makes tokens.
type Issuer struct {
	URL       string   // its identifier, as "iss" has it
	Audiences []string // of which a token must name one; at least one
	// Claim names the account. "email" counts only if "email_verified" does not say otherwise.
	Claim   string
	Domains []mail.Domain // of the accounts that it speaks for; none: all
	Scopes  []string      // that a token must have, all of them
	Keys    string        // https URL of its JWK set; empty: as its metadata says
	// Introspection, if not nil, is asked about each token; keys are then not looked at.
	Introspection *Introspection
	Roots         *x509.CertPool // for its TLS certificates; nil: those of the system
}

// Introspection is where and as whom to ask about tokens. RFC 7662, section 2.
type Introspection struct {
	URL            string // https
	Client, Secret string
}

// Token is what was found out about a token.
type Token struct {
	Account string // whom it names: an address, or what the claim holds; empty if it was refused
	Refused string // one of the reasons; empty if it is good
}

// The reasons to refuse a token.
const (
	Invalid       = "token"          // no token of an issuer that we know, or not signed by it, or revoked
	Expired       = "token-expired"  // or not valid yet
	WrongAudience = "token-audience" // made for another service
	LacksScope    = "token-scope"
	NamesNobody   = "token-claim" // it does not name an account of the issuer's domains, or by an address that is not verified
)

// verifyTime bounds all that is done for one token, fetching keys included.
const verifyTime = 10 * time.Second

// Verifier verifies the tokens of some issuers. Its methods may be called concurrently.
type Verifier struct {
	issuers []*issuer
	now     func() time.Time
}

// issuer is one with what is known of it.
type issuer struct {
	Issuer
	client *client
	keys   *keySet
}

// New returns a verifier of the tokens of issuers, of which at most one has an Introspection: a token that is not a
// JWT does not say whose it is. now is nil for time.Now.
func New(issuers []Issuer, now func() time.Time) *Verifier {
	v := &Verifier{now: now}
	if now == nil {
		v.now = time.Now
	}
	for _, i := range issuers {
		c := newClient(i.Roots)
		v.issuers = append(v.issuers, &issuer{i, c, newKeySet(i, c, v.now)})
	}
	return v
}

// Close ends the connections to issuers that nobody uses.
func (v *Verifier) Close() {
	for _, i := range v.issuers {
		i.client.http.CloseIdleConnections()
	}
}

// Verify finds out whom a token is of. The token stays the caller's.
//
// Errors: Unavailable (the issuer does not answer, or not as it should).
func (v *Verifier) Verify(ctx context.Context, token []byte) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	if len(token) == 0 {
		return Token{Refused: Invalid}, nil
	}
	signed, err := jwt.ParseSigned(string(token), algorithms)
	if err != nil {
		return v.opaque(ctx, token)
	}
	var unproved jwt.Claims
	if err := signed.UnsafeClaimsWithoutVerification(&unproved); err != nil {
		return v.opaque(ctx, token)
	}
	n := slices.IndexFunc(v.issuers, func(i *issuer) bool { return i.URL == unproved.Issuer })
	switch {
	case n < 0:
		return Token{Refused: Invalid}, nil
	case v.issuers[n].Introspection != nil:
		return v.issuers[n].introspect(ctx, token, v.now())
	}
	return v.issuers[n].check(ctx, signed, v.now())
}

// opaque verifies what is no token that we could verify by a key.
func (v *Verifier) opaque(ctx context.Context, token []byte) (Token, error) {
	for _, i := range v.issuers {
		if i.Introspection != nil {
			return i.introspect(ctx, token, v.now())
		}
	}
	return Token{Refused: Invalid}, nil
}

// check verifies a signed token by its issuer's keys. A header without "kid" is tried with every key.
func (i *issuer) check(ctx context.Context, signed *jwt.JSONWebToken, now time.Time) (Token, error) {
	header := signed.Headers[0]
	keys, err := i.keys.find(ctx, header.KeyID, header.Algorithm)
	if err != nil {
		return Token{}, i.unavailable(err)
	}
	for _, key := range keys {
		var c claims
		if err := signed.Claims(key, &c.Claims, &c.all); err == nil {
			if c.Expiry == nil {
				return Token{Refused: Expired}, nil
			}
			return i.judge(c, now), nil
		}
	}
	return Token{Refused: Invalid}, nil
}

func (i *issuer) unavailable(err error) error {
	return mail.Wrap(mail.Unavailable, err, "the issuer "+i.URL+" cannot be asked")
}
