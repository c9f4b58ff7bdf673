package mailbox

import "context"

// Copied pairs the UIDs of a COPY or MOVE: Source[i] became Target[i] in the mailbox with UIDValidity.
type Copied struct {
	UIDValidity    UIDValidity
	Source, Target []UID
	ModSeq         ModSeq // of the removal, for MOVE
}

// recordEstimate is what a record takes, in octets, when nobody has looked.
const recordEstimate = 1 << 10

// Copy puts copies at the end of mailbox to, all or none; flags, keywords and INTERNALDATE are kept
// and no body is copied. Errors: NotFound, TooMany (keywords).
func (m *Mailbox) Copy(ctx context.Context, uids []UID, to ID) (Copied, error) {
	var done Copied
	err := m.submit(ctx, len(uids)*recordEstimate, func(b *box) (err error) {
		done, _, err = b.copy(uids, to)
		return err
	})
	if err != nil {
		return Copied{}, err
	}
	m.account.store.stats.copied.Add(int64(len(done.Source)))
	return done, nil
}

// Move copies messages as Copy does and removes the sources, in the same transaction. Errors: those of Copy.
func (m *Mailbox) Move(ctx context.Context, uids []UID, to ID) (Copied, error) {
	var done Copied
	err := m.submit(ctx, len(uids)*recordEstimate, func(b *box) (err error) {
		done, err = b.moveTo(uids, to)
		return err
	})
	if err != nil {
		return Copied{}, err
	}
	m.account.store.stats.copied.Add(int64(len(done.Source)))
	m.account.store.stats.expunged.Add(int64(len(done.Source)))
	return done, nil
}

func (b *box) copy(uids []UID, to ID) (Copied, []Entry, error) {
	target, err := b.change.box(to)
	if err != nil {
		return Copied{}, nil, err
	}
	entries, err := b.entries(uids)
	if err != nil {
		return Copied{}, nil, err
	}
	copies, err := target.copyFrom(b, entries)
	return Copied{UIDValidity: target.row.uidValidity, Source: uidsOf(entries), Target: copies}, entries, err
}

func (b *box) moveTo(uids []UID, to ID) (Copied, error) {
	done, entries, err := b.copy(uids, to)
	if err == nil && len(entries) > 0 {
		err = b.remove(entries)
	}
	done.ModSeq = b.counters.highest
	return done, err
}

// copyFrom adds copies of the messages with the given entries of source, in their order.
func (b *box) copyFrom(source *box, entries []Entry) ([]UID, error) {
	keywords := source.row.keywords
	values, err := source.records(entries)
	if err != nil {
		return nil, err
	}
	uids := make([]UID, len(entries))
	for i, e := range entries {
		r, err := decodeRecord(e.UID, values[i])
		if err != nil {
			return nil, err
		}
		names, err := parseFlagNames(namesOf(e.Flags, keywords))
		if err != nil {
			return nil, err
		}
		f, err := b.bits(names)
		if err != nil {
			return nil, err
		}
		if uids[i], err = b.add(values[i], r.blob, r.size, f); err != nil {
			return nil, err
		}
	}
	return uids, nil
}

// records returns the records of the messages with the given entries, as they are stored. They are all read
// before one is written, since source and target may be one mailbox.
func (b *box) records(entries []Entry) ([][]byte, error) {
	values := make([][]byte, 0, len(entries))
	err := scanUIDs(b.change.tx, b.change.account.id, kindRecord, b.id, uidsOf(entries), func(_ UID, v []byte) error {
		values = append(values, append([]byte(nil), v...))
		return nil
	})
	if err == nil && len(values) != len(entries) {
		err = errRecordMissing
	}
	return values, err
}
