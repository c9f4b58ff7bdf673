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
