package mailbox

import (
	"context"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Quota bounds what an account may hold in all its mailboxes (RFC 9208); 0 is no bound.
type Quota struct {
	Storage  int64 // octets
	Messages int64
}

// Usage is what an account holds. A message counts as often as it was copied, with all of its octets.
type Usage struct{ Storage, Messages int64 }

// exceeded returns OverQuota if what grew from before to u is over the quota.
func (q Quota) exceeded(before, u Usage) error {
	if q.Messages > 0 && u.Messages > q.Messages && u.Messages > before.Messages ||
		q.Storage > 0 && u.Storage > q.Storage && u.Storage > before.Storage {
		return mail.Errorf(mail.OverQuota, "The mailbox is full")
	}
	return nil
}

func (a *Account) quota() Quota {
	if a.store.quota == nil {
		return Quota{}
	}
	return a.store.quota(a.id)
}

// Quota returns the account's quota and what it holds. Errors: NotFound.
func (a *Account) Quota(ctx context.Context) (Quota, Usage, error) {
	u, err := a.Usage(ctx)
	return a.quota(), u, err
}

// Usage returns what the account holds. Errors: NotFound.
func (a *Account) Usage(ctx context.Context) (u Usage, err error) {
	err = a.store.db.View(ctx, func(r kv.Reader) error {
		row, err := readAccount(r, a.id)
		if err == nil {
			u, err = a.readUsage(r, row)
		}
		return err
	})
	return u, err
}

// Room returns OverQuota if there is no room for one more message of so many octets. Only the Append itself
// can tell for certain. Errors: NotFound.
func (a *Account) Room(ctx context.Context, octets int64) error {
	q := a.quota()
	if q == (Quota{}) {
		return nil
	}
	u, err := a.Usage(ctx)
	if err != nil {
		return err
	}
	return q.exceeded(u, Usage{u.Storage + max(octets, 1), u.Messages + 1})
}

// usageAt is what an account held at a version of its row.
type usageAt struct {
	modSeq ModSeq
	layout uint64
	usage  Usage
}

// readUsage returns what the account holds in the snapshot that has the row.
func (a *Account) readUsage(r kv.Reader, row accountRow) (Usage, error) {
	if known := a.usage.Load(); known != nil && known.modSeq == row.modSeq && known.layout == row.layout {
		return known.usage, nil
	}
	var u Usage
	prefix := key(a.id, kindCounters, 0)
	for p, err := range r.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return Usage{}, err
		}
		c, err := decodeCounters(p.Value)
		if err != nil {
			return Usage{}, err
		}
		u.Messages += int64(c.messages)
		u.Storage += c.size
	}
	a.usage.Store(&usageAt{row.modSeq, row.layout, u})
	return u, nil
}

// use counts n messages of so many octets together; both are negative for those that go.
func (c *change) use(n int, octets int64) {
	c.used.Messages += int64(n)
	c.used.Storage += octets
}

// release counts off a mailbox that is to be discarded.
func (c *change) release(id ID) error {
	if c.quota == (Quota{}) {
		return nil
	}
	b, err := c.box(id)
	if err == nil {
		c.use(-b.counters.messages, -b.counters.size)
	}
	return err
}
