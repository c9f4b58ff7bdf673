package kv

import (
	"bytes"
	"iter"
	"slices"
)

// maxTx is the greatest size in octets of a transaction's keys and values, unless Options says otherwise.
const maxTx = 256 << 20

// tx implements Tx on a snapshot. What it writes is kept in memory until the commit.
type tx struct {
	snapshot snapshot
	begin    uint64 // every commit up to this one is in the snapshot
	reads    readSet
	writes   writeSet
	linking  linking
}

// Get implements Reader.
func (t *tx) Get(key []byte) ([]byte, error) {
	if w, ok := t.writes.get(key); ok {
		if w.deleted {
			return nil, ErrNotFound
		}
		return bytes.Clone(nonNil(w.value)), nil
	}
	if t.writes.rangeDeleted(key) {
		return nil, ErrNotFound
	}
	t.reads.addKey(key)
	return t.snapshot.Get(key)
}

// Set implements Tx.
func (t *tx) Set(key, value []byte) { t.writes.put(write{key: key, value: value}) }

// Delete implements Tx.
func (t *tx) Delete(key []byte) { t.writes.put(write{key: key, deleted: true}) }

// DeleteRange implements Tx.
func (t *tx) DeleteRange(from, to []byte) {
	if to == nil {
		to = keysEnd
	}
	t.writes.deleteRange(keyRange{from, to})
}

// Link implements Tx.
func (t *tx) Link(id BlobID, owner []byte) {
	t.Set(linkKey(id, owner), nil)
	t.linking.linked = append(t.linking.linked, id)
}

// Unlink implements Tx.
func (t *tx) Unlink(id BlobID, owner []byte) {
	t.Delete(linkKey(id, owner))
	t.linking.unlinked += id.size()
}

// Scan implements Reader.
func (t *tx) Scan(from, to []byte) iter.Seq2[Pair, error] { return t.scan(from, to, rising) }

// ScanBack implements Reader.
func (t *tx) ScanBack(from, to []byte) iter.Seq2[Pair, error] { return t.scan(from, to, falling) }

func (t *tx) scan(from, to []byte, way direction) iter.Seq2[Pair, error] {
	if to == nil {
		to = keysEnd
	}
	from, to = bytes.Clone(from), bytes.Clone(to)
	return func(yield func(Pair, error) bool) {
		m, err := t.merge(keyRange{from, to}, way)
		if err != nil {
			yield(Pair{}, err)
			return
		}
		defer m.below.close()
		for m.next() {
			if !yield(m.pair, nil) {
				m.readUpToHere()
				return
			}
		}
		t.reads.addRange(from, to)
		if m.failure != nil {
			yield(Pair{}, m.failure)
		}
	}
}

// merge is a scan of a snapshot with a transaction's own writes laid over it.
type merge struct {
	tx     *tx
	span   keyRange
	below  *cursor
	way    direction
	own    []write // still to come, in the order of the scan
	ranges []keyRange

	belowValid bool // below stands on a pair that is still to come
	belowDone  bool
	pair       Pair
	failure    error
}

func (t *tx) merge(span keyRange, way direction) (*merge, error) {
	below, err := t.snapshot.cursor(span.from, span.to, way)
	if err != nil {
		return nil, err
	}
	m := &merge{tx: t, span: span, below: below, way: way, ranges: t.writes.ranges}
	if indexes := t.writes.within(span); len(indexes) > 0 {
		m.own = make([]write, 0, len(indexes))
		for n := range indexes {
			if way == falling {
				n = len(indexes) - 1 - n
			}
			m.own = append(m.own, t.writes.writes[indexes[n]])
		}
	}
	return m, nil
}

// next finds the next pair.
func (m *merge) next() bool {
	for m.failure == nil {
		switch m.nearer() {
		case ownFirst:
			w := m.own[0]
			m.own = m.own[1:]
			if !w.deleted {
				m.pair = Pair{w.key, w.value}
				return true
			}
		case belowFirst:
			m.pair = m.below.pair()
			m.belowValid = false
			if !m.deleted(m.pair.Key) {
				return true
			}
		case bothSame: // the own write hides the pair below
			m.belowValid = false
		case noneLeft:
			return false
		}
	}
	return false
}

type nearer int

const (
	noneLeft nearer = iota
	ownFirst
	belowFirst
	bothSame
)

// nearer tells which side has the next key.
func (m *merge) nearer() nearer {
	m.stepBelow()
	switch {
	case m.failure != nil:
		return noneLeft
	case !m.belowValid && len(m.own) == 0:
		return noneLeft
	case !m.belowValid:
		return ownFirst
	case len(m.own) == 0:
		return belowFirst
	}
	switch c := bytes.Compare(m.own[0].key, m.below.it.Key()) * int(m.way); {
	case c < 0:
		return ownFirst
	case c > 0:
		return belowFirst
	default:
		return bothSame
	}
}

// stepBelow steps on when the pair below was taken.
func (m *merge) stepBelow() {
	if m.belowValid || m.belowDone {
		return
	}
	if m.belowValid = m.below.next(); !m.belowValid {
		m.belowDone = true
		m.failure = m.below.err()
	}
}

func (m *merge) deleted(key []byte) bool {
	return slices.ContainsFunc(m.ranges, func(r keyRange) bool { return r.has(key) })
}

// readUpToHere notes the part of the range that a scan saw that was broken off.
func (m *merge) readUpToHere() {
	key := bytes.Clone(m.pair.Key)
	if m.way == rising {
		m.tx.reads.addRange(m.span.from, append(key, 0))
		return
	}
	m.tx.reads.addRange(key, m.span.to)
}
