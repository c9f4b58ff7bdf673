package kv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"candor/internal/mail"
)

const (
	triesInTurn  = 12
	firstBackoff = 50 * time.Microsecond
	maxBackoff   = 5 * time.Millisecond

	// maxHistory bounds the keys that are remembered for transactions that run long; a transaction
	// that began before the oldest commit remembered is run again.
	maxHistory = 1 << 18
)

var errAgain = errors.New("kv: conflict")

// commit is a transaction that has its place in the order.
type commit struct {
	number    uint64
	footprint footprint
	batch     *pebble.Batch
	done      chan struct{} // closed when the commit is durable or has failed
	err       error         // valid after done
}

// View implements DB.
func (e *Engine) View(ctx context.Context, f func(Reader) error) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.leave()
	s := snapshot{e.db.NewSnapshot()}
	defer s.pebble.Close()
	shown := e.last.Load()
	return shown.after(ctx, f(s))
}

// after returns err, the outcome of a function that may tell what it saw, once that is durable.
func (c *commit) after(ctx context.Context, err error) error {
	if waitErr := c.wait(ctx); waitErr != nil {
		return waitErr
	}
	return err
}

// wait returns when the commit, and so every one before it, is durable.
func (c *commit) wait(ctx context.Context) error {
	if c == nil {
		return nil
	}
	select {
	case <-c.done:
		return c.err
	default:
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Update implements DB. Once the transaction has its place in the order, ctx no longer counts.
func (e *Engine) Update(ctx context.Context, f func(Tx) error) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.leave()
	if err := e.repeat(ctx, triesBeforeTurn, f, e.turn.yield); err != errAgain {
		return err
	}
	giveBack, err := e.turn.take(ctx)
	if err != nil {
		return err
	}
	defer giveBack()
	if err := e.repeat(ctx, triesInTurn, f, goFirst); err != errAgain {
		return err
	}
	return ErrConflict
}

// goFirst stands for turn.yield for the transaction that has the turn.
func goFirst(context.Context) error { return nil }

// repeat runs f until it was not in conflict. It returns errAgain when it was every time.
func (e *Engine) repeat(ctx context.Context, times int, f func(Tx) error, yield func(context.Context) error) error {
	backoff := firstBackoff
	for range times {
		if err := e.try(ctx, f, yield); err != errAgain {
			return err
		}
		e.stats.conflicts.Add(1)
		if err := sleep(ctx, rand.N(backoff)); err != nil {
			return err
		}
		backoff = min(2*backoff, maxBackoff)
	}
	return errAgain
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// try runs f once and commits. It returns errAgain when another transaction got in the way.
func (e *Engine) try(ctx context.Context, f func(Tx) error, yield func(context.Context) error) error {
	c, err := e.run(ctx, f, yield)
	if err != nil || c == nil {
		return err
	}
	e.settle(c)
	return c.err
}

// run runs f and gives its writes their place. It returns no commit when there was nothing to write.
func (e *Engine) run(ctx context.Context, f func(Tx) error, yield func(context.Context) error) (*commit, error) {
	begin, leave := e.active.enter(&e.applied)
	defer leave()
	t := &tx{snapshot: snapshot{e.db.NewSnapshot()}, begin: begin}
	defer t.snapshot.pebble.Close()
	shown := e.last.Load()
	if err := f(t); err != nil || t.writes.empty() {
		return nil, shown.after(ctx, err)
	}
	if err := yield(ctx); err != nil {
		return nil, err
	}
	return e.commit(ctx, t)
}

// commit gives t its place in the order, if all that it read is still so, and begins to make it durable.
func (e *Engine) commit(ctx context.Context, t *tx) (*commit, error) {
	if err := e.mayCommit(ctx, t); err != nil {
		return nil, err
	}
	if err := e.awaitRoom(ctx); err != nil {
		return nil, err
	}
	if err := t.linking.sort(t.snapshot, e.flights); err != nil {
		return nil, err
	}
	batch := e.db.NewBatchWithSize(t.writes.size + 16*len(t.writes.writes) + 64)
	if err := t.writes.fill(batch); err != nil {
		return nil, errors.Join(err, batch.Close())
	}
	c := &commit{done: make(chan struct{}), footprint: t.writes.footprint(), batch: batch}
	if err := e.place(t, c); err != nil {
		return nil, err
	}
	e.flights.linked(t.linking.fresh)
	e.collector.note(t.linking.garbage())
	return c, nil
}

func (e *Engine) mayCommit(ctx context.Context, t *tx) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if int64(t.writes.size) > e.maxTx {
		cause := fmt.Errorf("%w: %d octets", ErrTooBig, t.writes.size)
		return mail.Wrap(mail.TooMany, cause, "too much at once: do it in smaller steps")
	}
	return e.space.check(keysReserve)
}

// place is the short critical section: it checks t's reads against the commits since it began,
// and applies the batch. Who takes a snapshot afterwards sees it.
func (e *Engine) place(t *tx, c *commit) error {
	e.commitMu.Lock()
	defer e.commitMu.Unlock()
	if err := e.failed(); err != nil {
		return err
	}
	if !e.history.allows(t) {
		return errAgain
	}
	if err := e.mayLink(t.linking.fresh); err != nil {
		return err
	}
	c.number = e.applied.Load() + 1
	e.history.add(c)
	e.last.Store(c) // before a View can see what is in the batch
	if err := e.apply(c.batch); err != nil {
		c.err = err
		close(c.done)
		return err
	}
	e.applied.Store(c.number)
	e.collector.late.add(t)
	e.history.prune(e.active.oldest(&e.applied))
	e.stats.commits.Add(1)
	return nil
}

// apply turns a panic of Pebble, which gives up in that way, into the failure of the store.
func (e *Engine) apply(batch *pebble.Batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e.wedged.Store(true)
			e.disk.fail(fmt.Errorf("committing: %v", p))
			err = e.failed()
		}
	}()
	if err := e.db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
		e.disk.fail(fmt.Errorf("committing: %w", err))
	}
	return e.failed()
}

// settle waits for the sync that c shares with its neighbours. Commits are synced in their order.
func (e *Engine) settle(c *commit) {
	if err := c.batch.SyncWait(); err != nil {
		e.disk.fail(fmt.Errorf("syncing the log: %w", err))
	}
	c.err = e.failed()
	close(c.done)
	_ = c.batch.Close() // gives the memory back and cannot fail after the commit
}

// history remembers the commits that a running transaction may not have in its snapshot.
type history struct {
	commits []*commit // in order
	keys    int
	floor   uint64 // commits up to this one are forgotten
}

// allows tells whether all that t read is still as it was when t began.
func (h *history) allows(t *tx) bool {
	if t.begin < h.floor {
		return false
	}
	for i := len(h.commits) - 1; i >= 0 && h.commits[i].number > t.begin; i-- {
		if h.commits[i].footprint.hits(&t.reads) {
			return false
		}
	}
	return true
}

func (h *history) add(c *commit) {
	h.commits = append(h.commits, c)
	h.keys += len(c.footprint.keys) + len(c.footprint.ranges)
}

// prune forgets the commits that every running transaction has in its snapshot, and the oldest
// when there are too many.
func (h *history) prune(begin uint64) {
	n := 0
	for n < len(h.commits) && (h.commits[n].number <= begin || h.keys > maxHistory) {
		c := h.commits[n]
		h.keys -= len(c.footprint.keys) + len(c.footprint.ranges)
		h.floor = c.number
		c.footprint = footprint{}
		h.commits[n] = nil
		n++
	}
	h.commits = h.commits[n:]
}
