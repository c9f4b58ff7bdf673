package directory

import (
	"context"
	"slices"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Scope is what a credential may be used for.
type Scope string

// The scopes.
const (
	ScopeSMTP  Scope = "smtp" // sending mail
	ScopeIMAP  Scope = "imap"
	ScopePOP3  Scope = "pop3"
	ScopeSieve Scope = "sieve"
	ScopeWeb   Scope = "web"
)

// Scopes are all there are. ProgramScopes are those of programs.
var (
	Scopes        = []Scope{ScopeSMTP, ScopeIMAP, ScopePOP3, ScopeSieve, ScopeWeb}
	ProgramScopes = []Scope{ScopeSMTP, ScopeIMAP, ScopePOP3, ScopeSieve}
)

// ParseScopes checks the names of scopes and puts them in order, each once. Errors: Syntax.
func ParseScopes(names []string) ([]Scope, error) {
	var found []Scope
	for _, s := range Scopes {
		if slices.Contains(names, string(s)) {
			found = append(found, s)
		}
	}
	given := make([]Scope, len(names))
	for i, name := range names {
		given[i] = Scope(name)
	}
	return found, checkScopes(given)
}

func checkScopes(scopes []Scope) error {
	for _, s := range scopes {
		if !slices.Contains(Scopes, s) {
			return mail.Errorf(mail.Syntax, "%q is no scope: use smtp, imap, pop3, sieve or web", s)
		}
	}
	return nil
}

// scope is what a credential must be for to be used at a service.
func (s Service) scope() Scope {
	if s == Submission {
		return ScopeSMTP
	}
	return Scope(s)
}

// admits returns why a right credential may not be used at a service; "": it may.
func (c *credential) admits(s Service, now time.Time) reason {
	switch {
	case !c.serves(s):
		return reasonScope
	case !c.Until.IsZero() && !now.Before(c.Until):
		return reasonExpired
	case c.Exposed.ended(now):
		return reasonExposed
	}
	return ""
}

// serves reports whether the scopes of a credential hold a service.
func (c *credential) serves(s Service) bool {
	return len(c.Scopes) == 0 || slices.Contains(c.Scopes, s.scope())
}

// admits returns why a right credential of the account does not let an attempt in; "": it does.
func (a *account) admits(c *credential, at Attempt, now time.Time) reason {
	switch {
	case a.Disabled:
		return reasonDisabled
	case !a.Require.met(at.Mechanism):
		return reasonRequired
	}
	return c.admits(at.Service, now)
}

// lacksScram reports whether a password of the account has no SCRAM keys.
func (a *account) lacksScram() bool {
	return slices.ContainsFunc(a.credentials, func(c credential) bool { return c.isPassword() && c.Verifiers.Scram == nil })
}

// lacksScramFor is lacksScram for the passwords that are for a scope, of which alone a program can make use. Who
// requires something of logins is not in need of PLAIN.
func (a *account) lacksScramFor(s Scope) bool {
	return a.Require == RequirePlainOK && slices.ContainsFunc(a.credentials, func(c credential) bool {
		return c.isPassword() && c.Verifiers.Scram == nil && (len(c.Scopes) == 0 || slices.Contains(c.Scopes, s))
	})
}

// Credential is one way in which an account may log in.
type Credential struct {
	ID         uint64    `json:"id"`
	Kind       string    `json:"kind"`             // "main": the password that its owner chose; "app": one made for a program; "cert": a client certificate
	Name       string    `json:"name,omitempty"`   // not of a main password
	Scopes     []Scope   `json:"scopes,omitempty"` // none: everything
	Until      time.Time `json:"until,omitzero"`   // when it ends
	Generation uint64    `json:"generation"`
	Created    time.Time `json:"created"`
	Verifiers  []string  `json:"verifiers"` // "argon2id", "hmac-sha-256", "scram-sha-256"
	LastUsed   LastUse   `json:"last_used,omitzero"`
	// Certificate is what a client certificate is found by: "sha256:" and a fingerprint, or "email:" and an address.
	Certificate string `json:"certificate,omitempty"`
	// Exposed tells of a credential that crossed the network in clear; nil: it did not, as far as is known.
	Exposed *Exposed `json:"exposed,omitempty"`
}

// Credentials returns the credentials of an account. Errors: NotFound.
func (d *Directory) Credentials(ctx context.Context, a mail.Address) ([]Credential, error) {
	var found *account
	d.view(func(s *state) { found = s.addresses[canonical(a)] })
	if found == nil {
		return nil, noAccount(a)
	}
	all := make([]Credential, len(found.credentials))
	for i, c := range found.credentials {
		all[i] = Credential{
			ID: uint64(c.id), Kind: string(c.Kind), Name: c.Name, Scopes: c.Scopes, Until: c.Until, Generation: c.Generation,
			Created: c.Created, Verifiers: c.Verifiers.names(), LastUsed: d.uses.last(credentialKey{found.id, c.id}),
			Certificate: c.Certificate,
		}
		if c.Exposed != nil {
			exposed := found.exposed(&c)
			all[i].Exposed = &exposed
		}
	}
	return all, nil
}

// removeCredential removes the credential that find finds by its name.
func (d *Directory) removeCredential(ctx context.Context, a mail.Address, kind, name string, find func(*account, string) *credential) error {
	return d.change(ctx, func(tx kv.Tx, s *state) (func(*state), error) {
		owner := s.addresses[canonical(a)]
		if owner == nil {
			return nil, noAccount(a)
		}
		c := find(owner, name)
		if c == nil {
			return nil, mail.Errorf(mail.NotFound, "%s has no %s %q", owner.Address, kind, name)
		}
		k := credentialKey{owner.id, c.id}
		tx.Delete(k.record())
		tx.Delete(k.use())
		next := owner.without(c.id)
		return func(s *state) { s.put(next); d.uses.drop(k) }, nil
	})
}
