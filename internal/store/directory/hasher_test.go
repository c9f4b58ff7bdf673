package directory

import (
	"testing"
	"testing/synctest"

	"candor/internal/mail"
)

// occupy takes every worker, until free is called.
func occupy(t testing.TB, d *Directory) (free func()) {
	t.Helper()
	for range d.hasher.most {
		must(t, d.hasher.acquire(t.Context(), familiar))
	}
	return func() {
		for range d.hasher.most {
			d.hasher.release(familiar)
		}
	}
}

// TestRanks: when there is more to hash than workers, those who are familiar are first, and when the queue is full they
// take the places of others.
func TestRanks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hasher{most: 2, mostOthers: 1}
		must(t, h.acquire(t.Context(), stranger))
		second := make(chan error, maxWaiting)
		for range maxWaiting {
			go func() {
				err := h.acquire(t.Context(), suspect)
				if err == nil {
					h.release(suspect)
				}
				second <- err
			}()
		}
		synctest.Wait()
		if h.busy != 1 || h.waiting != maxWaiting {
			t.Fatalf("%d work and %d wait: one worker is for those who are familiar", h.busy, h.waiting)
		}
		must(t, h.acquire(t.Context(), familiar))
		wantKind(t, "one suspect too many", h.acquire(t.Context(), suspect), mail.Unavailable)

		first := make(chan error, 1)
		go func() { first <- h.acquire(t.Context(), familiar) }()
		synctest.Wait()
		wantKind(t, "the last of the suspects", <-second, mail.Unavailable)
		h.release(stranger)
		synctest.Wait()
		select {
		case err := <-first:
			must(t, err)
		default:
			t.Fatal("a suspect was served before someone familiar")
		}
		h.release(familiar)
		h.release(familiar)
		for range maxWaiting - 1 {
			must(t, <-second)
		}
		if h.busy != 0 || h.others != 0 || h.waiting != 0 {
			t.Errorf("%d work, %d of them others, %d wait", h.busy, h.others, h.waiting)
		}
	})
}

// TestWaitEnds: nobody waits for ever.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(1)
		must(t, h.acquire(t.Context(), familiar))
		wantKind(t, "one who has waited", h.acquire(t.Context(), stranger), mail.Unavailable)
		if h.waiting != 0 {
			t.Errorf("%d still wait", h.waiting)
		}
	})
}
