package directory

import (
	"context"
	"slices"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Alias sends mail for an address on. A Local of "*" catches what no account or alias of the
// domain takes.
type Alias struct {
	Address mail.Address   `json:"address"`
	Targets []mail.Address `json:"targets"`
}

// catchAll is the local part of an alias that takes what is left over.
const catchAll mail.LocalPart = "*"

// maxTargets bounds the targets of one alias; more is a mailing list.
const maxTargets = 1000

// Aliases returns all aliases in the order of their addresses: by domain, then by local part.
func (d *Directory) Aliases(ctx context.Context) (all []Alias, err error) {
	d.view(func(s *state) {
		all = make([]Alias, 0, len(s.aliases))
		for a, targets := range s.aliases {
			all = append(all, Alias{a, slices.Clone(targets)})
		}
	})
	slices.SortFunc(all, func(a, b Alias) int { return byDomain(a.Address, b.Address) })
	return all, nil
}

// AddAlias makes an alias in a domain of ours. Targets may be remote; one of ours need not exist yet.
//
// Errors: Exists, NotFound (domain), Syntax (no target), TooMany.
func (d *Directory) AddAlias(ctx context.Context, a Alias) error {
	address, targets := canonical(a.Address), slices.Clone(a.Targets)
	switch {
	case address.Local == "":
		return mail.Errorf(mail.Syntax, "%q cannot be an alias", address)
	case len(targets) == 0 || slices.Contains(targets, mail.Address{}):
		return mail.Errorf(mail.Syntax, "alias %s has no target", address)
	case len(targets) > maxTargets:
		return mail.Errorf(mail.TooMany, "alias %s has more than %d targets", address, maxTargets)
	}
	return d.change(ctx, func(tx kv.Tx, s *state) (func(*state), error) {
		if err := s.free(address); err != nil {
			return nil, err
		}
		return func(s *state) { s.setAlias(address, targets) }, setRecord(tx, aliasKey(address), aliasRecord{targets})
	})
}

// RemoveAlias removes an alias.
//
// Errors: NotFound.
func (d *Directory) RemoveAlias(ctx context.Context, a mail.Address) error {
	a = canonical(a)
	err := d.change(ctx, func(tx kv.Tx, s *state) (func(*state), error) {
		if _, ok := s.aliases[a]; !ok {
			return nil, mail.Errorf(mail.NotFound, "there is no alias %s", a)
		}
		tx.Delete(aliasKey(a))
		return func(s *state) { s.removeAlias(a) }, nil
	})
	if err == nil && a.Local == postmaster {
		d.warnWithoutPostmaster()
	}
	return err
}
