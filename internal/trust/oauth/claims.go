package oauth

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"candor/internal/mail"
)

// leeway is how far clocks may be apart.
const leeway = time.Minute

// claims are what an issuer says of a token.
type claims struct {
	jwt.Claims
	all map[string]any
}

// judge decides on the claims of a token that is the issuer's.
func (i *issuer) judge(c claims, now time.Time) Token {
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: i.URL, AnyAudience: i.Audiences, Time: now}, leeway)
	switch {
	case errors.Is(err, jwt.ErrInvalidAudience):
		return Token{Refused: WrongAudience}
	case errors.Is(err, jwt.ErrExpired), errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return Token{Refused: Expired}
	case err != nil:
		return Token{Refused: Invalid}
	}
	granted := c.scopes()
	for _, s := range i.Scopes {
		if !slices.Contains(granted, s) {
			return Token{Refused: LacksScope}
		}
	}
	name, _ := c.all[i.Claim].(string)
	if name == "" || i.Claim == "email" && c.unverified() || !i.speaksFor(name) {
		return Token{Refused: NamesNobody}
	}
	return Token{Account: name}
}

// scopes are in "scope", separated by spaces (RFC 9068, section 2.2.3), or in "scp" of Microsoft and others, so or as
// a list.
func (c claims) scopes() (all []string) {
	for _, name := range []string{"scope", "scp"} {
		switch value := c.all[name].(type) {
		case string:
			all = append(all, strings.Fields(value)...)
		case []any:
			for _, v := range value {
				if s, ok := v.(string); ok {
					all = append(all, s)
				}
			}
		}
	}
	return all
}

// unverified reports whether the issuer says of "email" that it has not verified it (OpenID Connect Core 1.0, section
// 5.1). Some write the word in quotes.
func (c claims) unverified() bool {
	value, said := c.all["email_verified"]
	return said && value != true && value != "true"
}

// speaksFor reports whether the issuer may name an account so.
func (i *issuer) speaksFor(name string) bool {
	if len(i.Domains) == 0 {
		return true
	}
	a, err := mail.ParseAddress(name)
	return err == nil && slices.Contains(i.Domains, a.Domain)
}
