package directory

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// Requirement is the least that an account wants of a login (specification, section 3.4).
type Requirement string

// The requirements, weakest first.
const (
	RequirePlainOK   Requirement = ""           // any password, by any mechanism
	RequireScram     Requirement = "scram"      // no password leaves the program: SCRAM, or a token of an issuer
	RequireScramPlus Requirement = "scram-plus" // SCRAM, and nobody sits between the program and us
	RequireCert      Requirement = "cert"       // a client certificate
)

// PlainOK is what RequirePlainOK is called.
const PlainOK = "plain-ok"

// ParseRequirement reads the name of a requirement. Errors: Syntax.
func ParseRequirement(name string) (Requirement, error) {
	switch r := Requirement(name); r {
	case PlainOK:
		return RequirePlainOK, nil
	case RequireScram, RequireScramPlus, RequireCert:
		return r, nil
	}
	return "", mail.Errorf(mail.Syntax, "%q is no requirement: use plain-ok, scram, scram-plus or cert", name)
}

// met reports whether a login by a mechanism is enough. Who sits between learns a token like a password, but it is soon worth
// nothing: it does in place of SCRAM, not of channel binding.
func (r Requirement) met(mechanism string) bool {
	certificate := mechanism == sasl.External
	switch r {
	case RequireScram:
		return certificate || strings.HasPrefix(mechanism, "SCRAM-") || mechanism == sasl.OAuthBearer || mechanism == sasl.XOAuth2
	case RequireScramPlus:
		return certificate || strings.HasPrefix(mechanism, "SCRAM-") && strings.HasSuffix(mechanism, "-PLUS")
	case RequireCert:
		return certificate
	}
	return true
}

// SetRequirement says what logins of an account must be; a weaker one is refused like a wrong password. When it returns, the
// requirement holds.
//
// Errors: NotFound, Syntax, Sequence (SCRAM is required, and a password has no keys for it).
func (d *Directory) SetRequirement(ctx context.Context, a mail.Address, r Requirement) error {
	if _, err := ParseRequirement(string(r)); err != nil && r != RequirePlainOK {
		return err
	}
	return d.edit(ctx, a, func(a *account) (*account, error) {
		if (r == RequireScram || r == RequireScramPlus) && a.lacksScram() {
			return nil, mail.Errorf(mail.Sequence, "a password of %s has no SCRAM keys: it gets them at its next login by PLAIN, or when it is set anew", a.Address)
		}
		next := *a
		next.Require = r
		next.Generation++
		return &next, nil
	})
}

// RequirementAlarms tells of accounts that are locked out by what they require: SCRAM that is not offered for the sake of
// others or by the operator, or a certificate that they do not have.
func (d *Directory) RequirementAlarms() (all []mail.Alarm) {
	d.view(func(s *state) {
		for _, a := range s.accounts {
			if why := d.lockedOut(s, a); why != "" && !a.Disabled {
				all = append(all, mail.Alarm{ID: "A-136", Subject: a.Address.String(), Stage: string(a.Require), Text: fmt.Sprintf(
					"%s cannot log in: it requires %s, and %s. Mend that, or 'candor account require %s plain-ok'.", a.Address, a.Require, why, a.Address)})
			}
		}
	})
	slices.SortFunc(all, func(a, b mail.Alarm) int { return strings.Compare(a.Subject, b.Subject) })
	return all
}

// lockedOut says why an account cannot log in at some service by what it requires; "": it can.
func (d *Directory) lockedOut(s *state, a *account) string {
	certified := slices.ContainsFunc(a.credentials, func(c credential) bool { return c.Kind == clientCertificate })
	mechanism := map[Requirement]string{RequireScram: sasl.ScramSHA256, RequireScramPlus: sasl.ScramSHA256Plus}[a.Require]
	switch {
	case certified || a.Require == RequirePlainOK:
		return ""
	case mechanism == "":
		return "it has no client certificate"
	}
	for _, service := range []Service{Submission, IMAP, POP3} {
		if o := d.offer(s, mechanism, service); !o.Offered {
			return fmt.Sprintf("%s is not offered at %s because %s", mechanism, service, o.Because)
		}
	}
	return ""
}

// SetPasswordScopes says what the main password of an account may be used for; all scopes, or none, mean everything. Bound to the
// web, it leaves programs to app passwords.
//
// Errors: NotFound (the account, or its main password), Syntax.
func (d *Directory) SetPasswordScopes(ctx context.Context, a mail.Address, scopes []Scope) error {
	if err := checkScopes(scopes); err != nil {
		return err
	}
	if len(scopes) == len(Scopes) {
		scopes = nil
	}
	return d.edit(ctx, a, func(a *account) (*account, error) {
		old := a.main()
		if old == nil {
			return nil, mail.Errorf(mail.NotFound, "%s has no main password", a.Address)
		}
		c := *old
		c.Scopes = scopes
		c.Generation++
		return a.with(c), nil
	})
}
