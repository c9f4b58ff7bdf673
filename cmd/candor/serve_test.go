package main

import (
	"testing"
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
