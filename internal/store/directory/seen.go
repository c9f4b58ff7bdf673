package directory

import (
	"net/netip"
	"slices"
	"time"

	"candor/internal/mail"
)

// SeenFrom returns the accounts that logged in since then, by the network that they last came from with each of their
// credentials: /24, or /48 for IPv6 (Network).
func (d *Directory) SeenFrom(since time.Time) map[netip.Prefix][]mail.Address {
	ids := d.uses.from(since)
	seen := map[netip.Prefix][]mail.Address{}
	d.view(func(s *state) {
		for network, of := range ids {
			for id := range of {
				if a := s.accounts[id]; a != nil {
					seen[network] = append(seen[network], a.Address)
				}
			}
			slices.SortFunc(seen[network], byDomain)
		}
	})
	return seen
}

// Network is the part of an address by which SeenFrom knows it.
func Network(a netip.Addr) netip.Prefix { return network(a) }

// from returns who used a credential since then, by network.
func (u *uses) from(since time.Time) map[netip.Prefix]map[mail.AccountID]bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	ids := map[netip.Prefix]map[mail.AccountID]bool{}
	for k, use := range u.known {
		if use.Time.Before(since.Truncate(useGrain)) {
			continue
		}
		if ids[use.Prefix] == nil {
			ids[use.Prefix] = map[mail.AccountID]bool{}
		}
		ids[use.Prefix][k.account] = true
	}
	return ids
}
