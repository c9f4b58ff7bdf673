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
	if len(l.linked) == 0 {
		return nil
	}
	slices.SortFunc(l.linked, compareBlobs)
	c, err := s.cursor(linkPrefix, PrefixEnd(linkPrefix), rising)
	if err != nil {
		return err
	}
	defer c.close()
	l.fresh, l.known = l.fresh[:0], l.known[:0]
	for i, id := range l.linked {
		switch {
		case i > 0 && id == l.linked[i-1]:
		case !f.has(id) && c.it.SeekGE(linkKey(id, nil)) && bytes.HasPrefix(c.it.Key(), linkKey(id, nil)):
			l.known = append(l.known, id)
		default:
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
