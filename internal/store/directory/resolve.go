package directory

import (
	"context"

	"candor/internal/mail"
)

// Resolution is where mail for an address goes.
type Resolution struct {
	Route    mail.Route       // Local: one of our domains; Remote: anything else
	Accounts []LocalRecipient // each account once
	Forward  []mail.Address   // remote targets of an alias
}

// LocalRecipient is an account that gets a copy.
type LocalRecipient struct {
	Account mail.AccountID
	Address mail.Address // the account's own
	Detail  string       // of a "+" subaddress
}

// maxExpansion bounds the addresses that one address may lead to by aliases of aliases.
const maxExpansion = 10_000

// Resolve follows, in this order: exact addresses, "+" subaddresses, postmaster@ any of our domains
// and the host name, and catch-alls. Aliases may lead to aliases; loops end. A "+" detail goes along
// to the account. "postmaster" alone is an address without a domain (RFC 5321, section 4.5.1).
//
// Errors: NoAddress for an unknown address of ours, TooMany for an alias that leads to too many.
func (d *Directory) Resolve(ctx context.Context, a mail.Address) (Resolution, error) {
	var r resolver
	d.view(func(s *state) { r = d.resolve(s, a) })
	switch {
	case r.Route == mail.Remote:
		return r.Resolution, nil
	case r.excess:
		return Resolution{}, mail.Errorf(mail.TooMany, "%s leads to too many addresses", a)
	case len(r.Accounts)+len(r.Forward) == 0:
		return Resolution{}, mail.Errorf(mail.NoAddress, "no such address here: %s", a)
	}
	return r.Resolution, nil
}

// MaySend reports whether an account may use a as reverse-path or author: whatever address leads to
// that account and nowhere else, be it its own (with any "+" detail), an alias or postmaster's. A
// catch-all gives no right: it takes what is left over, and any name in it may become somebody's
// tomorrow. The null reverse-path is everybody's. An account that is disabled, or gone, may send as nobody: its sessions
// may be open still.
//
// Errors: Forbidden.
func (d *Directory) MaySend(ctx context.Context, id mail.AccountID, a mail.Address) error {
	var r resolver
	d.view(func(s *state) { r = d.resolve(s, a) })
	enabled := d.Enabled(id)
	if enabled && a == (mail.Address{}) {
		return nil
	}
	alone := len(r.Accounts) == 1 && r.Accounts[0].Account == id && len(r.Forward) == 0
	if !enabled || !alone || r.caught || r.excess {
		return mail.Errorf(mail.Forbidden, "%s is not an address of this account", a)
	}
	return nil
}

// resolver follows one address.
type resolver struct {
	Resolution
	s        *state
	hostname mail.Domain
	seen     map[mail.Address]bool
	caught   bool // by a catch-all
	excess   bool
}

func (d *Directory) resolve(s *state, a mail.Address) resolver {
	r := resolver{s: s, hostname: d.hostname.Load().(mail.Domain)}
	if !r.ours(a) {
		r.Route = mail.Remote
		return r
	}
	r.Route = mail.Local
	r.follow(a, "")
	return r
}

// ours reports whether this host decides about a.
func (r *resolver) ours(a mail.Address) bool {
	if _, ok := r.s.domains[a.Domain]; ok {
		return true
	}
	return (a.Domain == "" || a.Domain == r.hostname) && canonicalLocal(a.Local) == postmaster
}

// follow adds what a leads to. detail is that of the address that led here.
func (r *resolver) follow(a mail.Address, detail string) {
	if !r.ours(a) {
		r.forward(a)
		return
	}
	if r.deliver(canonical(a), detail) {
		return
	}
	user, own := a.Local.Detail()
	if own != "" {
		detail = own
	}
	base := canonical(mail.Address{Local: user, Domain: a.Domain})
	if user != a.Local && r.deliver(base, detail) {
		return
	}
	if base.Local == postmaster && r.s.postmaster != (mail.Address{}) && r.deliver(r.s.postmaster, detail) {
		return
	}
	r.deliver(mail.Address{Local: catchAll, Domain: a.Domain}, "")
}

// deliver adds the account or follows the alias at a canonical address, if there is one.
func (r *resolver) deliver(a mail.Address, detail string) bool {
	if found := r.s.addresses[a]; found != nil {
		if r.visit(a) {
			r.Accounts = append(r.Accounts, LocalRecipient{found.id, found.Address, detail})
		}
		return true
	}
	targets, ok := r.s.aliases[a]
	if !ok {
		return false
	}
	r.caught = r.caught || a.Local == catchAll
	if r.visit(a) {
		for _, target := range targets {
			r.follow(target, detail)
		}
	}
	return true
}

func (r *resolver) forward(a mail.Address) {
	if r.visit(a) {
		r.Forward = append(r.Forward, a)
	}
}

// visit reports whether a is to be looked at: once each, and not too many.
func (r *resolver) visit(a mail.Address) bool {
	if r.seen[a] || r.excess {
		return false
	}
	if len(r.seen) >= maxExpansion {
		r.excess = true
		return false
	}
	if r.seen == nil {
		r.seen = map[mail.Address]bool{}
	}
	r.seen[a] = true
	return true
}
