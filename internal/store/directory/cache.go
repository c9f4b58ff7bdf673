package directory

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"candor/internal/mail"
)

// The bounds of the cache (specification, section 3.5: C-5).
const (
	maxCached   = 10_000
	cacheMaxAge = time.Hour
)

// decision is everything that the answer to a main password depends on. The cache's key is made of every field of it; a
// test goes through them by reflection. Scopes are part of the credential's generation; whether the account is disabled,
// and what it requires of logins, part of the account's. App passwords are not decided here: they are checked in a
// microsecond.
type decision struct {
	Realm      mail.Domain // of the account
	Login      string      // exactly as sent
	Account    mail.AccountID
	Service    Service
	Family     family
	Credential credentialID
	Generation uint64 // of the credential
	Policy     uint64 // generation of the account
	Epoch      uint64 // of the directory
	Rule       string // id of the insecure flag that takes the place of TLS, or ""
	Secret     []byte
}

func (d *decision) generations() Generations { return Generations{d.Generation, d.Policy, d.Epoch} }

// family is a kind of mechanism, all of which end in the same check.
type family string

// plainFamily is PLAIN, LOGIN and the commands that hand over a password.
const plainFamily family = "plain"

// cacheKey names a decision without telling it.
type cacheKey [sha256.Size]byte

// cache remembers which plain passwords were right, to save their hashing. A nil cache remembers
// nothing. All methods may be called concurrently.
type cache struct {
	secret [32]byte

	mu      sync.Mutex
	entries map[cacheKey]*list.Element
	order   *list.List // of cached, oldest first
	hits    uint64
	misses  uint64
	alarms  uint64
}

// cached is an entry, with the fields that a reader compares again, lest a fault in the making of
// keys become a login.
type cached struct {
	key        cacheKey
	account    mail.AccountID
	credential credentialID
	read       Generations
	added      time.Time
}

// Generations are the numbers that a decision was made at. They rise with what they stand for.
type Generations struct {
	Credential uint64 `json:"credential"`
	Account    uint64 `json:"account"`
	Epoch      uint64 `json:"epoch"` // of the directory
}

func newCache() *cache {
	c := &cache{entries: map[cacheKey]*list.Element{}, order: list.New()}
	_, _ = rand.Read(c.secret[:]) // never fails
	return c
}

// key hashes all fields of a decision, each with its length before it, so that no two decisions can
// run together.
func (c *cache) key(d *decision) cacheKey {
	h := hmac.New(sha256.New, c.secret[:])
	text := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	text([]byte(d.Realm))
	text([]byte(d.Login))
	text(number(d.Account))
	text([]byte(d.Service))
	text([]byte(d.Family))
	text(number(d.Credential))
	text(number(d.Generation))
	text(number(d.Policy))
	text(number(d.Epoch))
	text([]byte(d.Rule))
	text(d.Secret)
	return cacheKey(h.Sum(nil))
}

// holds reports whether d is known to be right.
func (c *cache) holds(d *decision) bool {
	if c == nil {
		return false
	}
	k := c.key(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[k]
	if e == nil || time.Since(e.Value.(cached).added) >= cacheMaxAge {
		c.misses++
		return false
	}
	if v := e.Value.(cached); v.account != d.Account || v.credential != d.Credential || v.read != d.generations() {
		c.alarms++
		c.misses++
		return false
	}
	c.hits++
	return true
}

// add remembers that d is right. An entry keeps its age when it is added again.
func (c *cache) add(d *decision) {
	if c == nil {
		return
	}
	v := cached{c.key(d), d.Account, d.Credential, d.generations(), time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(v.added)
	if c.entries[v.key] != nil {
		return
	}
	if len(c.entries) >= maxCached {
		c.drop(c.order.Front())
	}
	c.entries[v.key] = c.order.PushBack(v)
}

// expire drops what is too old. All entries live equally long, so the order is that of expiry.
func (c *cache) expire(now time.Time) {
	for e := c.order.Front(); e != nil && now.Sub(e.Value.(cached).added) >= cacheMaxAge; e = c.order.Front() {
		c.drop(e)
	}
}

func (c *cache) drop(e *list.Element) {
	delete(c.entries, c.order.Remove(e).(cached).key)
}

func (c *cache) stats(s *Stats) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.CacheEntries, s.CacheHits, s.CacheMisses, s.CacheKeyMismatches = len(c.entries), c.hits, c.misses, c.alarms
}
