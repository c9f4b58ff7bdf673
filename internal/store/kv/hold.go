package kv

import "sync"

// holds counts those who need every segment that there is to stay.
type holds struct {
	mu    sync.Mutex
	count int
}

// Hold keeps every segment that is there now, or is begun later, from being removed until release is called, which
// may be done more than once; the collector rests meanwhile. A backup holds before it takes its snapshot of the keys: every blob that the
// snapshot links can then be copied from the files. There may be several holds at a time.
func (e *Engine) Hold() (release func()) {
	h := &e.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count++
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.count--
	})
}

// any tells whether there is a hold.
func (h *holds) any() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count > 0
}

// unlessHeld runs f, which removes segments, while nobody holds them; a hold that comes meanwhile waits for f. It
// returns false when there is a hold.
func (h *holds) unlessHeld(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count > 0 {
		return false
	}
	f()
	return true
}
