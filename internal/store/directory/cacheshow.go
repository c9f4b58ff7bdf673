package directory

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"candor/internal/mail"
)

// CachedLogin is a right password that the cache remembers, as far as it can be shown.
type CachedLogin struct {
	Key        string      `json:"key"` // first octets of the keyed hash, in hexadecimal
	Added      time.Time   `json:"added"`
	Credential uint64      `json:"credential"`
	Read       Generations `json:"read"` // what the decision was made at
	Now        Generations `json:"now"`  // what the directory has; where they differ, the entry is found by nobody
}

// shownKey is how much of a key is shown, in octets.
const shownKey = 8

// CachedLogins returns what the cache remembers of an account, oldest first. Errors: NotFound.
func (d *Directory) CachedLogins(_ context.Context, a mail.Address) ([]CachedLogin, error) {
	return d.cachedLogins(a, d.cache.of)
}

// ForgetCached makes the cache forget an account. Nobody should have need of it: the cache holds no answer that the
// directory would not give. What it forgets is therefore written to the log, for those who look into why.
//
// Errors: NotFound.
func (d *Directory) ForgetCached(_ context.Context, a mail.Address) ([]CachedLogin, error) {
	dropped, err := d.cachedLogins(a, d.cache.forget)
	if err != nil {
		return nil, err
	}
	d.log.Warn("authentication cache dropped by an operator", "user", canonical(a).String(), "entries", len(dropped))
	for _, c := range dropped {
		d.log.Warn("authentication cache entry dropped", "user", canonical(a).String(), "entry", c.Key, "credential", c.Credential,
			"age", time.Since(c.Added).Round(time.Second), "read", c.Read, "now", c.Now)
	}
	return dropped, nil
}

func (g Generations) String() string {
	return fmt.Sprintf("%d/%d/%d", g.Credential, g.Account, g.Epoch)
}

// cachedLogins shows the entries of an account that from yields.
func (d *Directory) cachedLogins(a mail.Address, from func(mail.AccountID) []cached) (all []CachedLogin, err error) {
	var found *account
	var epoch uint64
	d.view(func(s *state) { found, epoch = s.addresses[canonical(a)], s.epoch })
	if found == nil {
		return nil, noAccount(a)
	}
	for _, e := range from(found.id) {
		now := Generations{Account: found.Generation, Epoch: epoch}
		if c := found.credential(e.credential); c != nil {
			now.Credential = c.Generation
		}
		all = append(all, CachedLogin{hex.EncodeToString(e.key[:shownKey]), e.added, uint64(e.credential), e.read, now})
	}
	return all, nil
}

// of returns the entries of an account, oldest first.
func (c *cache) of(id mail.AccountID) (found []cached) {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(time.Now())
	for e := c.order.Front(); e != nil; e = e.Next() {
		if v := e.Value.(cached); v.account == id {
			found = append(found, v)
		}
	}
	return found
}

// forget drops the entries of an account and returns them.
func (c *cache) forget(id mail.AccountID) []cached {
	found := c.of(id)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range found {
		if e := c.entries[v.key]; e != nil {
			c.drop(e)
		}
	}
	return found
}
