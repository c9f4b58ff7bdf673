package directory

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

const (
	// useGrain is how exactly uses are known: a use in the same hour as the last one is not noted.
	useGrain = time.Hour
	// flushEvery is how long a use may wait to be written; a crash loses it.
	flushEvery = time.Minute
	// flushBatch bounds one transaction.
	flushBatch = 500
	// flushTime bounds the last flush, when the directory is closed.
	flushTime = 10 * time.Second
)

// uses holds when each credential was last used, and which of that is not written yet.
type uses struct {
	mu    sync.Mutex
	known map[credentialKey]LastUse
	dirty map[credentialKey]bool
}

func newUses() *uses {
	return &uses{known: map[credentialKey]LastUse{}, dirty: map[credentialKey]bool{}}
}

// note remembers a use, if it is the first of its hour.
func (u *uses) note(k credentialKey, now time.Time, a Attempt) {
	hour := now.UTC().Truncate(useGrain)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.known[k].Time.Equal(hour) {
		return
	}
	u.known[k] = LastUse{hour, network(a.Peer.Remote.Addr()), a.Service, a.Mechanism}
	u.dirty[k] = true
}

// network is the part of an address that is kept: /24 or /48.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

func (u *uses) last(k credentialKey) LastUse {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.known[k]
}

// before returns the accounts that were last used in a network since then, but not after the start.
func (u *uses) before(start, since time.Time, n netip.Prefix) map[mail.AccountID]bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	found := map[mail.AccountID]bool{}
	for k, use := range u.known {
		if use.Prefix == n && use.Time.Before(start) && !use.Time.Before(since) {
			found[k.account] = true
		}
	}
	return found
}

// restore takes what was read from the store, without losing what is not written yet.
func (u *uses) restore(stored map[credentialKey]LastUse) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for k := range u.dirty {
		stored[k] = u.known[k]
	}
	u.known = stored
}

func (u *uses) forget(id mail.AccountID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for k := range u.known {
		if k.account == id {
			delete(u.known, k)
			delete(u.dirty, k)
		}
	}
}

// drop forgets the uses of one credential.
func (u *uses) drop(k credentialKey) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.known, k)
	delete(u.dirty, k)
}

// take returns some uses that are not written yet, which then count as written.
func (u *uses) take() map[credentialKey]LastUse {
	u.mu.Lock()
	defer u.mu.Unlock()
	batch := map[credentialKey]LastUse{}
	for k := range u.dirty {
		if len(batch) == flushBatch {
			break
		}
		batch[k] = u.known[k]
		delete(u.dirty, k)
	}
	return batch
}

// flushUses writes what has gathered, until ctx ends.
func (d *Directory) flushUses(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.writeUses(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
			defer cancel()
			d.writeUses(last)
			return
		}
	}
}

func (d *Directory) writeUses(ctx context.Context) {
	for batch := d.uses.take(); len(batch) > 0; batch = d.uses.take() {
		err := d.db.Update(ctx, func(tx kv.Tx) error { return setUses(tx, batch) })
		if err != nil {
			d.log.Warn("could not note when credentials were last used", "err", err)
			return
		}
	}
}

// setUses writes the uses of credentials that still exist.
func setUses(tx kv.Tx, batch map[credentialKey]LastUse) error {
	for k, use := range batch {
		_, err := tx.Get(k.record())
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := setRecord(tx, k.use(), use); err != nil {
			return err
		}
	}
	return nil
}
