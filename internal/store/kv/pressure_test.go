package kv

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"candor/internal/mail"
)

// TestBusy: while Pebble is behind, a transaction waits, but not for ever.
func TestBusy(t *testing.T) {
	e := openOn(t, vfs.NewMem())
	defer mustClose(t, e)
	var behind atomic.Bool
	behind.Store(true)
	e.pressure.measure = func() (uint64, int) {
		if behind.Load() {
			return 0, mostSublevels
		}
		return 0, 0
	}
	e.pressure.patience = 50 * time.Millisecond
	set := func() error {
		return e.Update(t.Context(), func(tx Tx) error { tx.Set([]byte("a"), nil); return nil })
	}
	if m := mail.AsError(set()); !errors.Is(m, ErrBusy) || m.Status.String() != "4.3.1" {
		t.Errorf("got %v, want ErrBusy with status 4.3.1", m)
	}
	e.pressure.patience = time.Minute
	done := make(chan error)
	go func() { done <- set() }()
	behind.Store(false)
	if err := <-done; err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// TestStalledForGood: who never comes back from Pebble does not keep Close from returning.
func TestStalledForGood(t *testing.T) {
	e := openOn(t, vfs.NewMem())
	e.leaveTime = time.Millisecond
	if err := e.gate.enter(); err != nil {
		t.Fatal(err)
	}
	e.stalled(pebble.WriteStallBeginInfo{Reason: "test"})
	if !e.stall.Load().Reset(0) {
		t.Error("nobody watches a stall")
	}
	<-e.Failed()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Err(); !errors.Is(err, ErrFailed) {
		t.Errorf("got %v, want ErrFailed", err)
	}
}

// TestFlushIsNoPressure: a table that is written while another one is filled is the ordinary course, and holds nobody up.
func TestFlushIsNoPressure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		memory    uint64
		sublevels int
		high      bool
	}{{memTableSize, 0, false}, {2 * memTableSize, 4, false}, {3 * memTableSize, 0, true}, {0, mostSublevels, true}} {
		p := pressure{measure: func() (uint64, int) { return c.memory, c.sublevels }}
		if got := p.isHigh(); got != c.high {
			t.Errorf("with %d octets in memory and %d sublevels: %v, want %v", c.memory, c.sublevels, got, c.high)
		}
	}
}
