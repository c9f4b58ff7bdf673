package kv

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	triesBeforeTurn = 8
	turnPatience    = 50 * time.Millisecond
)

// turn is taken by a transaction that was run again too often: a long one, say, over rows that short
// ones keep changing. While it has the turn the commits of others wait, but not for long, so that a
// transaction within a transaction does not wait for itself.
type turn struct {
	taken chan struct{} // holds one element while the turn is taken
	over  atomic.Pointer[chan struct{}]
}

func newTurn() turn { return turn{taken: make(chan struct{}, 1)} }

// take waits for the turn. The caller gives it back.
func (t *turn) take(ctx context.Context) (giveBack func(), err error) {
	select {
	case t.taken <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	over := make(chan struct{})
	t.over.Store(&over)
	return func() {
		t.over.Store(nil)
		close(over)
		<-t.taken
	}, nil
}

// yield lets the transaction that has the turn go first.
func (t *turn) yield(ctx context.Context) error {
	over := t.over.Load()
	if over == nil {
		return nil
	}
	timer := time.NewTimer(turnPatience)
	defer timer.Stop()
	select {
	case <-*over:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
