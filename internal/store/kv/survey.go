package kv

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// residence is a blob that something links, and where it is.
type residence struct {
	id    BlobID
	place place
}

// each calls f with the segments of the blob and the octets it takes up in them. A large blob's parts are given.
func (r residence) each(parts []part, f func(segment uint32, octets int64)) {
	body := r.id.size()
	if r.id.isIndex() {
		body = int64(len(parts)) * indexEntry
	}
	f(r.place.at.segment, align(headerSize+body))
	for _, p := range parts {
		f(p.at.segment, align(headerSize+int64(p.length)))
	}
}

// residences is a walk over all blobs that a snapshot links, in the order of their names.
type residences struct {
	engine  *Engine
	links   *cursor
	moved   *cursor
	waiting bool // moved stands on a row that is still to come
	last    BlobID

	stale []BlobID // those with a moved row that nothing links, up to maxStale
}

// maxStale bounds how many moved rows are removed in one run.
const maxStale = 1 << 18

func (e *Engine) residences(s snapshot) (*residences, error) {
	links, err := s.cursor(linkPrefix, PrefixEnd(linkPrefix), rising)
	if err != nil {
		return nil, err
	}
	moved, err := s.cursor(movedPrefix, PrefixEnd(movedPrefix), rising)
	if err != nil {
		links.close()
		return nil, err
	}
	return &residences{engine: e, links: links, moved: moved, waiting: moved.next()}, nil
}

func (w *residences) close() {
	w.links.close()
	w.moved.close()
}

// next returns the next blob; false at the end.
func (w *residences) next() (r residence, ok bool, err error) {
	for w.links.next() {
		id := BlobID(w.links.it.Key()[len(linkPrefix):])
		if id == w.last {
			continue
		}
		w.last = id
		p, err := w.placeOf(id)
		return residence{id, p}, true, err
	}
	for ; w.waiting; w.waiting = w.moved.next() {
		w.addStale(w.movedID())
	}
	return r, false, errors.Join(w.links.err(), w.moved.err())
}

// placeOf steps to the moved row of id, if it has one.
func (w *residences) placeOf(id BlobID) (place, error) {
	for ; w.waiting; w.waiting = w.moved.next() {
		at := w.movedID()
		if order := compareBlobs(at, id); order > 0 {
			break
		} else if order == 0 {
			p, err := parsePlace(w.moved.it.Value())
			w.waiting = w.moved.next()
			return p, err
		}
		w.addStale(at)
	}
	return place{at: id.position()}, nil
}

func (w *residences) movedID() BlobID { return BlobID(w.moved.it.Key()[len(movedPrefix):]) }

func (w *residences) addStale(id BlobID) {
	if len(w.stale) < maxStale {
		w.stale = append(w.stale, id)
	}
}

// tally is what is live in a segment.
type tally struct {
	octets int64
	blobs  int // records and parts
}

// survey is what was found out of all segments.
type survey struct {
	live    map[uint32]tally
	stale   []BlobID
	missing int // blobs that are linked but not there

	// unread are large blobs of which the disk would not give the index. Their parts are known to nobody, but written
	// before it: they are in segments up to unreadEnd.
	unread     int
	unreadEnd  uint32
	unreadName string // of one of them
}

// survey weighs what a snapshot links.
func (c *collector) survey(ctx context.Context, s snapshot) (survey, error) {
	found := survey{live: map[uint32]tally{}}
	stale, err := c.eachResidence(ctx, s, func(r residence, parts []part, err error) error {
		switch {
		case isLost(err):
			// Without its index a large blob is lost, but perhaps not for those who mend what is left.
			c.engine.catalog.spoil(r.place.at.segment)
		case isDamage(err):
			found.unread++
			found.unreadEnd = max(found.unreadEnd, r.place.at.segment)
			found.unreadName = fmt.Sprintf("%s in %s", r.id, r.place.at)
		case err != nil:
			return err
		}
		if !c.engine.catalog.has(r.place.at.segment) {
			found.missing++
		}
		r.each(parts, func(segment uint32, octets int64) {
			t := found.live[segment]
			found.live[segment] = tally{t.octets + octets, t.blobs + 1}
		})
		return nil
	})
	found.stale = stale
	return found, err
}

// isLost tells whether what a blob consists of will never be known, whatever the disk does.
func isLost(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound) }

// residentsOf returns the blobs of which something is in one of the victims. It takes out of victims what may hold parts of
// a blob whose index has become unreadable.
func (c *collector) residentsOf(ctx context.Context, s snapshot, victims map[uint32]bool) ([]residence, error) {
	var found []residence
	_, err := c.eachResidence(ctx, s, func(r residence, parts []part, err error) error {
		switch {
		case isLost(err):
			return nil
		case isDamage(err):
			maps.DeleteFunc(victims, func(n uint32, _ bool) bool { return n <= r.place.at.segment })
			return nil
		case err != nil:
			return err
		}
		concerned := false
		r.each(parts, func(segment uint32, _ int64) { concerned = concerned || victims[segment] })
		if concerned {
			found = append(found, r)
		}
		return nil
	})
	return found, err
}

// indexCost is what reading an index counts, in octets.
const indexCost = 4 << 10

// eachResidence calls f with every blob that a snapshot links, the parts of a large one, and the error of finding them. It
// returns the blobs whose moved rows are of no use any more.
func (c *collector) eachResidence(ctx context.Context, s snapshot, f func(residence, []part, error) error) (stale []BlobID, err error) {
	w, err := c.engine.residences(s)
	if err != nil {
		return nil, err
	}
	defer w.close()
	for n := 0; ; n++ {
		r, ok, err := w.next()
		if err != nil || !ok {
			return w.stale, err
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var parts []part
		if r.id.isIndex() {
			if err := c.pace.wait(ctx, indexCost); err != nil {
				return nil, err
			}
			parts, err = c.engine.readIndex(r.id, r.place)
		}
		if err := f(r, parts, err); err != nil {
			return nil, err
		}
	}
}
