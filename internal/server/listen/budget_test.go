package listen

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"candor/internal/mail"
)

// TestBudget: who finds too little waits, gets what others give back, and is told to come back when
// nobody does; what is greater than all takes all.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		if err := b.Take(t.Context(), 1000); err != nil || b.TryTake(1) {
			t.Fatalf("all of it: %v, and more besides", err)
		}
		go func() {
			time.Sleep(budgetPatience / 2)
			b.Give(1000)
		}()
		if err := b.Take(t.Context(), 60); err != nil {
			t.Errorf("given back in time: %v", err)
		}
		before := time.Now()
		err := b.Take(t.Context(), 60)
		if e := mail.AsError(err); e.Kind != mail.Unavailable || e.Status.String() != "4.3.1" || time.Since(before) != budgetPatience {
			t.Errorf("after %s: %v", time.Since(before), err)
		}
		if err := b.TakeNow(t.Context(), 60); !mail.IsKind(err, mail.Unavailable) {
			t.Errorf("at once: %v", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Take(ended, 60); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		b.Give(60)
		if got, want := b.Stats(), (BudgetStats{Size: 100, Waited: 3, Refused: 3}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestNoBudget: without one there is no limit.
func TestNoBudget(t *testing.T) {
	var b *Budget
	if err := b.Take(t.Context(), 1<<40); err != nil {
		t.Error(err)
	}
	b.Give(1 << 40)
}

// TestLongLineWithoutMemory: a line that needs a large buffer waits for memory in vain, and the connection
// ends; short ones do not need any.
func TestLongLineWithoutMemory(t *testing.T) {
	t.Parallel()
	b := NewBudget(largeBuffer)
	b.patience = time.Millisecond
	b.TryTake(largeBuffer)
	failed := make(chan error, 1)
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Required}}, Memory: b,
		Handlers: map[Service]Handler{IMAP: func(_ context.Context, c *Conn) {
			for {
				line, err := c.ReadLine(largeBuffer)
				if err != nil {
					failed <- err
					return
				}
				c.Write(line)
				c.Flush()
			}
		}},
	})
	c := ts.dial(t, 0)
	send(t, c, "short\r\n")
	expect(t, c, "short\r\n")
	send(t, c, strings.Repeat("x", 2*smallBuffer))
	if err := <-failed; !errors.Is(err, ErrNoMemory) {
		t.Errorf("got %v", err)
	}
}
