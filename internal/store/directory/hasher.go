package directory

import (
	"cmp"
	"context"
	"runtime"
	"sync/atomic"

	"candor/internal/mail"
)

// maxWaiting bounds the verifications that wait for a worker (specification, section 3.7).
const maxWaiting = 256

// hasher lets as many passwords be hashed at once as there are processors, or fewer. Each takes memory and a
// processor for tens of milliseconds, and strangers decide how many there are.
type hasher struct {
	workers chan struct{}
	waiting atomic.Int64
}

// newHasher returns a hasher for at most so many at once; 0: as many as there are processors.
func newHasher(most int) *hasher {
	processors := runtime.GOMAXPROCS(0)
	return &hasher{workers: make(chan struct{}, min(cmp.Or(most, processors), processors))}
}

// do calls f when a worker is free. Errors: Unavailable.
func (h *hasher) do(ctx context.Context, f func()) error {
	if err := h.acquire(ctx); err != nil {
		return err
	}
	defer func() { <-h.workers }()
	f()
	return nil
}

func (h *hasher) acquire(ctx context.Context) error {
	select {
	case h.workers <- struct{}{}:
		return nil
	default:
	}
	if h.waiting.Add(1) > maxWaiting {
		h.waiting.Add(-1)
		return mail.Errorf(mail.Unavailable, "too many logins at once; try again later")
	}
	defer h.waiting.Add(-1)
	select {
	case h.workers <- struct{}{}:
		return nil
	case <-ctx.Done():
		return mail.Wrap(mail.Unavailable, ctx.Err(), "too many logins at once; try again later")
	}
}
