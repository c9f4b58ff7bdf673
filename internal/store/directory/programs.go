package directory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"candor/internal/mail"
)

// programMemory is how far back programs are looked for.
const programMemory = 30 * 24 * time.Hour

// ProgramUse is a program of an account: how it logs in, and what to tell its user.
type ProgramUse struct {
	Account   mail.Address        `json:"account"`
	Service   Service             `json:"svc"`
	Client    string              `json:"client"`
	Program   string              `json:"program,omitempty"` // as the table of quirks calls it
	Mechanism string              `json:"method,omitempty"`  // of the last login; "": there was none
	State     mail.TransportState `json:"tls.state"`
	LastUse   time.Time           `json:"last_use,omitzero"`
	Hints     []string            `json:"hints,omitempty"` // T-01, T-04, T-05 and T-06 of the specification
}

// Programs returns the programs of an account or, of the zero Address, of all, by account.
//
// Errors: NotFound.
func (d *Directory) Programs(ctx context.Context, of mail.Address) ([]ProgramUse, error) {
	rows, err := d.Census(ctx, of, d.now().Add(-programMemory))
	if err != nil {
		return nil, err
	}
	exposed, err := d.ExposedCredentials(ctx)
	if err != nil {
		return nil, err
	}
	all := programsOf(rows)
	uses := []ProgramUse{}
	for _, p := range all {
		if p.account == (mail.Address{}) {
			continue
		}
		u := ProgramUse{Account: p.account, Service: p.service, Client: p.client, Hints: p.hints(all)}
		last := p.other("")
		if last == nil && len(u.Hints) == 0 {
			continue // somebody guesses
		}
		if last != nil {
			u.Mechanism, u.State, u.LastUse = last.Mechanism, last.State, last.Last
			if q := p.quirk(all, last); q != nil {
				u.Program = q.Program
			}
		}
		uses = append(uses, u)
	}
	for _, e := range exposed {
		if of != (mail.Address{}) && e.Account != canonical(of) {
			continue
		}
		i := slices.IndexFunc(uses, func(u ProgramUse) bool { return u.Account == e.Account && u.Service == e.Service })
		if i < 0 {
			uses = append(uses, ProgramUse{Account: e.Account, Service: e.Service, Client: e.Program, State: mail.Clear})
			i = len(uses) - 1
		}
		uses[i].Hints = append(uses[i].Hints, e.Words(e.From.String(), e.change()))
	}
	slices.SortFunc(uses, func(a, b ProgramUse) int {
		return cmp.Or(byDomain(a.Account, b.Account), b.LastUse.Compare(a.LastUse), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Client, b.Client))
	})
	return uses, nil
}

// oldPasswordTries is from how many wrong passwords on a program is taken for one that has an old one.
const oldPasswordTries = 3

// hints are what to tell the user of a program.
func (p *program) hints(all []*program) (hints []string) {
	name := p.name()
	if name == "unknown" {
		name = "Your program"
	}
	worked := p.other("")
	for _, r := range p.lastRefusals() {
		if worked != nil && worked.Last.After(r.Last) {
			continue
		}
		switch reason(r.Reason) {
		case reasonNotOffered, reasonLegacyExpired, reasonDigestInClear:
			setting := normalPassword
			if q := p.quirk(all, r); q != nil {
				setting = q.Setting
			}
			hints = append(hints, fmt.Sprintf("%s asks for the login method %s, which is no longer offered. Choose *Normal password* (%s). "+
				"The connection is encrypted, so the password is not readable on the way.", name, r.Mechanism, setting))
		case reasonWrong:
			if n := p.times[r.Mechanism]; n >= oldPasswordTries && knownFrom(all, p.account, r) {
				hints = append(hints, fmt.Sprintf("%s still uses an old password (%d tries from %s). Enter the new one there. Your account is not locked.", name, n, r.Network))
			}
		case reasonDowngrade, reasonBinding:
			hints = append(hints, fmt.Sprintf("Someone between %s and this server may have hidden a stronger login method (SCRAM-PLUS). "+
				"Login was refused. Try another network.", name))
		}
	}
	return hints
}

// lastRefusals are the last refusals of each method, the newest first.
func (p *program) lastRefusals() (all []*CensusRow) {
	for _, r := range p.refused {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *CensusRow) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Mechanism, b.Mechanism))
	})
	return all
}

// knownFrom reports whether the account has logged in from where a row is from: who guesses is elsewhere.
func knownFrom(all []*program, account mail.Address, r *CensusRow) bool {
	return slices.ContainsFunc(all, func(p *program) bool { return p.account == account && p.from(r.Network) })
}
