package directory

import (
	"cmp"
	"container/list"
	"context"
	"runtime"
	"sync"
	"time"

	"candor/internal/mail"
)

const (
	// maxWaiting bounds the verifications that wait for a worker (specification, section 3.7).
	maxWaiting = 256
	// maxWait bounds how long one waits.
	maxWait = 30 * time.Second
)

// rank says whose turn it is when there are more passwords to hash than workers.
type rank int

// The ranks, the first to be served first.
const (
	familiar   rank = iota // who has logged in from there before, and the operator
	stranger               // who may be anybody
	suspect                // who names an account, or comes from a place, that passwords are being guessed for
	background             // what nobody waits for
	ranks
)

// hasher lets as many passwords be hashed at once as there are processors, or fewer. Each takes memory and a
// processor for tens of milliseconds, and strangers decide how many there are: they get all workers but one, so that
// those who are familiar find a worker and a processor.
type hasher struct {
	most       int        // workers
	mostOthers int        // who are not familiar
	heavy      sync.Mutex // held by the one who takes more memory than our own hashes

	mu      sync.Mutex
	busy    int
	others  int // of the busy ones
	queues  [ranks]list.List
	waiting int
}

// waiter waits for a worker. given is filled once: with nil when it has one.
type waiter struct{ given chan error }

// newHasher returns a hasher for at most so many at once; 0: as many as there are processors.
func newHasher(most int) *hasher {
	processors := runtime.GOMAXPROCS(0)
	most = min(cmp.Or(most, processors), processors)
	return &hasher{most: most, mostOthers: max(1, most-1)}
}

// rankKey is that of a rank function in a context.
type rankKey struct{}

// withRank returns a context in which work has the rank that of returns. It is not asked where that does not matter.
func withRank(ctx context.Context, of func() rank) context.Context {
	return context.WithValue(ctx, rankKey{}, of)
}

// rankOf is the rank of work in ctx: that of the operator if it has no other.
func rankOf(ctx context.Context) rank {
	if of, ok := ctx.Value(rankKey{}).(func() rank); ok {
		return of()
	}
	return familiar
}

// do calls f when a worker is free. Errors: Unavailable.
func (h *hasher) do(ctx context.Context, f func()) error {
	r := rankOf(ctx)
	if err := h.acquire(ctx, r); err != nil {
		return err
	}
	defer h.release(r)
	f()
	return nil
}

// doIdle calls f when nobody else wants a worker. Errors: Unavailable.
func (h *hasher) doIdle(ctx context.Context, f func()) error {
	return h.do(withRank(ctx, func() rank { return background }), f)
}

func (h *hasher) acquire(ctx context.Context, r rank) error {
	h.mu.Lock()
	if h.mayWork(r) {
		h.begin(r)
		h.mu.Unlock()
		return nil
	}
	if h.waiting >= maxWaiting && !h.displace(r) {
		h.mu.Unlock()
		return tooBusy(nil)
	}
	w := &waiter{make(chan error, 1)}
	place := h.queues[r].PushBack(w)
	h.waiting++
	h.mu.Unlock()
	patience := time.NewTimer(maxWait)
	defer patience.Stop()
	select {
	case err := <-w.given:
		return err
	case <-patience.C:
		return h.giveUp(w, place, r, nil)
	case <-ctx.Done():
		return h.giveUp(w, place, r, ctx.Err())
	}
}

func tooBusy(cause error) error {
	return mail.Wrap(mail.Unavailable, cause, "too many logins at once; try again later")
}

// mayWork reports whether there is a worker for a rank. mu is held.
func (h *hasher) mayWork(r rank) bool {
	return h.busy < h.most && (r == familiar || h.others < h.mostOthers)
}

func (h *hasher) begin(r rank) {
	h.busy++
	if r != familiar {
		h.others++
	}
}

// displace makes room for a rank by turning away the last of the lowest. mu is held.
func (h *hasher) displace(by rank) bool {
	for r := background; r > by; r-- {
		if last := h.queues[r].Back(); last != nil {
			h.take(r, last).given <- tooBusy(nil)
			return true
		}
	}
	return false
}

func (h *hasher) take(r rank, place *list.Element) *waiter {
	h.waiting--
	return h.queues[r].Remove(place).(*waiter)
}

// giveUp ends a wait, unless it has just been answered.
func (h *hasher) giveUp(w *waiter, place *list.Element, r rank, cause error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case err := <-w.given:
		return err
	default:
		h.take(r, place)
		return tooBusy(cause)
	}
}

// release gives the worker to the first of those who wait.
func (h *hasher) release(r rank) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy--
	if r != familiar {
		h.others--
	}
	for next := range ranks {
		first := h.queues[next].Front()
		if first != nil && h.mayWork(next) {
			h.begin(next)
			h.take(next, first).given <- nil
			return
		}
	}
}

// length is how many wait.
func (h *hasher) length() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waiting
}
