package directory

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats are the numbers that an operator would look at.
type Stats struct {
	Domains, Accounts, Aliases int
	// WithPassword counts the enabled accounts that have a password, WithoutScram those of them for
	// whose sake SCRAM is not offered.
	WithPassword, WithoutScram int

	// Asked counts the logins that a verifier was asked for, with proof of encryption.
	Asked   uint64
	Logins  uint64
	Refused map[string]uint64 // by Reason
	Busy    uint64            // logins turned away because too many waited
	Waiting int               // logins that wait for a worker now
	// Unencrypted counts attempts without proof of encryption; anything but 0 is a bug in Candor.
	Unencrypted uint64

	// WrongLogins are those of the last half hour or so, of all addresses: each counts half after 30 minutes.
	WrongLogins int
	// BlockedAddresses are those whose logins are refused now; Blocks how often that began; Throttled the connections and
	// logins that were refused for it.
	BlockedAddresses  int
	Blocks, Throttled uint64

	// ClearCredentials counts logins that were tried without encryption, by service and whether there is such an account.
	ClearCredentials map[string]uint64
	// Exposed counts the right passwords among them, ClearNotChecked those for which there was no time to look.
	Exposed, ClearNotChecked uint64
	CensusLost               uint64 // attempts that the census does not know of

	CacheEntries           int
	CacheHits, CacheMisses uint64
	// CacheKeyMismatches counts entries found under another's key; anything but 0 is a bug in Candor.
	CacheKeyMismatches uint64
}

type counters struct {
	asked, logins, busy, unencrypted atomic.Uint64

	mu       sync.Mutex
	refusals map[string]uint64
}

func (c *counters) refused(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusals == nil {
		c.refusals = map[string]uint64{}
	}
	c.refusals[reason]++
}

// Stats returns the numbers as they are now.
func (d *Directory) Stats() Stats {
	s := Stats{
		Asked: d.counters.asked.Load(), Logins: d.counters.logins.Load(), Busy: d.counters.busy.Load(), Unencrypted: d.counters.unencrypted.Load(),
		Waiting: d.hasher.length(),
	}
	d.view(func(st *state) {
		s.Domains, s.Accounts, s.Aliases = len(st.domains), len(st.accounts), len(st.aliases)
		s.WithPassword, s.WithoutScram = st.withPassword, st.withoutScram
	})
	d.counters.mu.Lock()
	s.Refused = maps.Clone(d.counters.refusals)
	d.counters.mu.Unlock()
	d.cache.stats(&s)
	d.throttle.stats(d.now(), &s)
	d.sightings.stats(&s)
	d.census.stats(&s)
	return s
}
