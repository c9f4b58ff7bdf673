package mailbox

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"candor/internal/store/kv"
)

// event is what one operation did to one mailbox, as its table hears of it once it is durable.
type event struct {
	id       ID
	before   ModSeq // HIGHESTMODSEQ before; the table must have got this far
	row      logRow // its modSeq is 0 when no message was touched
	added    []Entry
	changed  []Entry
	keywords []string
	info     *Info // nil: as before
	gone     bool
}

// recentRows and recentSpans bound what a table remembers of the log, so that the sessions that have a
// mailbox open need not read it.
const (
	recentRows  = 64
	recentSpans = 4096
)

// table holds the UIDs, MODSEQs and flags of an open mailbox: mostly 12 octets a message. All sessions
// share it. It shows only what is durable.
type table struct {
	key tableKey

	loading chan struct{} // holds one token: whoever loads has it

	mu      sync.RWMutex
	loaded  bool
	gone    bool
	pending []event // published while the table was being loaded
	info    Info
	// keywords is only ever appended to.
	keywords []string
	// uids rise; modSeqs and flags go with them. Sessions have parts of uids, so that it is only ever
	// appended to, or replaced.
	uids    []UID
	modSeqs column[ModSeq]
	flags   column[Flags]
	uidNext UID
	highest ModSeq
	unseen  int
	// recent holds every row after recentFrom.
	recent     []logRow
	recentFrom ModSeq
	spans      int           // in recent
	changed    chan struct{} // closed and replaced at each change
}

func newTable(k tableKey) *table {
	return &table{key: k, loading: make(chan struct{}, 1), changed: make(chan struct{})}
}

// load reads the mailbox unless that has been done. Errors: NotFound.
func (t *table) load(ctx context.Context, db kv.DB) error {
	select {
	case t.loading <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-t.loading }()
	t.mu.RLock()
	loaded := t.loaded
	t.mu.RUnlock()
	if loaded {
		return nil
	}
	return t.read(ctx, db)
}

// read takes the mailbox's state from the store. What is published meanwhile waits in pending.
func (t *table) read(ctx context.Context, db kv.DB) error {
	fresh := newTable(t.key)
	if err := db.View(ctx, fresh.fill); err != nil {
		return fmt.Errorf("reading mailbox %d: %w", t.key.id, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.loaded && fresh.highest <= t.highest {
		return nil
	}
	t.info, t.keywords, t.uidNext, t.highest, t.unseen = fresh.info, fresh.keywords, fresh.uidNext, fresh.highest, fresh.unseen
	t.uids, t.modSeqs, t.flags = fresh.uids, fresh.modSeqs, fresh.flags
	t.recent, t.recentFrom, t.spans = nil, t.highest, 0
	t.loaded = true
	pending := t.pending
	t.pending = nil
	for _, e := range pending {
		t.apply(e)
	}
	t.wake()
	return nil
}

// fill reads a table that nobody else has.
func (t *table) fill(r kv.Reader) error {
	row, c, err := readMailbox(r, t.key.account, t.key.id)
	if err != nil {
		return err
	}
	t.info = row.info(t.key.id)
	if t.info.Subscribed, err = exists(r, nameKey(t.key.account, kindSubscription, row.name)); err != nil {
		return err
	}
	t.keywords, t.uidNext, t.highest, t.unseen = row.keywords, c.uidNext, c.highest, c.unseen
	t.uids, t.modSeqs, t.flags = make([]UID, 0, c.messages), makeColumn[ModSeq](c.messages), makeColumn[Flags](c.messages)
	prefix := mailboxKey(t.key.account, kindHot, t.key.id)
	for p, err := range r.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		m, f, err := decodeHot(p.Value)
		if err != nil {
			return err
		}
		t.append(Entry{UID: uidOf(p.Key), ModSeq: m, Flags: f})
	}
	return nil
}

func (t *table) append(e Entry) {
	t.uids = append(t.uids, e.UID)
	t.modSeqs.append(e.ModSeq)
	t.flags.append(e.Flags)
}

// publish takes in what has become durable. It reports whether the table missed something before,
// as it does when another node of a cluster has written, and must be read again.
func (t *table) publish(e event) (missed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.gone {
		t.gone = true
		t.wake()
		return false
	}
	if !t.loaded {
		t.pending = append(t.pending, e)
		return false
	}
	if e.row.modSeq != 0 && e.before > t.highest {
		return true
	}
	t.apply(e)
	t.wake()
	return false
}

// wake tells those who wait. t.mu is held.
func (t *table) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// apply takes in e, which may have been seen already. t.mu is held.
func (t *table) apply(e event) {
	if e.info != nil {
		t.info = *e.info
	}
	if e.row.modSeq <= t.highest {
		return
	}
	for _, c := range e.changed {
		t.change(c)
	}
	t.remove(e.row.expunged)
	for _, a := range e.added {
		t.append(a)
		t.uidNext = a.UID + 1
		if a.Flags&Seen == 0 {
			t.unseen++
		}
	}
	t.keywords, t.highest = e.keywords, e.row.modSeq
	t.remember(e.row)
}

func (t *table) change(e Entry) {
	i, ok := slices.BinarySearch(t.uids, e.UID)
	if !ok {
		return
	}
	if t.flags.at(i)&Seen == 0 {
		t.unseen--
	}
	if e.Flags&Seen == 0 {
		t.unseen++
	}
	t.modSeqs.set(i, e.ModSeq)
	t.flags.set(i, e.Flags)
}

// remove takes messages out, and moves what lies between them a stretch at a time.
func (t *table) remove(expunged spans) {
	if len(expunged) == 0 {
		return
	}
	at, _ := slices.BinarySearch(t.uids, expunged[0].First)
	kept := at
	uids := append(make([]UID, 0, len(t.uids)), t.uids[:at]...)
	for n, gone := range expunged {
		first, _ := find(t.uids, at, gone.First)
		end, _ := find(t.uids, first, gone.Last+1)
		next := len(t.uids)
		if n+1 < len(expunged) {
			next, _ = find(t.uids, end, expunged[n+1].First)
		}
		for i := first; i < end; i++ {
			if t.flags.at(i)&Seen == 0 {
				t.unseen--
			}
		}
		uids = append(uids, t.uids[end:next]...)
		t.modSeqs.copyWithin(kept, end, next)
		t.flags.copyWithin(kept, end, next)
		kept += next - end
		at = next
	}
	t.uids = shrunk(uids)
	t.modSeqs.truncate(kept)
	t.flags.truncate(kept)
}

// remember keeps a row in recent and forgets the oldest ones beyond its bounds.
func (t *table) remember(r logRow) {
	t.recent = append(t.recent, r)
	t.spans += r.spans()
	drop := 0
	for len(t.recent)-drop > recentRows || (t.spans > recentSpans && len(t.recent)-drop > 1) {
		t.recentFrom = t.recent[drop].modSeq
		t.spans -= t.recent[drop].spans()
		drop++
	}
	// A new slice now and then, since sessions may be reading the old one and it must not grow for ever.
	if t.recent = t.recent[drop:]; cap(t.recent)-len(t.recent) == 0 {
		t.recent = append(make([]logRow, 0, 2*recentRows), t.recent...)
	}
}

func (r *logRow) spans() int { return len(r.added) + len(r.changed) + len(r.expunged) }

// entries appends to dst the entries of uids that exist.
func (t *table) entries(dst []Entry, uids []UID) []Entry {
	at, last := 0, UID(0)
	for _, u := range uids {
		if u < last {
			at = 0
		}
		last = u
		i, ok := find(t.uids, at, u)
		at = i
		if ok {
			dst = append(dst, Entry{u, t.modSeqs.at(i), t.flags.at(i)})
		}
	}
	return dst
}

// firstUnseen returns the UID of the first message without \Seen, or 0.
func (t *table) firstUnseen() UID {
	if t.unseen == 0 {
		return 0
	}
	for i, u := range t.uids {
		if t.flags.at(i)&Seen == 0 {
			return u
		}
	}
	return 0
}

// find looks for u in uids[at:], near its beginning first.
func find(uids []UID, at int, u UID) (int, bool) {
	step := 1
	for at+step < len(uids) && uids[at+step] <= u {
		at += step
		step *= 2
	}
	i, ok := slices.BinarySearch(uids[at:min(at+step, len(uids))], u)
	return at + i, ok
}
