package kv

import (
	"slices"
	"sync"
)

// catalog knows every segment that there is, and who needs it.
type catalog struct {
	mu       sync.Mutex
	segments map[uint32]*entry
}

// entry is a segment in the catalog.
type entry struct {
	end     int64 // of the last record; 0 while the segment is being written
	flights int   // records of blobs that were written since Open and that nothing links yet
	readers int   // large blobs that are open
	spoiled bool  // something in it cannot be read
}

func newCatalog() *catalog { return &catalog{segments: map[uint32]*entry{}} }

// add notes a segment. One that is being written has no end.
func (c *catalog) add(number uint32, end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.segments[number] = &entry{end: end}
}

// seal notes that a segment is written to no more.
func (c *catalog) seal(number uint32, end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.segments[number].end = end
}

// spoil notes that something in a segment cannot be read.
func (c *catalog) spoil(number uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.segments[number]; s != nil {
		s.spoiled = true
	}
}

// has tells whether there is a segment.
func (c *catalog) has(number uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.segments[number] != nil
}

// depart notes a record that nothing links yet.
func (c *catalog) depart(number uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.segments[number].flights++
}

// land takes back what depart noted, n times.
func (c *catalog) land(number uint32, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.segments[number].flights -= n
}

// read keeps segments from being removed until unread. It returns false when one is no longer there.
func (c *catalog) read(numbers []uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range numbers {
		if c.segments[n] == nil {
			return false
		}
	}
	for _, n := range numbers {
		c.segments[n].readers++
	}
	return true
}

func (c *catalog) unread(numbers []uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range numbers {
		c.segments[n].readers--
	}
}

// settled returns the segments that may be collected, with their ends: those that are written to no more and that
// hold nothing that a transaction could still link for the first time. The one with the highest number is none
// of them, for its number must not be used again after a restart.
func (c *catalog) settled() map[uint32]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, highest := map[uint32]int64{}, uint32(0)
	for n, s := range c.segments {
		highest = max(highest, n)
		if s.end > 0 && s.flights == 0 && !s.spoiled {
			found[n] = s.end
		}
	}
	delete(found, highest)
	return found
}

// newest returns the segment with the highest number, if there is one, and its end: 0 while it is being written.
func (c *catalog) newest() (number uint32, end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, s := range c.segments {
		if n > number {
			number, end = n, s.end
		}
	}
	return number, end
}

// remove forgets a segment and returns its end, unless somebody needs it or it is not there.
func (c *catalog) remove(number uint32) (end int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.segments[number]
	if s == nil || s.readers > 0 || s.flights > 0 || s.spoiled {
		return 0, false
	}
	delete(c.segments, number)
	return s.end, true
}

// count returns how many segments there are.
func (c *catalog) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.segments)
}

// homes returns the segments of a blob's record and of its parts, each once.
func homes(at position, parts []part) []uint32 {
	numbers := make([]uint32, 0, 1+len(parts))
	numbers = append(numbers, at.segment)
	for _, p := range parts {
		numbers = append(numbers, p.at.segment)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}
