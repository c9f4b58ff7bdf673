package kv

import (
	"bytes"
	"errors"
	"iter"

	"github.com/cockroachdb/pebble/v2"
)

// keysEnd is greater than every key.
var keysEnd = []byte{0xff}

// snapshot is a Reader of the state at one moment.
type snapshot struct {
	pebble *pebble.Snapshot
}

// Get implements Reader.
func (s snapshot) Get(key []byte) ([]byte, error) {
	value, closer, err := s.pebble.Get(key)
	if err != nil {
		return nil, readError(err)
	}
	defer closer.Close()
	return bytes.Clone(nonNil(value)), nil
}

// Scan implements Reader.
func (s snapshot) Scan(from, to []byte) iter.Seq2[Pair, error] {
	return s.scan(from, to, rising)
}

// ScanBack implements Reader.
func (s snapshot) ScanBack(from, to []byte) iter.Seq2[Pair, error] {
	return s.scan(from, to, falling)
}

func (s snapshot) scan(from, to []byte, way direction) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		c, err := s.cursor(from, to, way)
		if err != nil {
			yield(Pair{}, err)
			return
		}
		defer c.close()
		for c.next() {
			if !yield(c.pair(), nil) {
				return
			}
		}
		if err := c.err(); err != nil {
			yield(Pair{}, err)
		}
	}
}

// direction is the order of a scan.
type direction int

const (
	rising  direction = 1
	falling direction = -1
)

// cursor steps over a range of a snapshot.
type cursor struct {
	it      *pebble.Iterator
	way     direction
	started bool
}

func (s snapshot) cursor(from, to []byte, way direction) (*cursor, error) {
	return newCursor(s.pebble, from, to, way)
}

func newCursor(r pebble.Reader, from, to []byte, way direction) (*cursor, error) {
	if to == nil {
		to = keysEnd
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, readError(err)
	}
	return &cursor{it: it, way: way}, nil
}

func (c *cursor) next() bool {
	first := !c.started
	c.started = true
	switch {
	case first && c.way == rising:
		return c.it.First()
	case first:
		return c.it.Last()
	case c.way == rising:
		return c.it.Next()
	default:
		return c.it.Prev()
	}
}

func (c *cursor) pair() Pair { return Pair{Key: c.it.Key(), Value: c.it.Value()} }

func (c *cursor) err() error { return readError(c.it.Error()) }

// close may follow an error that err has told already.
func (c *cursor) close() { _ = c.it.Close() }

// readError turns Pebble's errors into those of the contract.
func readError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pebble.ErrNotFound):
		return ErrNotFound
	case pebble.IsCorruptionError(err):
		return errors.Join(ErrCorrupt, err)
	default:
		return err
	}
}

// nonNil keeps an empty value apart from none when it is cloned.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
