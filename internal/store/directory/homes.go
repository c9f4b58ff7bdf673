package directory

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"candor/internal/mail"
)

const (
	// homeTime is how long a login tells who is behind an address (specification, section 3.7).
	homeTime = 30 * 24 * time.Hour
	// homeGrain is how exactly the time of a login is known.
	homeGrain = time.Hour
	// maxHomes bounds what is known of one account.
	maxHomes = 16
	// sharedBy is how many accounts make an address that of an office or a cloud.
	sharedBy = 3
)

// home is an address that an account has logged in from: /32 or /64.
type home struct {
	host netip.Prefix
	last time.Time
}

// homes are the addresses from which accounts have logged in since the start, in memory alone. For what was before,
// the last use of each credential stands, of which the store has the network.
type homes struct {
	started time.Time
	uses    *uses

	mu sync.Mutex
	of map[mail.AccountID][]home // the latest last
}

func newHomes(u *uses, started time.Time) *homes {
	return &homes{started: started, uses: u, of: map[mail.AccountID][]home{}}
}

// note remembers a login.
func (h *homes) note(id mail.AccountID, from netip.Addr, now time.Time) {
	there := host(plain(from))
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.of[id]
	if n := len(all); n > 0 && all[n-1].host == there && now.Sub(all[n-1].last) < homeGrain {
		return
	}
	all = slices.DeleteFunc(all, func(o home) bool { return o.host == there || now.Sub(o.last) >= homeTime })
	if len(all) >= maxHomes {
		all = slices.Delete(all, 0, 1)
	}
	h.of[id] = append(all, home{there, now})
}

func (h *homes) forget(id mail.AccountID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, id)
}

// know reports whether an account has logged in from the network of an address.
func (h *homes) know(a *account, from netip.Addr, now time.Time) bool {
	there := network(from)
	for i := range a.credentials {
		if last := h.uses.last(credentialKey{a.id, a.credentials[i].id}); last.Prefix == there && now.Sub(last.Time) < homeTime {
			return true
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.of[a.id], func(o home) bool {
		return there.Contains(o.host.Addr()) && now.Sub(o.last) < homeTime
	})
}

// shared reports whether so many accounts have logged in from an address that it cannot be that of one person.
func (h *homes) shared(from netip.Addr, now time.Time) bool {
	accounts := h.uses.before(h.started, now.Add(-homeTime), network(from))
	there := host(from)
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, all := range h.of {
		if slices.ContainsFunc(all, func(o home) bool { return o.host == there && now.Sub(o.last) < homeTime }) {
			accounts[id] = true
		}
	}
	return len(accounts) >= sharedBy
}
