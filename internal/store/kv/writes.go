package kv

import (
	"bytes"
	"hash/maphash"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// write is the last that a transaction did to a key.
type write struct {
	key, value []byte
	deleted    bool
}

// keyRange is from <= key < to.
type keyRange struct{ from, to []byte }

func (r keyRange) has(key []byte) bool {
	return bytes.Compare(r.from, key) <= 0 && bytes.Compare(key, r.to) < 0
}

func (r keyRange) overlaps(o keyRange) bool {
	return bytes.Compare(r.from, o.to) < 0 && bytes.Compare(o.from, r.to) < 0
}

// writeSet is what a transaction wrote and has not committed. A hash table finds a key; the order,
// which scans and the commit need, is made when it is asked for, since most transactions write
// thousands of keys before they ask.
type writeSet struct {
	writes []write
	table  []uint32 // open addressing; 1 + index in writes, 0 is free
	sorted []uint32 // indexes in the order of keys, of the first len(sorted) writes
	ranges []keyRange
	size   int
}

var hashSeed = maphash.MakeSeed()

// put notes w as the last write to its key.
func (s *writeSet) put(w write) {
	s.size += len(w.key) + len(w.value)
	if 4*(len(s.writes)+1) > 3*len(s.table) {
		s.grow()
	}
	slot := s.slot(w.key)
	if i := s.table[slot]; i != 0 {
		s.writes[i-1] = w
		return
	}
	s.writes = append(s.writes, w)
	s.table[slot] = uint32(len(s.writes))
}

// get returns the last write to key.
func (s *writeSet) get(key []byte) (write, bool) {
	if len(s.table) == 0 {
		return write{}, false
	}
	i := s.table[s.slot(key)]
	if i == 0 {
		return write{}, false
	}
	return s.writes[i-1], true
}

// slot is where key is in the table, or belongs.
func (s *writeSet) slot(key []byte) uint64 {
	mask := uint64(len(s.table) - 1)
	for slot := maphash.Bytes(hashSeed, key) & mask; ; slot = (slot + 1) & mask {
		i := s.table[slot]
		if i == 0 || bytes.Equal(s.writes[i-1].key, key) {
			return slot
		}
	}
}

func (s *writeSet) grow() {
	s.table = make([]uint32, max(16, 2*len(s.table)))
	for i := range s.writes {
		s.table[s.slot(s.writes[i].key)] = uint32(i + 1)
	}
}

// deleteRange deletes what is in r, here and below.
func (s *writeSet) deleteRange(r keyRange) {
	if bytes.Compare(r.from, r.to) >= 0 {
		return
	}
	s.size += len(r.from) + len(r.to)
	s.ranges = append(s.ranges, r)
	for _, i := range s.within(r) {
		s.writes[i] = write{key: s.writes[i].key, deleted: true}
	}
}

// rangeDeleted tells whether key is in a deleted range; a write to it may have come later.
func (s *writeSet) rangeDeleted(key []byte) bool {
	return slices.ContainsFunc(s.ranges, func(r keyRange) bool { return r.has(key) })
}

// order returns the indexes of the writes in the order of their keys. The result is valid until
// the next put.
func (s *writeSet) order() []uint32 {
	old := len(s.sorted)
	for i := old; i < len(s.writes); i++ {
		s.sorted = append(s.sorted, uint32(i))
	}
	fresh := s.sorted[old:]
	slices.SortFunc(fresh, s.compare)
	if old > 0 && len(fresh) > 0 && s.compare(s.sorted[old-1], fresh[0]) > 0 {
		s.mergeFresh(old)
	}
	return s.sorted
}

// mergeFresh merges the two sorted parts of s.sorted that meet at old, from the back.
func (s *writeSet) mergeFresh(old int) {
	fresh := slices.Clone(s.sorted[old:])
	i, j := old-1, len(fresh)-1
	for to := len(s.sorted) - 1; j >= 0; to-- {
		if i >= 0 && s.compare(s.sorted[i], fresh[j]) > 0 {
			s.sorted[to] = s.sorted[i]
			i--
			continue
		}
		s.sorted[to] = fresh[j]
		j--
	}
}

func (s *writeSet) compare(a, b uint32) int {
	return bytes.Compare(s.writes[a].key, s.writes[b].key)
}

// within returns the indexes of the writes in r, in the order of their keys, valid until the next put.
func (s *writeSet) within(r keyRange) []uint32 {
	order := s.order()
	from, _ := slices.BinarySearchFunc(order, r.from, s.compareKey)
	to, _ := slices.BinarySearchFunc(order, r.to, s.compareKey)
	return order[from:max(from, to)]
}

func (s *writeSet) compareKey(i uint32, key []byte) int {
	return bytes.Compare(s.writes[i].key, key)
}

func (s *writeSet) empty() bool { return len(s.writes) == 0 && len(s.ranges) == 0 }

// fill puts everything into b. The ranges come first: each key in one of them that was written
// before has become a deletion, so what is written now came later.
func (s *writeSet) fill(b *pebble.Batch) error {
	for _, r := range s.ranges {
		if err := b.DeleteRange(r.from, r.to, nil); err != nil {
			return err
		}
	}
	for _, i := range s.order() {
		if err := s.writes[i].fill(b); err != nil {
			return err
		}
	}
	return nil
}

func (w *write) fill(b *pebble.Batch) error {
	if w.deleted {
		return b.Delete(w.key, nil)
	}
	return b.Set(w.key, w.value, nil)
}

// footprint is the set of keys that a commit touched, for comparison with the reads of others.
type footprint struct {
	keys   [][]byte // in order
	ranges []keyRange
}

// footprint copies the keys, since they belong to the caller when the transaction has ended.
func (s *writeSet) footprint() footprint {
	size := 0
	for i := range s.writes {
		size += len(s.writes[i].key)
	}
	arena := make([]byte, 0, size)
	f := footprint{keys: make([][]byte, 0, len(s.writes))}
	for _, i := range s.order() {
		start := len(arena)
		arena = append(arena, s.writes[i].key...)
		f.keys = append(f.keys, arena[start:len(arena):len(arena)])
	}
	for _, r := range s.ranges {
		f.ranges = append(f.ranges, keyRange{bytes.Clone(r.from), bytes.Clone(r.to)})
	}
	return f
}

// hits tells whether the footprint touches something that was read.
func (f *footprint) hits(r *readSet) bool {
	for _, key := range r.keys {
		if f.hitsKey(key) {
			return true
		}
	}
	return slices.ContainsFunc(r.ranges, f.hitsRange)
}

func (f *footprint) hitsKey(key []byte) bool {
	if _, found := slices.BinarySearchFunc(f.keys, key, bytes.Compare); found {
		return true
	}
	return slices.ContainsFunc(f.ranges, func(r keyRange) bool { return r.has(key) })
}

func (f *footprint) hitsRange(r keyRange) bool {
	if i, _ := slices.BinarySearchFunc(f.keys, r.from, bytes.Compare); i < len(f.keys) && r.has(f.keys[i]) {
		return true
	}
	return slices.ContainsFunc(f.ranges, r.overlaps)
}

// readSet is what a transaction saw of the snapshot, absent keys and empty stretches included.
type readSet struct {
	keys   [][]byte
	ranges []keyRange
	arena  []byte
}

// addKey copies key, which the caller may use again.
func (r *readSet) addKey(key []byte) {
	start := len(r.arena)
	r.arena = append(r.arena, key...)
	r.keys = append(r.keys, r.arena[start:len(r.arena):len(r.arena)])
}

// addRange adopts from and to.
func (r *readSet) addRange(from, to []byte) {
	r.ranges = append(r.ranges, keyRange{from, to})
}
