package mailbox

import (
	"context"
	"slices"
)

// removePortion is how many messages one transaction removes at most.
const removePortion = 10_000

// Expunge removes the messages of uids that bear \Deleted; nil means all that do. It returns the
// UIDs removed and the change's ModSeq (RFC 7162, section 3.2.7); when none is removed, the mailbox's
// HIGHESTMODSEQ. Many are removed in several changes, of which an error may leave some undone.
// Errors: NotFound.
func (m *Mailbox) Expunge(ctx context.Context, uids []UID) ([]UID, ModSeq, error) {
	if uids != nil {
		return m.remove(ctx, uids, onlyDeleted)
	}
	var removed []UID
	for {
		part, at, err := m.removeSome(ctx, (*box).deleted)
		removed = append(removed, part...)
		if err != nil || len(part) < removePortion {
			return removed, at, err
		}
	}
}

// Remove removes messages whatever their flags (POP3's QUIT), as Expunge does. Errors: NotFound.
func (m *Mailbox) Remove(ctx context.Context, uids []UID) error {
	_, _, err := m.remove(ctx, uids, func(entries []Entry) []Entry { return entries })
	return err
}

// remove removes those of uids that choose leaves.
func (m *Mailbox) remove(ctx context.Context, uids []UID, choose func([]Entry) []Entry) (removed []UID, at ModSeq, err error) {
	uids = rising(uids)
	for first := true; first || len(uids) > 0; first = false {
		portion := uids[:min(len(uids), removePortion)]
		uids = uids[len(portion):]
		var part []UID
		part, at, err = m.removeSome(ctx, func(b *box) ([]Entry, error) {
			entries, err := b.entries(portion)
			return choose(entries), err
		})
		removed = append(removed, part...)
		if err != nil {
			return removed, at, err
		}
	}
	return removed, at, nil
}

// removeSome removes the messages that find returns, in one transaction.
func (m *Mailbox) removeSome(ctx context.Context, find func(*box) ([]Entry, error)) (removed []UID, at ModSeq, err error) {
	err = m.update(ctx, func(b *box) error {
		entries, err := find(b)
		if err != nil {
			return err
		}
		removed = uidsOf(entries)
		if len(entries) > 0 {
			err = b.remove(entries)
		}
		at = b.counters.highest
		return err
	})
	if err != nil {
		return nil, at, err
	}
	m.account.store.stats.expunged.Add(int64(len(removed)))
	return removed, at, nil
}

func onlyDeleted(entries []Entry) []Entry {
	return slices.DeleteFunc(entries, func(e Entry) bool { return e.Flags&Deleted == 0 })
}
