package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// entry is an item in memory: one with at least one recipient under way. Queue.mu guards its
// recipients.
type entry struct {
	q          *Queue
	m          *Message
	created    time.Time
	recipients []*recipient // that are not done
	next       uint32       // number for the next recipient
	active     int          // recipients in phase active
	reporting  bool         // its round has ended
	removed    bool         // from the store
}

// recipient is a recipient that is not done.
type recipient struct {
	n        uint32
	to       mail.Recipient
	depth    int       // how many aliases led here
	due      time.Time // of its index key; zero: it has none
	attempts int
	warned   bool    // its sender has heard of the delay
	last     *Result // of the last attempt; nil: none yet
	phase    phase
	delayed  bool // its sender is to hear of the delay when the round ends
	final    bool // Settle took it for the item's last one
}

// phase is where a recipient is.
type phase uint8

const (
	active  phase = iota // an attempt is under way or about to be
	waiting              // for its time, under its index key
	failed               // for good; the report comes at the end of the round
	gone                 // from the store
)

// newEntry makes the entry of a message that is not in the store yet.
func (q *Queue) newEntry(m *Message, created time.Time) (*entry, error) {
	if len(m.ID) != idSize {
		return nil, fmt.Errorf("%q is not a queue ID", m.ID)
	}
	if len(m.Envelope.Recipients) == 0 {
		return nil, mail.Errorf(mail.Syntax, "a message without recipients")
	}
	e := &entry{q: q, m: m, created: created}
	seen := make(map[mail.Recipient]bool, len(m.Envelope.Recipients))
	for _, to := range m.Envelope.Recipients {
		if to.Route != mail.Local && to.Route != mail.Remote {
			return nil, fmt.Errorf("recipient %s has no route", to.Address)
		}
		if !seen[to] {
			seen[to] = true
			e.add(to, 0)
		}
	}
	e.active = len(e.recipients)
	m.entry = e
	return e, nil
}

func (e *entry) add(to mail.Recipient, depth int) *recipient {
	r := &recipient{n: e.next, to: to, depth: depth}
	e.next++
	e.recipients = append(e.recipients, r)
	return r
}

func (e *entry) count() (local, remote int) {
	for _, r := range e.recipients {
		if r.to.Route == mail.Local {
			local++
		} else {
			remote++
		}
	}
	return local, remote
}

// write makes the entry an item of the store.
func (e *entry) write(tx kv.Tx) error {
	key := itemKey(e.m.ID)
	tx.Set(key, encodeItem(e.m, e.created))
	tx.Link(e.m.Blob, key)
	for _, r := range e.recipients {
		e.writeRecipient(tx, r)
	}
	return nil
}

func (e *entry) writeRecipient(tx kv.Tx, r *recipient) {
	tx.Set(recipientKey(e.m.ID, r.n), encodeRecipient(r))
	if !r.due.IsZero() {
		tx.Set(indexKey(r.to.Route, r.due, e.m.ID, r.n), nil)
	}
}

func (e *entry) deleteRecipient(tx kv.Tx, r *recipient) {
	tx.Delete(recipientKey(e.m.ID, r.n))
	e.deleteIndex(tx, r)
}

func (e *entry) deleteIndex(tx kv.Tx, r *recipient) {
	if !r.due.IsZero() {
		tx.Delete(indexKey(r.to.Route, r.due, e.m.ID, r.n))
	}
}

func (e *entry) deleteItem(tx kv.Tx) {
	key := itemKey(e.m.ID)
	tx.Delete(key)
	tx.Unlink(e.m.Blob, key)
}

// find returns the recipient that is to. Queue.mu is held.
func (e *entry) find(to mail.Recipient) *recipient {
	for _, r := range e.recipients {
		if r.to == to && r.phase == active {
			return r
		}
	}
	return nil
}

// forget removes those that are gone. Queue.mu is held.
func (e *entry) forget() {
	kept := e.recipients[:0:0]
	for _, r := range e.recipients {
		if r.phase != gone {
			kept = append(kept, r)
		}
	}
	e.recipients = kept
}

// ErrSettled is returned by Settle for a recipient that is no longer in the queue: an operator
// removed it, or it has been delivered. The caller's transaction must not commit.
var ErrSettled = errors.New("queue: recipient is not in the queue any more")

// Settle returns a step of a transaction that removes the recipients of attempts, whose copies the
// same transaction stores, and with its last recipient an item. It is for the transport that makes
// the attempts, which then returns their results as Settled.
//
// Errors of the step: ErrSettled.
func Settle(attempts ...Attempt) func(kv.Tx) error {
	return func(tx kv.Tx) error {
		for _, a := range attempts {
			if err := a.Message.settle(tx, a.To); err != nil {
				return err
			}
		}
		return nil
	}
}

func (m *Message) settle(tx kv.Tx, to []mail.Recipient) error {
	e := m.entry
	if e == nil {
		return ErrSettled
	}
	rs, last, err := e.settling(to)
	if err != nil {
		return err
	}
	for _, r := range rs {
		// The key is read so that the transaction fails if it goes in the meantime.
		if _, err := tx.Get(recipientKey(m.ID, r.n)); errors.Is(err, kv.ErrNotFound) {
			return ErrSettled
		} else if err != nil {
			return err
		}
		e.deleteRecipient(tx, r)
	}
	if last {
		e.deleteItem(tx)
	}
	return nil
}

// settling finds the recipients and whether no others are left. Two transactions at the same time
// may each see the other's recipient; then finish removes the item.
func (e *entry) settling(to []mail.Recipient) (rs []*recipient, last bool, err error) {
	e.q.mu.Lock()
	defer e.q.mu.Unlock()
	for _, t := range to {
		r := e.find(t)
		if r == nil {
			return nil, false, ErrSettled
		}
		rs = append(rs, r)
	}
	last = len(rs) == len(e.recipients)
	for _, r := range rs {
		r.final = last
	}
	return rs, last, nil
}

// Last returns what became of the attempt before this one for a recipient; ok is false at the first.
func (m *Message) Last(to mail.Recipient) (last Result, ok bool) {
	if m.entry == nil {
		return Result{}, false
	}
	m.entry.q.mu.Lock()
	defer m.entry.q.mu.Unlock()
	r := m.entry.find(to)
	if r == nil || r.last == nil {
		return Result{}, false
	}
	return *r.last, true
}

// load reads an item. Errors: kv.ErrNotFound.
func (q *Queue) load(ctx context.Context, id ID) (*entry, error) {
	var e *entry
	err := q.db.View(ctx, func(tx kv.Reader) error {
		var err error
		e, err = q.read(tx, id)
		return err
	})
	return e, err
}

func (q *Queue) read(tx kv.Reader, id ID) (*entry, error) {
	value, err := tx.Get(itemKey(id))
	if err != nil {
		return nil, err
	}
	m, created, err := decodeItem(id, value)
	if err != nil {
		return nil, err
	}
	e := &entry{q: q, m: m, created: created}
	m.entry = e
	from := recipientPrefix(id)
	for p, err := range tx.Scan(from, kv.PrefixEnd(from)) {
		if err != nil {
			return nil, err
		}
		_, n, err := parseRecipientKey(p.Key)
		if err != nil {
			return nil, err
		}
		r, err := decodeRecipient(n, p.Value)
		if err != nil {
			return nil, fmt.Errorf("item %s: %w", id, err)
		}
		r.phase = waiting
		e.recipients = append(e.recipients, r)
		e.next = n + 1
		m.Envelope.Recipients = append(m.Envelope.Recipients, r.to)
	}
	return e, nil
}
