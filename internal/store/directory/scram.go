package directory

import (
	"context"
	"crypto"
	"slices"
	"strings"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// bindable is the channel of an attempt by SCRAM, if its -PLUS is offered.
func bindable(a Attempt, offered []string) *sasl.Channel {
	if !slices.Contains(offered, strings.TrimSuffix(a.Mechanism, "-PLUS")+"-PLUS") {
		return nil
	}
	return channel(a)
}

// credentials finds those of a user for SCRAM. Who has none gets keys that nobody knows, and the
// salt that would be his.
func (x *Exchange) credentials(_ context.Context, login string) (sasl.ScramCredentials, error) {
	x.login = login
	if strings.HasPrefix(x.attempt.Mechanism, sasl.ScramSHA1) {
		return x.legacyCredentials(), nil
	}
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

// legacyCredentials are those of SCRAM-SHA-1: the one that a rule names, or none.
func (x *Exchange) legacyCredentials() sasl.ScramCredentials {
	found := sasl.ScramCredentials{Iterations: legacyScramIterations}
	x.directory.view(func(s *state) {
		x.principal = s.principal(x.login)
		found.Salt = s.legacySalt(x.principal.name)
	})
	c, rule := x.directory.byRule(x.attempt, x.principal.account)
	if c == nil {
		found.Keys = []sasl.Keys{unknownKeys(crypto.SHA1)}
		return found
	}
	k := c.Verifiers.ScramSHA1
	found.Salt, found.Keys = k.Salt, []sasl.Keys{{StoredKey: k.StoredKey, ServerKey: k.ServerKey}}
	x.candidates, x.rule = []credentialID{c.id}, rule
	return found
}

// actsAs is Directory.actsAs for who has made a proof.
func (x *Exchange) actsAs(_ context.Context, authzid string) error {
	return x.directory.actsAs(x.principal.account, authzid)
}

// admit turns the outcome of a SCRAM exchange into that of the login.
func (x *Exchange) admit(err error) error {
	a := x.principal.account
	switch {
	case err != nil && !mail.IsKind(err, mail.AuthFailed), err != nil && x.login == "":
		return err
	case Reason(err) != "":
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
	return x.accept(a, a.credential(x.candidates[x.scram.Matched()]))
}
