package mailbox

import "context"

// Expunge removes the messages of uids that bear \Deleted; nil means all that do. It returns the
// UIDs removed and the change's ModSeq (RFC 7162, section 3.2.10); when none is removed, the mailbox's
// HIGHESTMODSEQ. Errors: NotFound.
func (m *Mailbox) Expunge(ctx context.Context, uids []UID) ([]UID, ModSeq, error) {
	var removed []UID
	var at ModSeq
	err := m.update(ctx, func(b *box) error {
		entries, err := b.deletedOf(uids)
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
		return nil, 0, err
	}
	m.account.store.stats.expunged.Add(int64(len(removed)))
	return removed, at, nil
}

// deletedOf returns the entries of uids that bear \Deleted; nil uids are all.
func (b *box) deletedOf(uids []UID) ([]Entry, error) {
	if uids == nil {
		return b.deleted()
	}
	entries, err := b.entries(uids)
	return onlyDeleted(entries), err
}

// Remove removes messages whatever their flags (POP3's QUIT). Errors: NotFound.
func (m *Mailbox) Remove(ctx context.Context, uids []UID) error {
	removed := 0
	err := m.update(ctx, func(b *box) error {
		entries, err := b.entries(uids)
		removed = len(entries)
		if err != nil || removed == 0 {
			return err
		}
		return b.remove(entries)
	})
	if err != nil {
		return err
	}
	m.account.store.stats.expunged.Add(int64(removed))
	return nil
}
