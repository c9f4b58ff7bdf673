package mailbox

import (
	"cmp"
	"context"
	"slices"
)

// Vanished returns the UIDs of messages that were expunged after since, as rising ranges that do not touch.
// When the log does not reach back that far, these are all UIDs below UIDNEXT that do not exist (RFC 7162,
// section 3.2.6), and so among them are some that were expunged before. Errors: NotFound.
func (m *Mailbox) Vanished(ctx context.Context, since ModSeq) ([]Range, error) {
	if err := m.alive(); err != nil {
		return nil, err
	}
	d, rows, known := m.table.since(since)
	if !known {
		var err error
		if rows, known, err = m.readLog(ctx, since, d.ModSeq); err != nil {
			return nil, err
		}
	}
	if !known {
		return m.table.gaps(), nil
	}
	var gone []Range
	for _, r := range rows {
		gone = append(gone, r.expunged...)
	}
	return joined(gone), nil
}

// joined sorts ranges that do not overlap and joins those that touch.
func joined(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	n := 0
	for _, r := range ranges {
		if n > 0 && ranges[n-1].Last+1 == r.First {
			ranges[n-1].Last = r.Last
			continue
		}
		ranges[n] = r
		n++
	}
	return ranges[:n]
}

// gaps returns the UIDs below UIDNEXT that do not exist.
func (t *table) gaps() []Range {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var gaps []Range
	next := UID(1)
	for _, u := range t.uids {
		if u > next {
			gaps = append(gaps, Range{next, u - 1})
		}
		next = u + 1
	}
	if t.uidNext > next {
		gaps = append(gaps, Range{next, t.uidNext - 1})
	}
	return gaps
}

// UIDNext returns the durable UIDNEXT.
func (m *Mailbox) UIDNext() UID {
	m.table.mu.RLock()
	defer m.table.mu.RUnlock()
	return m.table.uidNext
}
