package kv

import (
	"context"
	"sync/atomic"
	"time"

	"candor/internal/mail"
)

// Pebble makes a commit wait, for as long as it takes, when too much is in memory or in tables of the first level. To wait
// with a deadline, transactions keep away from these bounds by themselves. That one table is filled while another one is
// written is how it should be; what counts is the room that they have, not what is in them.
const (
	mostInMemory   = 3 * memTableSize // octets of keys, at which transactions wait; Pebble stops at twice that
	mostSublevels  = 12               // of the first level; Pebble stops at twice that
	pressureLook   = 20 * time.Millisecond
	busyPatience   = 20 * time.Second // of a transaction
	stallPatience  = 2 * time.Minute  // of the store, when Pebble has stopped a commit all the same
	stopMultiplier = 2
)

// pressure knows how far Pebble is behind.
type pressure struct {
	measure  func() (memory uint64, sublevels int)
	patience time.Duration
	next     atomic.Int64 // when to look again, in Unix nanoseconds
	high     atomic.Bool
}

// isHigh measures now and then.
func (p *pressure) isHigh() bool {
	now := time.Now().UnixNano()
	if next := p.next.Load(); now >= next && p.next.CompareAndSwap(next, now+int64(pressureLook)) {
		memory, sublevels := p.measure()
		p.high.Store(memory >= mostInMemory || sublevels >= mostSublevels)
	}
	return p.high.Load()
}

func (e *Engine) backlog() (memory uint64, sublevels int) {
	m := e.db.Metrics()
	return m.MemTable.Size, int(m.Levels[0].Sublevels)
}

// awaitRoom returns when Pebble can take a transaction. Errors: ErrBusy.
func (e *Engine) awaitRoom(ctx context.Context) error {
	if !e.pressure.isHigh() {
		return nil
	}
	e.stats.stalls.Add(1)
	for end := time.Now().Add(e.pressure.patience); time.Now().Before(end); {
		if err := sleep(ctx, pressureLook/2); err != nil {
			return err
		}
		if err := e.failed(); err != nil {
			return err
		}
		if !e.pressure.isHigh() {
			return nil
		}
	}
	return mail.Wrap(mail.Unavailable, ErrBusy, "the store is busy").With(4, 3, 1)
}
