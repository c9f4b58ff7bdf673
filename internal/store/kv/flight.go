package kv

import (
	"container/list"
	"sync"
	"time"
)

const (
	// maxFlight is how long a finished blob waits for its first link before it is garbage.
	maxFlight = time.Hour
	// maxFlights bounds how many of them are remembered; the oldest give way.
	maxFlights = 100_000
)

// flights are the blobs that were finished since Open and that nothing links yet. What they consist of is not
// collected. A blob that is too long under way becomes garbage, and a transaction that links it then fails.
type flights struct {
	catalog *catalog
	max     int

	mu    sync.Mutex
	blobs map[BlobID]*list.Element
	order list.List // of flight; the oldest in front
}

// flight is one of them.
type flight struct {
	id       BlobID
	finished time.Time
	cargo    cargo
}

// cargo counts records by their segment.
type cargo []struct {
	segment uint32
	records int
}

// add counts one record.
func (c *cargo) add(segment uint32) {
	for i := range *c {
		if (*c)[i].segment == segment {
			(*c)[i].records++
			return
		}
	}
	*c = append(*c, struct {
		segment uint32
		records int
	}{segment, 1})
}

// land tells the catalog that they are under way no longer.
func (c cargo) land(catalog *catalog) {
	for _, s := range c {
		catalog.land(s.segment, s.records)
	}
}

func newFlights(c *catalog) *flights {
	return &flights{catalog: c, max: maxFlights, blobs: map[BlobID]*list.Element{}}
}

// begin notes a finished blob, whose records are departed.
func (f *flights) begin(id BlobID, c cargo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blobs[id] = f.order.PushBack(flight{id, time.Now(), c})
	if len(f.blobs) > f.max {
		f.end(f.order.Front())
	}
}

// has tells whether a blob may be linked for the first time.
func (f *flights) has(id BlobID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.blobs[id]
	return ok
}

// linked ends the flights of blobs.
func (f *flights) linked(ids []BlobID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		if e, ok := f.blobs[id]; ok {
			f.end(e)
		}
	}
}

// expire ends the flights of blobs that were finished before, and returns the size of those blobs in octets.
func (f *flights) expire(before time.Time) (octets int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := f.order.Front(); e != nil && e.Value.(flight).finished.Before(before); e = f.order.Front() {
		octets += e.Value.(flight).id.size()
		f.end(e)
	}
	return octets
}

// end ends a flight. flights.mu is held.
func (f *flights) end(e *list.Element) {
	done := f.order.Remove(e).(flight)
	delete(f.blobs, done.id)
	done.cargo.land(f.catalog)
}

func (f *flights) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.blobs)
}
