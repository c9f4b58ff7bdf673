// Package mailbox is the message store (MS): mailboxes, UIDs, flags, MODSEQ, changes and search
// (RFC 9051, RFC 7162), on the contract of store/kv.
//
// A Store hands out Accounts; an Account opens Mailboxes. All sessions that have one mailbox open
// share its table of UIDs and flags. Every change has a row under the account's one MODSEQ sequence
// and is seen by all sessions once it is durable. All methods may be called concurrently.
package mailbox

import (
	"context"
	"slices"
	"sync"

	"candor/internal/mail"
)

// ID names a mailbox within its account for ever, also after a rename.
type ID uint64

// UID, UIDValidity and ModSeq are those of RFC 9051, section 2.3.1 and RFC 7162. They never go backwards.
type (
	UID         uint32
	UIDValidity uint32
	ModSeq      uint64
)

// Open opens a mailbox for a session, which must Close it. Errors: NotFound.
func (a *Account) Open(ctx context.Context, id ID) (*Mailbox, error) {
	if err := a.store.enter(); err != nil {
		return nil, err
	}
	defer a.store.work.Done()
	t, err := a.store.tables.open(ctx, a.store.db, tableKey{a.id, id})
	if err != nil {
		return nil, err
	}
	return &Mailbox{account: a, table: t, close: sync.OnceFunc(func() { a.store.tables.release(t) })}, nil
}

// Mailbox is a session's handle on an open mailbox.
type Mailbox struct {
	account *Account
	table   *table
	close   func()
}

// Close gives the handle back.
func (m *Mailbox) Close() { m.close() }

// State is the state of a mailbox at one ModSeq.
type State struct {
	Info          Info
	UIDNext       UID
	HighestModSeq ModSeq
	Keywords      []string // in the order of their bits; not to be changed
	UIDs          []UID    // rising; not to be changed, since all sessions share the memory
	Unseen        int
	FirstUnseen   UID // 0: every message is seen
}

// State returns the durable state, from which a session's sequence view begins.
func (m *Mailbox) State() State {
	t := m.table
	t.mu.RLock()
	defer t.mu.RUnlock()
	return State{
		Info: t.info, UIDNext: t.uidNext, HighestModSeq: t.highest, Keywords: slices.Clip(t.keywords),
		UIDs: slices.Clip(t.uids), Unseen: t.unseen, FirstUnseen: t.firstUnseen(),
	}
}

// Entry is the changing part of a message.
type Entry struct {
	UID    UID
	ModSeq ModSeq
	Flags  Flags
}

// Entries appends to dst the entries of the given UIDs, leaving out those that do not exist. It is
// quickest when the UIDs rise.
func (m *Mailbox) Entries(dst []Entry, uids []UID) []Entry {
	m.table.mu.RLock()
	defer m.table.mu.RUnlock()
	return m.table.entries(dst, uids)
}

// Existing counts those of the given UIDs that exist.
func (m *Mailbox) Existing(uids []UID) int {
	n := 0
	var entries []Entry
	for chunk := range slices.Chunk(uids, entryChunk) {
		entries = m.Entries(entries[:0], chunk)
		n += len(entries)
	}
	return n
}

// entryChunk is how many entries are looked at under one lock.
const entryChunk = 4096

// alive returns NotFound once the mailbox has been deleted.
func (m *Mailbox) alive() error {
	m.table.mu.RLock()
	defer m.table.mu.RUnlock()
	if m.table.gone {
		return noSuchMailbox()
	}
	return nil
}

// update runs an operation on the mailbox, as Account.update does.
func (m *Mailbox) update(ctx context.Context, run func(*box) error) error {
	return m.submit(ctx, 0, run)
}

// submit is update for an operation that writes about as many octets.
func (m *Mailbox) submit(ctx context.Context, octets int, run func(*box) error) error {
	if err := m.alive(); err != nil {
		return err
	}
	return m.account.submit(ctx, &operation{octets: octets, run: func(c *change) error {
		b, err := c.box(m.table.key.id)
		if err != nil {
			return err
		}
		return run(b)
	}})
}

// isGone reports whether err says that a mailbox is not there.
func isGone(err error) bool { return mail.IsKind(err, mail.NotFound) }
