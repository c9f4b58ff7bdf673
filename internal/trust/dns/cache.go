package dns

import (
	"sync"
	"time"

	"github.com/miekg/dns"
)

// What the cache holds at most, and for how long (specification, section 4.11). Answers without
// records live as their SOA says (RFC 2308, section 5), within 5 minutes.
const (
	maxCached   = 10_000
	maxLife     = 24 * time.Hour
	maxNegative = 5 * time.Minute
)

type question struct {
	name  string
	qtype uint16
}

type cached struct {
	msg   *dns.Msg // not to be changed
	until time.Time
}

// cache remembers answers. It may be used concurrently.
type cache struct {
	now func() time.Time

	mu   sync.Mutex
	m    map[question]cached
	hits int64
}

func (c *cache) get(name string, qtype uint16) *dns.Msg {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[question{name, qtype}]
	if !ok || !c.now().Before(e.until) {
		return nil
	}
	c.hits++
	return e.msg
}

func (c *cache) put(name string, qtype uint16, m *dns.Msg) {
	life := lifetime(m, qtype)
	if life <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[question]cached{}
	}
	// Which one goes does not matter much: Go's map order is as good as random.
	for k := range c.m {
		if len(c.m) < maxCached {
			break
		}
		delete(c.m, k)
	}
	c.m[question{name, qtype}] = cached{m, c.now().Add(life)}
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.m)
}

func (c *cache) stats() (hits int64, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, len(c.m)
}

// lifetime is how long an answer may be told again.
func lifetime(m *dns.Msg, qtype uint16) time.Duration {
	life, positive := maxLife, false
	for _, rr := range m.Answer {
		life = min(life, time.Duration(rr.Header().Ttl)*time.Second)
		positive = positive || rr.Header().Rrtype == qtype
	}
	if positive {
		return life
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(life, maxNegative, time.Duration(min(soa.Minttl, soa.Hdr.Ttl))*time.Second)
		}
	}
	return 0
}
