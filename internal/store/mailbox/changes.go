package mailbox

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"candor/internal/store/kv"
)

// Delta is what happened to a mailbox after some ModSeq: each UID appears once, in its last role. A
// message that came and went in between is among the Expunged.
type Delta struct {
	ModSeq   ModSeq   // up to which the delta tells
	Added    []UID    // rising
	Changed  []UID    // rising; flags differ, and the message is neither added nor expunged
	Expunged []Range  // rising, and no two touch
	Keywords []string // the mailbox's keywords now
	UIDs     []UID    // all that are there now, as in State
	Gone     bool     // the mailbox was deleted
}

// Changes returns what happened after since. When the log does not reach back that far it compares
// with all that is there (Expunged then is every UID below UIDNext that does not exist).
func (m *Mailbox) Changes(ctx context.Context, since ModSeq) (Delta, error) {
	d, rows, known := m.table.since(since)
	if d.Gone || d.ModSeq <= since {
		return d, nil
	}
	if !known {
		var err error
		if rows, known, err = m.readLog(ctx, since, d.ModSeq); err != nil {
			return Delta{}, err
		}
	}
	if !known {
		return m.compare(ctx, since)
	}
	d.Added, d.Changed, d.Expunged = merge(rows)
	return d, nil
}

// since returns the frame of a delta, with the rows after since if the table remembers them all.
func (t *table) since(since ModSeq) (d Delta, rows []logRow, known bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	d = t.delta()
	if since < t.recentFrom {
		return d, nil, false
	}
	i := sort.Search(len(t.recent), func(i int) bool { return t.recent[i].modSeq > since })
	return d, t.recent[i:len(t.recent):len(t.recent)], true
}

// maxSpans is how much of the log is read at once: 8 octets each.
const maxSpans = 500_000

// readLog reads the rows after since, up to upTo. reaches is false when the log has lost some of them, or they are
// more than memory should hold.
func (m *Mailbox) readLog(ctx context.Context, since, upTo ModSeq) (rows []logRow, reaches bool, err error) {
	account, id := m.account.id, m.table.key.id
	err = m.account.store.db.View(ctx, func(r kv.Reader) error {
		_, c, err := readMailbox(r, account, id)
		if isGone(err) {
			// The table is about to hear of it; until then the caller may know no more than it.
			return nil
		}
		if err != nil || since < c.floor {
			return err
		}
		spans := 0
		for p, err := range r.Scan(logKey(account, id, since+1), logKey(account, id, upTo+1)) {
			if err != nil {
				return err
			}
			row, err := decodeLogRow(modSeqOf(p.Key), p.Value)
			if err != nil {
				return err
			}
			if spans += row.spans(); spans > maxSpans {
				rows = nil
				return nil
			}
			rows = append(rows, row)
		}
		reaches = true
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("reading the changes of mailbox %d: %w", id, err)
	}
	return rows, reaches, nil
}

// compare makes a delta without the log. A record tells when its message came, and so whether the caller
// knows it.
func (m *Mailbox) compare(ctx context.Context, since ModSeq) (Delta, error) {
	d, touched := m.table.compare(since)
	err := m.account.store.db.View(ctx, func(r kv.Reader) error {
		return scanUIDs(r, m.account.id, kindRecord, m.table.key.id, touched, func(uid UID, v []byte) error {
			rec, err := decodeRecord(uid, v)
			if err == nil && rec.created > since {
				d.Added = append(d.Added, uid)
			}
			return err
		})
	})
	if err != nil {
		return Delta{}, fmt.Errorf("comparing mailbox %d: %w", m.table.key.id, err)
	}
	d.Changed = without(touched, d.Added)
	return d, nil
}

// compare returns the delta with its Expunged, and the UIDs of the messages that came or changed after since.
func (t *table) compare(since ModSeq) (d Delta, touched []UID) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	d = t.delta()
	d.Expunged = t.gaps()
	for i, u := range t.uids {
		if t.modSeqs.at(i) > since {
			touched = append(touched, u)
		}
	}
	return d, touched
}

// delta returns the frame of a delta. t.mu is held.
func (t *table) delta() Delta {
	return Delta{ModSeq: t.highest, Keywords: slices.Clip(t.keywords), UIDs: slices.Clip(t.uids), Gone: t.gone}
}

// Wait returns a channel that is closed at the first change after since; at once if there is one, or if
// the mailbox is gone. It may also be closed when nothing but the mailbox's Info has changed.
func (m *Mailbox) Wait(since ModSeq) <-chan struct{} {
	t := m.table
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.highest > since || t.gone {
		return closed
	}
	return t.changed
}

// closed is a channel that is closed.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
