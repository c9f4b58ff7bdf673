package mailbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Copied pairs the UIDs of a COPY or MOVE: Source[i] became Target[i] in the mailbox with UIDValidity.
type Copied struct {
	UIDValidity    UIDValidity
	Source, Target []UID
	ModSeq         ModSeq // of the removal, for MOVE
}

func (c *Copied) add(part Copied) {
	c.UIDValidity, c.ModSeq = part.UIDValidity, part.ModSeq
	c.Source, c.Target = append(c.Source, part.Source...), append(c.Target, part.Target...)
}

const (
	// recordEstimate is what a record takes, in octets, when nobody has looked.
	recordEstimate = 1 << 10
	// copyPortion and copyOctets bound what one transaction copies: messages, and octets of their records.
	copyPortion = 5_000
	copyOctets  = 8 << 20
	// undoTimeout bounds how long each portion of a copy that failed in its midst is undone.
	undoTimeout = time.Minute
)

// Copy puts copies at the end of mailbox to, all or none; flags, keywords and INTERNALDATE are kept
// and no body is copied. Many are copied in several changes, and when one of these fails, what was
// copied is removed. Errors: NotFound, TooMany (keywords).
func (m *Mailbox) Copy(ctx context.Context, uids []UID, to ID) (Copied, error) {
	done, err := m.copyPortions(ctx, uids, to, (*box).copyTo)
	if err == nil || len(done.Target) == 0 {
		return done, err
	}
	portions := 1 + len(done.Target)/removePortion
	undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(portions)*undoTimeout)
	defer cancel()
	if left := m.account.removeCopies(undoing, to, done.Target); left != nil {
		return Copied{}, fmt.Errorf("undoing a copy (%v): %w", err, left)
	}
	return Copied{}, err
}

// Move copies messages as Copy does and removes the sources, each message in one transaction with its copy.
// Many are moved in several changes; after an error done tells which were (RFC 6851, section 3.3).
// Errors: those of Copy.
func (m *Mailbox) Move(ctx context.Context, uids []UID, to ID) (done Copied, err error) {
	done, err = m.copyPortions(ctx, uids, to, (*box).moveTo)
	m.account.store.stats.expunged.Add(int64(len(done.Source)))
	return done, err
}

// copyPortions copies uids by some, each time with as many as one transaction holds.
func (m *Mailbox) copyPortions(ctx context.Context, uids []UID, to ID, some func(*box, []UID, ID) (Copied, []UID, error)) (done Copied, err error) {
	uids = rising(uids)
	for first := true; first || len(uids) > 0; first = false {
		portion := uids[:min(len(uids), copyPortion)]
		var part Copied
		var rest []UID
		err := m.submit(ctx, len(portion)*recordEstimate, func(b *box) (err error) {
			part, rest, err = some(b, portion, to)
			return err
		})
		if err != nil {
			return done, err
		}
		m.account.store.stats.copied.Add(int64(len(part.Source)))
		done.add(part)
		uids = uids[len(portion)-len(rest):]
	}
	return done, nil
}

// removeCopies takes back what a copy that failed has put into a mailbox.
func (a *Account) removeCopies(ctx context.Context, from ID, uids []UID) error {
	target, err := a.Open(ctx, from)
	if err == nil {
		defer target.Close()
		err = target.Remove(ctx, uids)
	}
	if err != nil && !isGone(err) {
		return err
	}
	return nil
}

// copyTo copies as many of uids as one transaction holds, and returns the rest.
func (b *box) copyTo(uids []UID, to ID) (done Copied, rest []UID, err error) {
	done, _, rest, err = b.copy(uids, to)
	return done, rest, err
}

// moveTo is copyTo and removes the sources.
func (b *box) moveTo(uids []UID, to ID) (Copied, []UID, error) {
	done, entries, rest, err := b.copy(uids, to)
	if err == nil && len(entries) > 0 {
		err = b.remove(entries)
	}
	done.ModSeq = b.counters.highest
	return done, rest, err
}

func (b *box) copy(uids []UID, to ID) (done Copied, entries []Entry, rest []UID, err error) {
	target, err := b.change.box(to)
	if err != nil {
		return Copied{}, nil, nil, err
	}
	if entries, err = b.entries(uids); err != nil {
		return Copied{}, nil, nil, err
	}
	copies, err := target.copyFrom(b, entries)
	if n := len(copies); err == nil && n < len(entries) {
		rest = after(uids, entries[n-1].UID)
		entries = entries[:n]
	}
	return Copied{UIDValidity: target.row.uidValidity, Source: uidsOf(entries), Target: copies}, entries, rest, err
}

// copyFrom adds copies of the messages with the given entries of source, in their order: all, or the
// first of them, at least one, when their records are large.
func (b *box) copyFrom(source *box, entries []Entry) ([]UID, error) {
	keywords := source.row.keywords
	values, err := source.records(entries)
	if err != nil {
		return nil, err
	}
	uids := make([]UID, len(values))
	for i, value := range values {
		r, err := decodeRecord(entries[i].UID, value)
		if err != nil {
			return nil, err
		}
		names, err := parseFlagNames(namesOf(entries[i].Flags, keywords))
		if err != nil {
			return nil, err
		}
		f, err := b.bits(names)
		if err != nil {
			return nil, err
		}
		if uids[i], err = b.add(value, r.blob, r.size, f); err != nil {
			return nil, err
		}
	}
	return uids, nil
}

// records returns the records of the messages with the given entries, as they are stored, up to copyOctets.
// They are all read before one is written, since source and target may be one mailbox.
func (b *box) records(entries []Entry) ([][]byte, error) {
	values := make([][]byte, 0, len(entries))
	octets := 0
	err := scanUIDs(b.change.tx, b.change.account.id, kindRecord, b.id, uidsOf(entries), func(uid UID, v []byte) error {
		if uid != entries[len(values)].UID {
			return errRecordMissing
		}
		values = append(values, append([]byte(nil), v...))
		if octets += len(v); octets >= copyOctets {
			return errBatchFull
		}
		return nil
	})
	if errors.Is(err, errBatchFull) {
		return values, nil
	}
	if err == nil && len(values) != len(entries) {
		err = errRecordMissing
	}
	return values, err
}
