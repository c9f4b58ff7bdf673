package mailbox

import (
	"container/list"
	"context"
	"sync"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

type tableKey struct {
	account mail.AccountID
	id      ID
}

// idleCost is what an idle table counts beside its messages, in messages: its own size.
const idleCost = 64

// tables holds the tables of the mailboxes that are open, and of some that were, so that a client
// which logs in again finds its mailbox loaded.
type tables struct {
	limit int // messages in idle tables

	mu       sync.Mutex
	held     map[tableKey]*holding
	idle     list.List // of *holding, the one used last in front
	messages int       // in idle tables, with idleCost
}

type holding struct {
	table    *table
	sessions int
	element  *list.Element // while idle
	cost     int           // while idle
}

func newTables(limit int) *tables {
	return &tables{limit: limit, held: make(map[tableKey]*holding)}
}

// open returns the loaded table of a mailbox, which the caller must release. Errors: NotFound.
func (s *tables) open(ctx context.Context, db kv.DB, k tableKey) (*table, error) {
	t := s.hold(k)
	err := t.load(ctx, db)
	if err == nil && !t.reusable() {
		err = noSuchMailbox() // deleted while it was being read
	}
	if err != nil {
		s.release(t)
		return nil, err
	}
	return t, nil
}

func (s *tables) hold(k tableKey) *table {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[k]
	if h == nil {
		h = &holding{table: newTable(k)}
		s.held[k] = h
	}
	s.wake(h)
	h.sessions++
	return h.table
}

func (s *tables) release(t *table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[t.key]
	if h == nil || h.table != t {
		return // its account was removed
	}
	if h.sessions--; h.sessions > 0 {
		return
	}
	if !t.reusable() {
		delete(s.held, t.key)
		return
	}
	s.rest(h)
}

// reusable reports whether the table may serve another session.
func (t *table) reusable() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.loaded && !t.gone
}

func (t *table) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.uids)
}

// wake takes h out of the idle ones. s.mu is held.
func (s *tables) wake(h *holding) {
	if h.element == nil {
		return
	}
	s.idle.Remove(h.element)
	s.messages -= h.cost
	h.element, h.cost = nil, 0
}

// rest puts h in front of the idle ones and forgets the last ones beyond the limit. s.mu is held.
func (s *tables) rest(h *holding) {
	h.element = s.idle.PushFront(h)
	h.cost = idleCost + h.table.len()
	s.messages += h.cost
	for s.messages > s.limit && s.idle.Len() > 0 {
		last := s.idle.Back().Value.(*holding)
		s.wake(last)
		delete(s.held, last.table.key)
	}
}

// find returns the table that is held for a mailbox, or nil.
func (s *tables) find(k tableKey) *table {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[k]; h != nil {
		return h.table
	}
	return nil
}

// publish tells a mailbox's table, if it is held, what has become durable.
func (s *tables) publish(ctx context.Context, db kv.DB, account mail.AccountID, e event) {
	k := tableKey{account, e.id}
	t := s.find(k)
	if t == nil {
		return
	}
	if missed := t.publish(e); missed {
		// Failing that the table stays behind, and the next event tries again.
		_ = t.read(ctx, db)
	}
	s.weigh(k)
}

// weigh counts an idle table anew, which may have grown, and drops one whose mailbox is gone.
func (s *tables) weigh(k tableKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[k]
	if h == nil || h.element == nil {
		return
	}
	if !h.table.reusable() {
		s.wake(h)
		delete(s.held, k)
		return
	}
	s.wake(h)
	s.rest(h)
}

// removeAccount marks the tables of an account's mailboxes as gone and lets go of them.
func (s *tables) removeAccount(account mail.AccountID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, h := range s.held {
		if k.account != account {
			continue
		}
		h.table.publish(event{id: k.id, gone: true})
		s.wake(h)
		delete(s.held, k)
	}
}
