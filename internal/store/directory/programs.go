package directory

import (
	"cmp"
	"context"
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
	Hints     []string            `json:"hints,omitempty"` // T-01, T-04, T-05 and T-06 of the specification, and their like
}

// Programs returns the programs of an account or, of the zero Address, of all, by account.
//
// Errors: NotFound.
func (d *Directory) Programs(ctx context.Context, of mail.Address) ([]ProgramUse, error) {
	if _, err := d.Account(ctx, of); err != nil && of != (mail.Address{}) {
		return nil, err
	}
	rows, err := d.Census(ctx, mail.Address{}, d.now().Add(-programMemory))
	if err != nil {
		return nil, err
	}
	exposed, err := d.ExposedCredentials(ctx)
	if err != nil {
		return nil, err
	}
	all, now := programsOf(rows), d.offeredNow()
	uses := []ProgramUse{}
	for _, p := range all {
		if p.account == (mail.Address{}) {
			uses = append(uses, p.perhaps(all, now)...)
			continue
		}
		u := ProgramUse{Account: p.account, Service: p.service, Client: p.client, Hints: p.hints(all, now)}
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
		i := slices.IndexFunc(uses, func(u ProgramUse) bool { return u.Account == e.Account && u.Service == e.Service })
		if i < 0 {
			uses = append(uses, ProgramUse{Account: e.Account, Service: e.Service, Client: e.Program, State: mail.Clear})
			i = len(uses) - 1
		}
		uses[i].Hints = append(uses[i].Hints, e.Words(e.From.String(), e.change()))
	}
	if of != (mail.Address{}) {
		uses = slices.DeleteFunc(uses, func(u ProgramUse) bool { return u.Account != canonical(of) })
	}
	slices.SortFunc(uses, func(a, b ProgramUse) int {
		return cmp.Or(byDomain(a.Account, b.Account), b.LastUse.Compare(a.LastUse), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Client, b.Client))
	})
	return uses, nil
}
