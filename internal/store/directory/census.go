package directory

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// The bounds of the census. Whoever exceeds one in a day shares rows that say less; no attempt goes uncounted for it.
const (
	maxPendingRows = 4096 // in memory; refused attempts take half of it at most
	censusBatch    = 500  // rows in one transaction
	// Rows of a day: logins of one account, refusals that name it, refusals that name nobody.
	maxLoginRows    = 100
	maxRefusedRows  = 50
	maxStrangerRows = 1000
)

// census gathers attempts in memory and writes them once a minute, off the way of the logins; a crash loses that minute.
type census struct {
	writing chan struct{} // held by the one who writes
	wake    chan struct{} // there is much to write

	mu      sync.Mutex
	pending map[censusOwner]map[censusFields]*censusTally
	rows    int // in pending
	lost    uint64
	methods map[string]*mechanismRecord
	touched map[string]bool // methods that are to be written

	retired atomic.Pointer[map[string]bool]
}

func newCensus() *census {
	c := &census{
		writing: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		pending: map[censusOwner]map[censusFields]*censusTally{},
		methods: map[string]*mechanismRecord{}, touched: map[string]bool{},
	}
	c.retired.Store(&map[string]bool{})
	return c
}

// note counts an attempt. hash stands for the name of a stranger.
func (c *census) note(account mail.AccountID, f censusFields, now time.Time, hash string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Reason == "" {
		c.used(f.Mechanism, now)
	}
	at := now.Unix()
	c.count(censusOwner{account, dayOf(now)}, f, censusTally{1, at, at, hash})
	if c.rows >= maxPendingRows/2 {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// count adds to what is pending. mu is held.
func (c *census) count(o censusOwner, f censusFields, t censusTally) {
	if c.pending[o][f] == nil && f.Reason != "" && c.rows >= maxPendingRows/2 {
		f, o.account, t.Name = f.collapsed(), 0, ""
	}
	rows := c.pending[o]
	if old := rows[f]; old != nil {
		old.add(t)
		return
	}
	if c.rows >= maxPendingRows {
		c.lost += uint64(t.Times)
		return
	}
	if rows == nil {
		rows = map[censusFields]*censusTally{}
		c.pending[o] = rows
	}
	rows[f] = &t
	c.rows++
}

// rename gives what an account has pending without a name the name of its program, once.
func (c *census) rename(account mail.AccountID, s Service, mechanism string, from netip.Prefix, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for o, rows := range c.pending {
		if o.account != account {
			continue
		}
		for f, t := range rows {
			if f.Client != "" || f.Reason != "" || f.Service != s || f.Mechanism != mechanism || f.Network != from {
				continue
			}
			one := censusTally{1, t.Last, t.Last, ""}
			if t.Times--; t.Times == 0 {
				delete(rows, f)
				c.rows--
			}
			f.Client = name
			c.count(o, f, one)
			return
		}
	}
}

// take returns some of what is pending, which then counts as written.
func (c *census) take() map[censusOwner]map[censusFields]*censusTally {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := map[censusOwner]map[censusFields]*censusTally{}
	taken := 0
	for o, rows := range c.pending {
		if taken > 0 && taken+len(rows) > censusBatch {
			continue
		}
		batch[o] = rows
		taken += len(rows)
		delete(c.pending, o)
	}
	c.rows -= taken
	return batch
}

// lose counts what could not be written.
func (c *census) lose(batch map[censusOwner]map[censusFields]*censusTally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rows := range batch {
		for _, t := range rows {
			c.lost += uint64(t.Times)
		}
	}
}

// forget drops what is pending of an account.
func (c *census) forget(id mail.AccountID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for o, rows := range c.pending {
		if o.account == id {
			c.rows -= len(rows)
			delete(c.pending, o)
		}
	}
}

// writeCensus writes what is pending.
func (d *Directory) writeCensus(ctx context.Context) error {
	c := d.census
	select {
	case c.writing <- struct{}{}:
	case <-ctx.Done():
		return mail.Wrap(mail.Unavailable, ctx.Err(), "the census is being written")
	}
	defer func() { <-c.writing }()
	for batch := c.take(); len(batch) > 0; batch = c.take() {
		err := d.db.Update(ctx, func(tx kv.Tx) error {
			for o, rows := range batch {
				if err := mergeCensus(tx, o, rows); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			c.lose(batch)
			return err
		}
	}
	return d.writeMechanisms(ctx)
}

// mergeCensus adds rows to those of a day, unless the account is gone.
func mergeCensus(tx kv.Tx, o censusOwner, rows map[censusFields]*censusTally) error {
	if o.account != 0 {
		_, err := tx.Get(accountKey(o.account))
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	day := map[censusFields]censusTally{}
	var logins, refusals int
	for p, err := range tx.Scan(o.prefix(), kv.PrefixEnd(o.prefix())) {
		if err != nil {
			return err
		}
		_, r, err := parseCensus(p)
		if err != nil {
			continue // verify tells of it
		}
		day[r.censusFields] = r.censusTally
		if r.Reason == "" {
			logins++
		} else {
			refusals++
		}
	}
	for f, t := range rows {
		count, most := &logins, maxLoginRows
		if f.Reason != "" {
			count, most = &refusals, maxRefusedRows
		}
		if o.account == 0 {
			most = maxStrangerRows
		}
		if _, known := day[f]; !known && *count >= most {
			f = f.collapsed()
		}
		sum := *t
		if old, known := day[f]; known {
			sum.add(old)
		} else {
			*count++
		}
		day[f] = sum
		if err := setRecord(tx, o.key(f), censusRecord{f, sum}); err != nil {
			return err
		}
	}
	return nil
}

func (c *census) stats(to *Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	to.CensusLost = c.lost
}
