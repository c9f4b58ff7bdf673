package mailbox

import (
	"candor/internal/mail"
	"candor/internal/store/kv"
)

const (
	// maxLog is how many rows of the log a mailbox keeps; logSlack, how many more gather before the oldest
	// are deleted, all at once.
	maxLog   = 10_000
	logSlack = 1_000
)

// box is a mailbox within a transaction. Its methods change the rows of messages and count them.
type box struct {
	change   *change
	id       ID
	row      mailboxRow
	counters counters
	counted  bool   // counters must be written
	touched  ModSeq // of the last operation that changed it
	table    *table

	// What the running operation did.
	before         ModSeq // HIGHESTMODSEQ before it
	added, changed []Entry
	expunged       []UID
}

// touch notes that the running operation changes the mailbox.
func (b *box) touch() ModSeq {
	m := b.change.modSeq()
	if b.touched != m {
		b.before, b.counters.highest, b.counted, b.touched = b.counters.highest, m, true, m
		b.change.touched = append(b.change.touched, b)
	}
	return m
}

// add stores a message whose record has been encoded, and links its blob.
func (b *box) add(value []byte, blob kv.BlobID, size int64, f Flags) (UID, error) {
	if b.counters.uidNext > maxUID {
		return 0, mail.Errorf(mail.TooMany, "the mailbox has used up its UIDs")
	}
	m := b.touch()
	e := Entry{b.counters.uidNext, m, f}
	b.counters.uidNext++
	b.counters.count(1, f)
	b.counters.size += size
	b.change.use(1, size)
	value = arrived(value, m, b.change.account.store.now())
	owner := uidKey(b.change.account.id, kindRecord, b.id, e.UID)
	b.change.tx.Set(owner, value)
	b.change.tx.Link(blob, owner)
	b.change.tx.Set(uidKey(b.change.account.id, kindHot, b.id, e.UID), appendHot(make([]byte, 0, maxHot), m, f))
	b.added = append(b.added, e)
	return e.UID, nil
}

// setFlags gives messages other flags; each entry still has its old ones.
func (b *box) setFlags(entries []Entry, flags func(Flags) Flags) {
	m := b.touch()
	// One allocation serves many messages.
	const keySize = 22
	arena := make([]byte, 0, len(entries)*(keySize+maxHot))
	prefix := mailboxKey(b.change.account.id, kindHot, b.id)
	for _, e := range entries {
		b.counters.count(-1, e.Flags)
		e.ModSeq, e.Flags = m, flags(e.Flags)
		b.counters.count(1, e.Flags)
		at := len(arena)
		arena = append(arena, prefix...)
		arena = append(arena, byte(e.UID>>24), byte(e.UID>>16), byte(e.UID>>8), byte(e.UID))
		end := len(arena)
		arena = appendHot(arena, m, e.Flags)
		b.change.tx.Set(arena[at:end:end], arena[end:len(arena):len(arena)])
		b.changed = append(b.changed, e)
	}
}

// remove removes messages and the links to their blobs.
func (b *box) remove(entries []Entry) error {
	b.touch()
	uids := make([]UID, len(entries))
	for i, e := range entries {
		uids[i] = e.UID
		b.counters.count(-1, e.Flags)
	}
	// The rows are read before the first is deleted, so that no scan runs over changing ground.
	records := make([]record, 0, len(uids))
	err := scanUIDs(b.change.tx, b.change.account.id, kindRecord, b.id, uids, func(uid UID, v []byte) error {
		r, err := decodeRecord(uid, v)
		records = append(records, record{uid: uid, size: r.size, blob: r.blob})
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range records {
		owner := uidKey(b.change.account.id, kindRecord, b.id, r.uid)
		b.change.tx.Unlink(r.blob, owner)
		b.change.tx.Delete(owner)
		b.change.tx.Delete(uidKey(b.change.account.id, kindHot, b.id, r.uid))
		b.counters.size -= r.size
		b.change.use(-1, -r.size)
	}
	b.expunged = append(b.expunged, uids...)
	return nil
}

// current returns the table when it shows the mailbox as this transaction does, else nil: it lags
// behind when an operation before this one in the group, or another node, has changed the mailbox. Its
// read lock is then held.
func (b *box) current() *table {
	if b.table == nil {
		return nil
	}
	b.table.mu.RLock()
	if b.table.loaded && b.table.highest == b.counters.highest {
		return b.table
	}
	b.table.mu.RUnlock()
	return nil
}

// entries returns the entries of uids that exist, rising. A UID that was given twice would be counted
// twice when it is changed, so that is not left to the caller.
func (b *box) entries(uids []UID) ([]Entry, error) {
	uids = rising(uids)
	if t := b.current(); t != nil {
		defer t.mu.RUnlock()
		return t.entries(make([]Entry, 0, len(uids)), uids), nil
	}
	entries := make([]Entry, 0, len(uids))
	err := scanUIDs(b.change.tx, b.change.account.id, kindHot, b.id, uids, func(uid UID, v []byte) error {
		m, f, err := decodeHot(v)
		entries = append(entries, Entry{uid, m, f})
		return err
	})
	return entries, err
}

// deleted returns the first entries that bear \Deleted, removePortion at most.
func (b *box) deleted() ([]Entry, error) {
	return b.first(min(b.counters.deleted, removePortion), func(f Flags) bool { return f&Deleted != 0 })
}

// first returns the first n entries with flags that want accepts, or all if there are no more.
func (b *box) first(n int, want func(Flags) bool) ([]Entry, error) {
	if n == 0 {
		return nil, nil
	}
	entries := make([]Entry, 0, n)
	if t := b.current(); t != nil {
		defer t.mu.RUnlock()
		for i := 0; i < len(t.uids) && len(entries) < n; i++ {
			if f := t.flags.at(i); want(f) {
				entries = append(entries, Entry{t.uids[i], t.modSeqs.at(i), f})
			}
		}
		return entries, nil
	}
	prefix := mailboxKey(b.change.account.id, kindHot, b.id)
	for p, err := range b.change.tx.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return nil, err
		}
		m, f, err := decodeHot(p.Value)
		if err != nil {
			return nil, err
		}
		if want(f) {
			entries = append(entries, Entry{uidOf(p.Key), m, f})
		}
		if len(entries) == n {
			break
		}
	}
	return entries, nil
}

// log writes the row of the running operation and notes what to publish.
func (b *box) log() error {
	row := logRow{modSeq: b.counters.highest, added: spansOf(uidsOf(b.added)), changed: spansOf(uidsOf(b.changed)), expunged: spansOf(b.expunged)}
	b.change.tx.Set(logKey(b.change.account.id, b.id, row.modSeq), row.encode())
	b.change.events = append(b.change.events, event{
		id: b.id, before: b.before, row: row, added: b.added, changed: b.changed, keywords: b.row.keywords,
	})
	b.added, b.changed, b.expunged = nil, nil, nil
	if b.counters.rows++; b.counters.rows >= maxLog+logSlack {
		return b.trim()
	}
	return nil
}

// trim deletes the oldest rows of the log.
func (b *box) trim() error {
	prefix := mailboxKey(b.change.account.id, kindLog, b.id)
	n := b.counters.rows - maxLog
	for p, err := range b.change.tx.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		if n--; n == 0 {
			b.counters.floor = modSeqOf(p.Key)
			break
		}
	}
	b.change.tx.DeleteRange(prefix, logKey(b.change.account.id, b.id, b.counters.floor+1))
	b.counters.rows = maxLog
	return nil
}

func uidsOf(entries []Entry) []UID {
	uids := make([]UID, len(entries))
	for i, e := range entries {
		uids[i] = e.UID
	}
	return uids
}
