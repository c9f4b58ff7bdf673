package kv

import "testing"

func TestHold(t *testing.T) {
	var e Engine
	first, second := e.Hold(), e.Hold()
	remove := func(want bool) {
		t.Helper()
		ran := false
		if got := e.holds.unlessHeld(func() { ran = true }); got != want || ran != want {
			t.Errorf("removing returned %v and ran %v, want %v", got, ran, want)
		}
	}
	remove(false)
	first()
	first() // counts once
	remove(false)
	second()
	remove(true)
}
