package directory

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"candor/internal/mail"
)

// RefusesLogins reports whether logins from an address are refused now, because too many different ones were wrong
// (specification, section 3.7). The door that asks is counted as having refused one.
func (d *Directory) RefusesLogins(from netip.Addr) bool { return d.throttle.refuses(d.now(), from) }

// Throttle puts bounds in force: logins from exempt networks are not counted, and of addresses, networks, names and pairs
// of the latter so many are known at a time, those of the last wrong logins.
func (d *Directory) Throttle(exempt []netip.Prefix, known int) { d.throttle.change(exempt, known) }

// Blocked is what wrong logins have led to.
type Blocked struct {
	// Network is an address whose logins are refused (as a prefix, /32 or /64), or a network (/24 or /48) that hears of
	// wrong passwords for an account later and later.
	Network netip.Prefix `json:"network"`
	Account mail.Address `json:"account,omitzero"` // of such a network; zero: there is none of the name that was tried
	Reason  string       `json:"reason"`           // "refused" or "slowed"
	Wrong   int          `json:"wrong"`            // logins, as far as they have not faded; the same password counts once
	Refused uint64       `json:"refused"`          // connections and logins
	Delay   Seconds      `json:"delay,omitzero"`   // of the next refusal
	Last    time.Time    `json:"last"`             // when the last wrong login was counted
	Until   time.Time    `json:"until"`
}

// Seconds is a time as JSON has it.
type Seconds = float64

// The reasons of a Blocked.
const (
	refusedLogins = "refused"
	slowedLogins  = "slowed"
)

// Blocked returns the addresses whose logins are refused and the networks whose wrong ones are slowed down, those that
// last longest first.
func (d *Directory) Blocked(context.Context) ([]Blocked, error) {
	names := map[uint64]mail.Address{}
	d.view(func(s *state) {
		for _, a := range s.accounts {
			names[d.throttle.nameOf(a.Address)] = a.Address
		}
	})
	all := d.throttle.list(d.now(), names)
	slices.SortFunc(all, func(a, b Blocked) int {
		return cmp.Or(b.Until.Compare(a.Until), a.Network.Compare(b.Network), byDomain(a.Account, b.Account))
	})
	return all, nil
}

func (t *throttle) list(now time.Time, names map[uint64]mail.Address) (all []Blocked) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := t.addresses.order.Front(); e != nil; e = e.Next() {
		if a := e.Value.(*tally); now.Before(a.until) {
			all = append(all, Blocked{Network: a.origin.network, Reason: refusedLogins, Wrong: a.whole(now), Refused: a.refused, Last: a.last, Until: a.until})
		}
	}
	for e := t.pairs.order.Front(); e != nil; e = e.Next() {
		p := e.Value.(*tally)
		if delay := slowed(p.whole(now)); delay > 0 {
			all = append(all, Blocked{
				Network: p.origin.network, Account: names[p.origin.name], Reason: slowedLogins, Wrong: p.whole(now),
				Delay: delay.Seconds(), Last: p.last, Until: p.fades(slowFrom),
			})
		}
	}
	return all
}

func (t *throttle) stats(now time.Time, s *Stats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.addresses.known {
		if now.Before(e.Value.(*tally).until) {
			s.BlockedAddresses++
		}
	}
	s.WrongLogins, s.Blocks, s.Throttled = t.all.whole(now), t.begun, t.refused
}

// Unblock forgets the wrong logins from what lies in a network, and returns whether there were any.
func (d *Directory) Unblock(_ context.Context, n netip.Prefix) (bool, error) {
	inside := func(o origin) bool { return o.network.IsValid() && n.Overlaps(o.network) }
	return d.throttle.forget(inside), nil
}

// UnblockAccount forgets the wrong logins under the name of an account, and returns whether there were any.
//
// Errors: NotFound.
func (d *Directory) UnblockAccount(ctx context.Context, a mail.Address) (bool, error) {
	account, err := d.Account(ctx, a)
	if err != nil {
		return false, err
	}
	name := d.throttle.nameOf(account.Address)
	return d.throttle.forget(func(o origin) bool { return o.name == name }), nil
}

func (t *throttle) forget(f func(origin) bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, all := range []*tallies{t.addresses, t.networks, t.accounts, t.pairs} {
		n += all.remove(f)
	}
	return n > 0
}
