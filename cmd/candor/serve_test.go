package main

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// unsound is a store that has failed.
type unsound chan struct{}

func (u unsound) Failed() <-chan struct{} { return u }

// TestWhileSound: the server does not go on when its store has failed.
func TestWhileSound(t *testing.T) {
	store := make(unsound)
	ctx, stop := whileSound(t.Context(), store)
	defer stop()
	if err := ctx.Err(); err != nil {
		t.Errorf("with a sound store: %v", err)
	}
	close(store)
	<-ctx.Done()
}

// TestWhenStuck: a server that does not end by itself some time after its store has failed is ended.
func TestWhenStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, exits := make(unsound), atomic.Int32{}
		defer whenStuck(store, time.Minute, func() { exits.Add(1) })()
		ended := whenStuck(store, time.Minute, func() { t.Error("a server that had ended was ended") })
		time.Sleep(time.Hour)
		close(store)
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		ended()
		if exits.Load() != 0 {
			t.Error("ended too early")
		}
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		if exits.Load() != 1 {
			t.Errorf("ended %d times", exits.Load())
		}
	})
}

// TestToldToEndAtStart: who is told to end before the server serves is obeyed as one who is told later.
func TestToldToEndAtStart(t *testing.T) {
	c, _ := world(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := serve(ctx, c, serveOptions{log: io.Discard}); err != nil {
		t.Error(err)
	}
	if o, err := openOffline(t.Context(), c); err != nil {
		t.Errorf("what was opened is still held: %v", err)
	} else if err := o.Close(); err != nil {
		t.Error(err)
	}
}
