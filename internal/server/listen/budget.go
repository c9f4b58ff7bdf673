package listen

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"candor/internal/mail"
)

// budgetPatience is how long a session waits for memory that others have.
const budgetPatience = 10 * time.Second

// Budget is memory that all sessions share for what a peer can make grow. Who needs much of it
// waits until there is enough, and after a while is told to come back later, so that nobody else has
// to wait. A nil Budget is without limit.
//
// A session takes what it will need at most in one piece, and waits for no more while it holds some.
type Budget struct {
	size     int64
	patience time.Duration
	free     *semaphore.Weighted
	used     atomic.Int64
	waited   atomic.Int64
	refused  atomic.Int64
}

// NewBudget returns a Budget of size octets.
func NewBudget(size int64) *Budget {
	return &Budget{size: size, patience: budgetPatience, free: semaphore.NewWeighted(size)}
}

// Take waits for n octets, which the caller gives back with Give. What is greater than the whole
// budget takes all of it.
//
// Errors: Unavailable, when there is not enough for some time; that of ctx.
func (b *Budget) Take(ctx context.Context, n int64) error {
	if b.TryTake(n) {
		return nil
	}
	b.waited.Add(1)
	short, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	if err := b.free.Acquire(short, min(n, b.size)); err != nil {
		return b.refuse(ctx)
	}
	b.used.Add(min(n, b.size))
	return nil
}

// TakeNow is Take for who holds some already: it does not wait.
func (b *Budget) TakeNow(ctx context.Context, n int64) error {
	if b.TryTake(n) {
		return nil
	}
	return b.refuse(ctx)
}

func (b *Budget) refuse(ctx context.Context) error {
	b.refused.Add(1)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return mail.Errorf(mail.Unavailable, "Out of memory for this; try again later").With(4, 3, 1)
}

// TryTake is Take for who can do without: it does not wait.
func (b *Budget) TryTake(n int64) bool {
	if b == nil {
		return true
	}
	n = min(n, b.size)
	if !b.free.TryAcquire(n) {
		return false
	}
	b.used.Add(n)
	return true
}

// Give gives back what Take or TryTake got for the same n.
func (b *Budget) Give(n int64) {
	if b == nil || n == 0 {
		return
	}
	n = min(n, b.size)
	b.used.Add(-n)
	b.free.Release(n)
}

// BudgetStats are the numbers of a Budget.
type BudgetStats struct {
	Size    int64 `json:"size"`    // octets
	Used    int64 `json:"used"`    // octets
	Waited  int64 `json:"waited"`  // times that a session had to wait
	Refused int64 `json:"refused"` // times that it waited in vain
}

// Stats returns the numbers.
func (b *Budget) Stats() BudgetStats {
	return BudgetStats{Size: b.size, Used: b.used.Load(), Waited: b.waited.Load(), Refused: b.refused.Load()}
}
