package directory

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"candor/internal/mail"
)

// fewRepeats is how often a program has to send the same wrong password before a person is told.
const fewRepeats = 3

// Repeat is a program that sends the same wrong password for an account again and again.
type Repeat struct {
	Account mail.Address
	Remote  netip.Addr // the last one, of the network
	Service Service
	Port    uint16 // ours
	Program string // as it calls itself; empty: it does not say
	Times   int64
	First   time.Time
	Last    time.Time
}

// Words are the sentence for the owner of the account: T-05 of the specification.
func (r *Repeat) Words() string {
	return fmt.Sprintf("%s still uses an old password (%d tries from %s). Enter the new one there. Your account is not locked.",
		cmp.Or(r.Program, "Your program"), r.Times, r.Remote)
}

// Repeats returns the programs that seem to have an old password, the latest first. By SCRAM and CRAM-MD5 it does not show
// which password a program has.
func (d *Directory) Repeats() []Repeat {
	all := d.throttle.repeats(d.accountNames())
	slices.SortFunc(all, func(a, b Repeat) int {
		return cmp.Or(b.Last.Compare(a.Last), byDomain(a.Account, b.Account), a.Remote.Compare(b.Remote))
	})
	return all
}

func (t *throttle) repeats(names map[uint64]mail.Address) (all []Repeat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for o, e := range t.pairs.known {
		p, account := e.Value.(*tally), names[o.name]
		if p.again == nil || account == (mail.Address{}) {
			continue
		}
		for _, g := range p.guesses {
			if g.times >= fewRepeats && !g.proof {
				all = append(all, Repeat{
					account, p.again.from, p.again.service, p.again.port, p.again.program,
					g.times, time.Unix(g.first, 0).UTC(), time.Unix(g.last, 0).UTC(),
				})
			}
		}
	}
	return all
}
