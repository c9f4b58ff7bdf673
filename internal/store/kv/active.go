package kv

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// active is the beginnings of the transactions that run, in order.
type active struct {
	mu     sync.Mutex
	begins list.List // of uint64
}

// enter notes a transaction that begins after the commits applied so far. The snapshot must be
// taken afterwards: then it shows them all.
func (a *active) enter(applied *atomic.Uint64) (begin uint64, leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	begin = applied.Load()
	element := a.begins.PushBack(begin)
	return begin, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.begins.Remove(element)
	}
}

// oldest is the least beginning of all transactions that run or will run.
func (a *active) oldest(applied *atomic.Uint64) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if first := a.begins.Front(); first != nil {
		return first.Value.(uint64)
	}
	return applied.Load()
}
