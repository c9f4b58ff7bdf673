package mailbox

import (
	"bytes"
	"fmt"
	"iter"

	"candor/internal/store/kv"
)

// pairs is a scan of one kind of message rows that stands on a row.
type pairs struct {
	a    *accountCheck
	next func() (kv.Pair, error, bool)
	now  kv.Pair
	more bool
}

func (a *accountCheck) pairs(kind byte) (*pairs, func(), error) {
	prefix := key(a.id, kind, 0)
	next, stop := iter.Pull2(a.Scan(prefix, kv.PrefixEnd(prefix)))
	p := &pairs{a: a, next: next}
	return p, stop, p.step()
}

// step goes on to the next row whose key is well formed.
func (p *pairs) step() (err error) {
	for {
		if p.now, err, p.more = p.next(); err != nil || !p.more {
			return err
		}
		if err := p.a.Row(); err != nil {
			return err
		}
		if len(p.now.Key) == 22 {
			return nil
		}
		p.a.Stray(p.now.Key)
	}
}

// messages goes over hot records and records side by side: each message has one of each.
func (a *accountCheck) messages() error {
	hot, stop, err := a.pairs(kindHot)
	defer stop()
	if err != nil {
		return err
	}
	rec, stop, err := a.pairs(kindRecord)
	defer stop()
	for err == nil && (hot.more || rec.more) {
		order := 0
		switch {
		case !rec.more:
			order = -1
		case !hot.more:
			order = 1
		default:
			order = bytes.Compare(hot.now.Key[10:], rec.now.Key[10:])
		}
		switch {
		case order < 0:
			a.hotAlone(hot.now.Key, hot.now.Value)
			err = hot.step()
		case order > 0:
			a.recordAlone(rec.now.Key, rec.now.Value)
			err = rec.step()
		default:
			if err = a.whole(hot.now.Value, rec.now.Key, rec.now.Value); err == nil {
				err = hot.step()
			}
			if err == nil {
				err = rec.step()
			}
		}
	}
	return err
}

// whole checks a message that has both rows.
func (a *accountCheck) whole(hot, k, value []byte) error {
	id, uid := mailboxOf(k)
	b := a.box(id)
	r, err := decodeRecord(uid, value)
	if err != nil {
		a.badRecord(b, uid)
		return nil
	}
	if b.doomed {
		return nil
	}
	m, flags, err := decodeHot(hot)
	if err != nil {
		a.badHot(b, uid, "flags that cannot be read")
		return nil
	}
	b.count(uid, m, flags, r.size)
	return a.record(b, k, &r)
}

// record checks a record that could be decoded.
func (a *accountCheck) record(b *boxCheck, k []byte, r *record) error {
	linked, err := a.Linked(r.blob, k)
	if err != nil {
		return err
	}
	owner, blob := bytes.Clone(k), r.blob
	if !linked {
		a.message(a.id, b.id, r.uid, kv.Finding{
			ID: "link-missing", Seen: fmt.Sprintf("no link to its blob %s, which could be removed as garbage", blob), Wanted: "a link",
			Fix: "repair makes the link", Mend: func(tx kv.Tx) error { return mendLink(tx, owner, blob) },
		})
	}
	attributes, err := r.decodeAttributes()
	switch {
	case err != nil:
		a.remeasure(a.id, b.id, r.uid, "envelope and structure cannot be read", "those of the message")
	case attributes.Size != r.size:
		a.remeasure(a.id, b.id, r.uid, fmt.Sprintf("a size of %d octets in one place, %d in another", r.size, attributes.Size), "one size")
	}
	return nil
}

func (a *accountCheck) badRecord(b *boxCheck, uid UID) {
	b.unsure = true
	k := uidKey(a.id, kindRecord, b.id, uid)
	a.message(a.id, b.id, uid, kv.Finding{
		ID: "message-record", Seen: "a record that cannot be read", Wanted: "the message's record",
		Fix: "repair moves it to lost+found and then makes another of the body", Mend: a.remove(k),
	})
}

func (a *accountCheck) badHot(b *boxCheck, uid UID, seen string) {
	b.unsure = true
	a.message(a.id, b.id, uid, kv.Finding{
		ID: "message-flags", Seen: seen, Wanted: "the message's flags",
		Fix: "repair takes the message for one without flags", Mend: func(tx kv.Tx) error { return mendFlags(tx, a.id, b.id, uid) },
	})
}

// recordAlone checks a record without a hot record.
func (a *accountCheck) recordAlone(k, value []byte) {
	id, uid := mailboxOf(k)
	b := a.box(id)
	if _, err := decodeRecord(uid, value); err != nil {
		a.badRecord(b, uid)
		return
	}
	if !b.doomed {
		a.badHot(b, uid, "a record without flags")
	}
}

// hotAlone reports flags without a record.
func (a *accountCheck) hotAlone(k, _ []byte) {
	id, uid := mailboxOf(k)
	b := a.box(id)
	if b.doomed {
		return
	}
	b.unsure = true
	owner := uidKey(a.id, kindRecord, id, uid)
	if blob, ok := a.orphans[string(owner)]; ok {
		a.message(a.id, id, uid, kv.Finding{
			ID: "message-record-lost", Seen: "no record", Wanted: "the message's record",
			Fix:  "repair makes one of the body, without the trace fields on top of it; the message gets a new UID",
			Mend: func(tx kv.Tx) error { return a.mendRecord(tx, a.id, id, uid, blob) },
		})
		return
	}
	a.message(a.id, id, uid, kv.Finding{
		ID: "message-lost", Seen: "flags without a message", Wanted: "the message",
		Fix:  "restore a backup; repair removes what is left",
		Mend: func(tx kv.Tx) error { return mendExpunge(tx, a.id, id, uid) },
	})
}
