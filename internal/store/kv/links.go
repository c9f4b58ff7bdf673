package kv

import (
	"bytes"
	"fmt"
	"slices"
)

// linking is what a transaction does to links.
type linking struct {
	linked   []BlobID // one for each link that is made
	unlinked int64    // octets of the blobs of the links that are taken back

	fresh []BlobID // of linked, those that nothing linked when the transaction began
	known []BlobID // and the others
}

// sort finds out what was linked before. A blob that is fresh must be under way still when the transaction commits.
func (l *linking) sort(s snapshot, f *flights) error {
	slices.SortFunc(l.linked, compareBlobs)
	l.fresh, l.known = l.fresh[:0], l.known[:0]
	var rest []BlobID // that are not under way: mostly none
	for _, id := range slices.Compact(slices.Clone(l.linked)) {
		if f.has(id) {
			l.fresh = append(l.fresh, id)
		} else {
			rest = append(rest, id)
		}
	}
	return l.look(s, rest)
}

// look asks a snapshot which blobs were linked. They are in order.
func (l *linking) look(s snapshot, ids []BlobID) error {
	if len(ids) == 0 {
		return nil
	}
	c, err := s.cursor(linkPrefix, PrefixEnd(linkPrefix), rising)
	if err != nil {
		return err
	}
	defer c.close()
	for _, id := range ids {
		if c.it.SeekGE(linkKey(id, nil)) && bytes.HasPrefix(c.it.Key(), linkKey(id, nil)) {
			l.known = append(l.known, id)
		} else {
			l.fresh = append(l.fresh, id)
		}
	}
	return c.err()
}

func compareBlobs(a, b BlobID) int { return bytes.Compare(a[:], b[:]) }

// garbage is how many octets more need collecting after the transaction, or fewer. A blob weighs nothing at its first
// link and once for each other; each link that is taken back gives its weight back.
func (l *linking) garbage() int64 {
	n := l.unlinked
	for _, id := range l.linked {
		n -= id.size()
	}
	for _, id := range l.fresh {
		n += id.size()
	}
	return n
}

// mayLink tells whether the fresh blobs of a transaction are there to be linked. Engine.commitMu is held.
func (e *Engine) mayLink(fresh []BlobID) error {
	for _, id := range fresh {
		if e.flights.has(id) {
			continue
		}
		linked, err := e.isLinked(id)
		if err != nil {
			return err
		}
		if !linked {
			return fmt.Errorf("linking blob %s, which nothing links: %w", id, ErrNotFound)
		}
	}
	return nil
}

// isLinked tells whether a blob has an owner in the newest state.
func (e *Engine) isLinked(id BlobID) (bool, error) {
	c, err := newCursor(e.db, linkKey(id, nil), PrefixEnd(linkKey(id, nil)), rising)
	if err != nil {
		return false, err
	}
	defer c.close()
	return c.next(), c.err()
}
