package mailbox

import "context"

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
		d, _ = m.table.compare(d.ModSeq)
		return d.Expunged, nil
	}
	return expungedBy(rows), nil
}

// gaps returns the UIDs below UIDNEXT that do not exist. t.mu is held.
func (t *table) gaps() []Range {
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
