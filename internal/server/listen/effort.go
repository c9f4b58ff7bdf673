package listen

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// What a connection has done is counted in octets: those that it moved, and what its doors add with Spend for work
// that takes as long as moving so many.
const (
	freeEffort = 128 << 10 // between two waits for input, without a turn
	turnEffort = 1 << 20   // in a turn; some milliseconds
	// turnTime is how long a turn lasts at most: who waits for something else meanwhile, such as the disk, does
	// not keep others from theirs.
	turnTime = 10 * time.Millisecond
	// calm is how long nobody with little to do must have come, so that those who work hard have every processor.
	calm = 100 * time.Millisecond
	// busyFor is how long someone counts as one who works hard after a turn, whatever comes between.
	busyFor = time.Second
)

// turns lets fewer connections than there are processors work hard at the same time, so that those with little to
// do find one that is free. While there are none of these, it is used as well. Turns are given in the order in which
// they are asked for.
type turns struct {
	always  chan struct{}
	inCalm  chan struct{}
	noticed atomic.Int64 // when one with little to do was, in Unix nanoseconds
}

func newTurns() *turns {
	processors := runtime.GOMAXPROCS(0)
	always := max(1, processors-1)
	return &turns{always: make(chan struct{}, always), inCalm: make(chan struct{}, processors-always)}
}

// notice tells that someone with little to do is there.
func (t *turns) notice() { t.noticed.Store(time.Now().UnixNano()) }

func (t *turns) isCalm() bool { return time.Now().UnixNano()-t.noticed.Load() >= int64(calm) }

// turn is one that was given. It is over once.
type turn struct {
	of    chan struct{}
	over  atomic.Bool
	timer *time.Timer
}

// take waits for a turn; nil when ctx ends before.
func (t *turns) take(ctx context.Context) *turn {
	var inCalm chan struct{}
	if t.isCalm() {
		inCalm = t.inCalm
	}
	given := &turn{of: t.always}
	select {
	case t.always <- struct{}{}:
	case inCalm <- struct{}{}:
		given.of = inCalm
	case <-ctx.Done():
		return nil
	}
	given.timer = time.AfterFunc(turnTime, given.give)
	return given
}

func (t *turn) give() {
	if !t.over.Swap(true) {
		<-t.of
	}
}

func (t *turn) end() {
	if t != nil {
		t.timer.Stop()
		t.give()
	}
}

func (t *turn) lasts() bool { return t != nil && !t.over.Load() }

// effort is what a connection has spent since it last waited for input.
type effort struct {
	turns *turns
	mu    sync.Mutex
	spent int
	turn  *turn
	hard  time.Time // when the last turn began
}

// Spend tells that so much is about to be done, in octets that would take as long to move. Who has done much
// since it last waited for input may have to wait here, until others have had their turn; not for long, since no turn is.
func (c *Conn) Spend(ctx context.Context, octets int) {
	e := &c.effort
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.spent += octets; e.spent <= freeEffort {
		return
	}
	if e.turn.lasts() && e.spent <= freeEffort+turnEffort {
		return
	}
	e.turn.end()
	e.turn = e.turns.take(ctx)
	e.spent = freeEffort
	e.hard = time.Now()
}

// Pause ends a turn before something that waits, as for the disk. What follows may need another.
func (c *Conn) Pause() { c.effort.pause() }

func (e *effort) pause() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turn.end()
	e.turn = nil
}

// rested begins anew, after a wait for input.
func (e *effort) rested() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.spent > 0 && time.Since(e.hard) > busyFor {
		e.turns.notice()
	}
	e.turn.end()
	e.turn, e.spent = nil, 0
}
