package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// What repair does. Each function brings one thing in order and leaves what follows from it, such as counts, to the
// findings of the next pass. UIDNEXT, MODSEQ and UIDVALIDITY never become less.

// lostIDs is how far the last mailbox id is raised when it is not known: ids are never given twice.
const lostIDs = 1 << 16

// revise makes one change to a mailbox as an operation does: with a ModSeq and a row in the log. Errors: ErrLater.
func revise(tx kv.Tx, account mail.AccountID, id ID, f func(*counters, *logRow) error) error {
	a, err := readAccount(tx, account)
	if err != nil {
		return later(err)
	}
	_, c, err := readMailbox(tx, account, id)
	if err != nil {
		return later(err)
	}
	a.modSeq = max(a.modSeq, c.highest) + 1
	c.highest = a.modSeq
	row := logRow{modSeq: a.modSeq}
	if err := f(&c, &row); err != nil {
		return err
	}
	if c.floor < c.highest {
		tx.Set(logKey(account, id, row.modSeq), row.encode())
		c.rows++
	}
	tx.Set(key(account, kindAccount, 0), a.encode())
	tx.Set(mailboxKey(account, kindCounters, id), c.encode())
	return nil
}

// later turns rows that are missing or damaged, which have findings of their own, into ErrLater.
func later(err error) error {
	if errors.Is(err, kv.ErrNotFound) || errors.Is(err, kv.ErrCorrupt) || mail.IsKind(err, mail.NotFound) {
		return fmt.Errorf("%w: %w", kv.ErrLater, err)
	}
	return err
}

// beginLog empties the log, which begins after the change that is being made.
func beginLog(tx kv.Tx, account mail.AccountID, id ID, c *counters) {
	prefix := mailboxKey(account, kindLog, id)
	tx.DeleteRange(prefix, kv.PrefixEnd(prefix))
	c.floor, c.rows = c.highest, 0
}

// mendExpunge removes what there is of a message.
func mendExpunge(tx kv.Tx, account mail.AccountID, id ID, uid UID) error {
	hot, rec := uidKey(account, kindHot, id, uid), uidKey(account, kindRecord, id, uid)
	flags, hotErr := tx.Get(hot)
	value, recErr := tx.Get(rec)
	if errors.Is(hotErr, kv.ErrNotFound) && errors.Is(recErr, kv.ErrNotFound) {
		return nil
	}
	return revise(tx, account, id, func(c *counters, row *logRow) error {
		row.expunged = spans{{uid, uid}}
		if _, f, err := decodeHot(flags); hotErr == nil && err == nil {
			c.count(-1, f)
		}
		if r, err := decodeRecord(uid, value); recErr == nil && err == nil {
			tx.Unlink(r.blob, rec)
			c.size -= r.size
		}
		tx.Delete(hot)
		tx.Delete(rec)
		c.atLeastNone()
		return nil
	})
}

// atLeastNone keeps counts that were wrong before from becoming negative, which has no encoding.
func (c *counters) atLeastNone() {
	c.messages, c.unseen, c.deleted, c.size = max(c.messages, 0), max(c.unseen, 0), max(c.deleted, 0), max(c.size, 0)
}

// mendFlags takes a message's flags, which are lost, for none.
func mendFlags(tx kv.Tx, account mail.AccountID, id ID, uid UID) error {
	if _, err := tx.Get(uidKey(account, kindRecord, id, uid)); err != nil {
		return later(err)
	}
	return revise(tx, account, id, func(c *counters, row *logRow) error {
		row.changed = spans{{uid, uid}}
		tx.Set(uidKey(account, kindHot, id, uid), appendHot(nil, row.modSeq, 0))
		return nil
	})
}

// mendLink links the blob of a message that is still there.
func mendLink(tx kv.Tx, owner []byte, blob kv.BlobID) error {
	value, err := tx.Get(owner)
	if err != nil {
		return later(err)
	}
	if r, err := decodeRecord(uidOf(owner), value); err != nil || r.blob != blob {
		return later(kv.ErrCorrupt)
	}
	tx.Link(blob, owner)
	return nil
}

// mendAttributes computes a record's size and attributes again.
func (f *Verifier) mendAttributes(tx kv.Tx, account mail.AccountID, id ID, uid UID) error {
	k := uidKey(account, kindRecord, id, uid)
	value, err := tx.Get(k)
	if err != nil {
		return later(err)
	}
	r, err := decodeRecord(uid, value)
	if err != nil {
		return later(err)
	}
	m := &Message{Prefix: r.prefix, Received: r.received}
	if value, err = f.encode(m, r.blob, r.created, r.saved); err == nil {
		tx.Set(k, value)
	}
	return err
}

// encode makes the record of a message of its body. Errors: ErrLater, when the body cannot be read.
func (f *Verifier) encode(m *Message, blob kv.BlobID, created ModSeq, saved time.Time) ([]byte, error) {
	b, err := f.Open(blob)
	if err != nil {
		return nil, later(err)
	}
	defer b.Close()
	if err := f.scan(blob, b); err != nil {
		return nil, later(err)
	}
	m.Blob, m.BlobSize = blob, b.Size()
	if m.Received.IsZero() {
		m.Received = time.Now()
	}
	if saved.IsZero() {
		saved = m.Received
	}
	return arrived(encodeRecord(m, f.attributes.Shift(int64(len(m.Prefix)))), created, saved), nil
}

// mendRecord puts a message that is made of the body in the place of one whose record is lost, with its flags. Its
// octets are others without the trace fields, and so is its UID.
func (f *Verifier) mendRecord(tx kv.Tx, account mail.AccountID, id ID, uid UID, blob kv.BlobID) error {
	old, oldHot := uidKey(account, kindRecord, id, uid), uidKey(account, kindHot, id, uid)
	hot, err := tx.Get(oldHot)
	if err != nil {
		return later(err)
	}
	_, flags, err := decodeHot(hot)
	if err != nil {
		flags = 0
	}
	return revise(tx, account, id, func(c *counters, row *logRow) error {
		value, err := f.encode(&Message{}, blob, row.modSeq, time.Now())
		if err != nil {
			return err
		}
		fresh := max(c.uidNext, uid+1)
		c.uidNext = fresh + 1
		row.added, row.expunged = spans{{fresh, fresh}}, spans{{uid, uid}}
		owner := uidKey(account, kindRecord, id, fresh)
		tx.Delete(oldHot)
		tx.Unlink(blob, old)
		tx.Set(owner, value)
		tx.Set(uidKey(account, kindHot, id, fresh), appendHot(nil, row.modSeq, flags))
		tx.Link(blob, owner)
		return nil
	})
}

// mendLog begins the log anew.
func mendLog(tx kv.Tx, account mail.AccountID, id ID) error {
	return revise(tx, account, id, func(c *counters, _ *logRow) error {
		beginLog(tx, account, id, c)
		return nil
	})
}

// mendNoSelect makes a name that has messages a mailbox.
func mendNoSelect(tx kv.Tx, account mail.AccountID, id ID) error {
	row, err := readMailboxRow(tx, account, id)
	if err != nil {
		return later(err)
	}
	row.noSelect = false
	tx.Set(mailboxKey(account, kindMailbox, id), row.encode())
	return nil
}

// mendName gives a mailbox a name that nobody else has.
func mendName(tx kv.Tx, account mail.AccountID, id ID) error {
	row, err := readMailboxRow(tx, account, id)
	if err != nil {
		return later(err)
	}
	if v, err := tx.Get(nameKey(account, kindName, row.name)); err == nil && idOf(v) == id {
		tx.Delete(nameKey(account, kindName, row.name))
	}
	if row.name, err = freeName(tx, account, id, row.name); err != nil {
		return err
	}
	tx.Set(mailboxKey(account, kindMailbox, id), row.encode())
	return mendIndex(tx, account, id)
}

// freeName makes a name for a mailbox like the one that it had.
func freeName(tx kv.Tx, account mail.AccountID, id ID, old string) (string, error) {
	clean := strings.Map(func(r rune) rune {
		if forbidden(r) || r == '/' {
			return '-'
		}
		return r
	}, strings.ToValidUTF8(old, "-"))
	name := CanonicalName(fmt.Sprintf("Recovered %d %.200s", id, clean))
	name = strings.TrimRight(strings.ToValidUTF8(name, ""), " ")
	taken, err := exists(tx, nameKey(account, kindName, name))
	if err == nil && taken {
		name = fmt.Sprintf("Recovered %d %d", id, time.Now().UnixNano())
	}
	return name, err
}

// mendIndex makes the name of a mailbox lead to it.
func mendIndex(tx kv.Tx, account mail.AccountID, id ID) error {
	row, err := readMailboxRow(tx, account, id)
	if err != nil {
		return later(err)
	}
	k := nameKey(account, kindName, row.name)
	if v, err := tx.Get(k); err == nil && !bytes.Equal(v, encodeID(id)) {
		return fmt.Errorf("%w: the name is taken", kv.ErrLater)
	}
	tx.Set(k, encodeID(id))
	return nil
}

// scribe is an account for making rows alone.
func scribe(id mail.AccountID) *Account { return &Account{store: &Store{now: time.Now}, id: id} }
