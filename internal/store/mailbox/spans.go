package mailbox

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// maxUID is the highest UID given, so that UIDNEXT is a UID, too.
const maxUID = 1<<32 - 2

// Range is the UIDs from First to Last.
type Range struct{ First, Last UID }

// spans is a set of UIDs: rising, and no two touch.
type spans []Range

// spansOf makes a set of rising UIDs.
func spansOf(uids []UID) spans {
	var s spans
	for _, u := range uids {
		if n := len(s); n > 0 && s[n-1].Last+1 == u {
			s[n-1].Last = u
			continue
		}
		s = append(s, Range{u, u})
	}
	return s
}

// appendTo appends the UIDs to dst.
func (s spans) appendTo(dst []UID) []UID {
	for _, p := range s {
		dst = p.appendTo(dst)
	}
	return dst
}

// appendTo appends the UIDs to dst; there are none when last lies before first.
func (p Range) appendTo(dst []UID) []UID {
	for u := p.First; u <= p.Last; u++ {
		dst = append(dst, u)
	}
	return dst
}

// encode appends the number of spans, then for each its distance from the last one and its length.
func (s spans) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	last := UID(0)
	for _, p := range s {
		b = binary.AppendUvarint(b, uint64(p.First-last))
		b = binary.AppendUvarint(b, uint64(p.Last-p.First))
		last = p.Last
	}
	return b
}

func (d *decoder) spans() spans {
	n := d.uvarint()
	if n > uint64(len(d.rest)/2) {
		d.bad = true
		return nil
	}
	s := make(spans, 0, n)
	last := uint64(0)
	for range n {
		gap, length := d.uvarint(), d.uvarint()
		first := last + gap
		last = first + length
		if d.bad || gap == 0 || gap > maxUID || length > maxUID || last > maxUID {
			d.bad = true
			return nil
		}
		s = append(s, Range{UID(first), UID(last)})
	}
	return s
}

// logRow is what one command did to a mailbox.
type logRow struct {
	modSeq                   ModSeq
	added, changed, expunged spans
}

func (r *logRow) encode() []byte {
	b := make([]byte, 0, 16)
	return r.expunged.encode(r.changed.encode(r.added.encode(b)))
}

func decodeLogRow(m ModSeq, value []byte) (logRow, error) {
	d := decoder{rest: value}
	r := logRow{modSeq: m, added: d.spans(), changed: d.spans(), expunged: d.spans()}
	return r, d.err("log row")
}

// merge tells what rows, in their order, come to: each UID in its last role.
func merge(rows []logRow) (added, changed []UID, expunged []Range) {
	var came, touched spans
	for _, r := range rows {
		came, touched = append(came, r.added...), append(touched, r.changed...)
	}
	// A UID is added at most once and never comes back, so the roles' order needs no looking at. However much has
	// come and gone meanwhile, the UIDs are those of messages that are there.
	expunged = expungedBy(rows)
	added = joined(came).less(expunged).appendTo(nil)
	changed = without(joined(touched).less(expunged).appendTo(nil), added)
	return added, changed, expunged
}

// expungedBy returns what rows expunged.
func expungedBy(rows []logRow) []Range {
	var gone spans
	for _, r := range rows {
		gone = append(gone, r.expunged...)
	}
	return joined(gone)
}

// joined sorts ranges and joins those that overlap or touch, in place.
func joined(ranges spans) spans {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	n := 0
	for _, r := range ranges {
		if n > 0 && r.First <= ranges[n-1].Last+1 {
			ranges[n-1].Last = max(ranges[n-1].Last, r.Last)
			continue
		}
		ranges[n] = r
		n++
	}
	return ranges[:n]
}

// less returns s without the UIDs in ranges, which rise and do not overlap.
func (s spans) less(ranges []Range) spans {
	var left spans
	for _, p := range s {
		for len(ranges) > 0 && ranges[0].Last < p.First {
			ranges = ranges[1:]
		}
		next := p.First
		for _, r := range ranges {
			if r.First > p.Last {
				break
			}
			if r.First > next {
				left = append(left, Range{next, r.First - 1})
			}
			next = r.Last + 1
		}
		if next <= p.Last {
			left = append(left, Range{next, p.Last})
		}
	}
	return left
}

// rising returns uids in rising order, each once. A caller's slice is left as it is.
func rising(uids []UID) []UID {
	for i := 1; i < len(uids); i++ {
		if uids[i] <= uids[i-1] {
			return sorted(slices.Clone(uids))
		}
	}
	return uids
}

func sorted(uids []UID) []UID {
	if !slices.IsSorted(uids) {
		slices.Sort(uids)
	}
	return slices.Compact(uids)
}

// without takes the UIDs of b away from those of a, in place; both rise.
func without(a, b []UID) []UID {
	if len(b) == 0 {
		return a
	}
	kept := a[:0]
	for _, u := range a {
		for len(b) > 0 && b[0] < u {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != u {
			kept = append(kept, u)
		}
	}
	return kept
}
