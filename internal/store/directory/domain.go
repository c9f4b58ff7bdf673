package directory

import (
	"context"
	"slices"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Domains returns the domains that are ours, sorted.
func (d *Directory) Domains(ctx context.Context) (all []mail.Domain, err error) {
	d.view(func(s *state) { all = slices.Clone(s.order) })
	return all, nil
}

// AddDomain makes a domain ours. The first one also gets the postmaster account, without a password.
//
// Errors: Exists, Syntax (not a domain name in canonical form).
func (d *Directory) AddDomain(ctx context.Context, name mail.Domain) error {
	if parsed, err := mail.ParseDomain(string(name)); err != nil || parsed != name || name[0] == '[' {
		return mail.Errorf(mail.Syntax, "%q is not a domain name", name)
	}
	return d.change(ctx, func(tx kv.Tx, s *state) (func(*state), error) {
		if _, ok := s.domains[name]; ok {
			return nil, mail.Errorf(mail.Exists, "domain %s exists already", name)
		}
		r := domainRecord{Created: d.now().UTC()}
		if err := setRecord(tx, domainKey(name), r); err != nil {
			return nil, err
		}
		if len(s.domains) > 0 {
			return func(s *state) { s.addDomain(name, r) }, nil
		}
		a, err := d.newAccount(tx, s, mail.Address{Local: postmaster, Domain: name}, nil)
		if err != nil {
			return nil, err
		}
		return func(s *state) { s.addDomain(name, r); s.put(a) }, nil
	})
}

// RemoveDomain ends a domain that has no accounts and aliases.
//
// Errors: NotFound, InUse.
func (d *Directory) RemoveDomain(ctx context.Context, name mail.Domain) error {
	return d.change(ctx, func(tx kv.Tx, s *state) (func(*state), error) {
		if _, ok := s.domains[name]; !ok {
			return nil, noDomain(name)
		}
		if s.inUse(name) {
			return nil, mail.Errorf(mail.InUse, "domain %s has accounts or aliases; remove them first", name)
		}
		tx.Delete(domainKey(name))
		return func(s *state) { s.removeDomain(name) }, nil
	})
}

func noDomain(name mail.Domain) error {
	return mail.Errorf(mail.NotFound, "domain %s is not one of ours", name)
}
