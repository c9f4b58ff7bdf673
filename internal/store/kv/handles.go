package kv

import (
	"container/list"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// maxHandles is how many segments are kept open for reading.
const maxHandles = 256

// handles opens segments for reading and keeps those that were used last.
type handles struct {
	fs      vfs.FS
	dir     string
	catalog *catalog
	max     int

	mu    sync.Mutex
	files map[uint32]*handle
	used  list.List // of *handle; the last used in front
}

// handle is an open segment. It is closed when nobody uses it and it is no longer kept.
type handle struct {
	vfs.File
	owner   *handles
	number  uint32
	users   int
	element *list.Element // nil: no longer kept
}

func newHandles(fs vfs.FS, dir string, c *catalog) *handles {
	return &handles{fs: fs, dir: dir, catalog: c, max: maxHandles, files: map[uint32]*handle{}}
}

// open returns a handle that the caller must release. Errors: errGone.
func (hs *handles) open(number uint32) (*handle, error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h, ok := hs.files[number]
	if !ok {
		var err error
		if h, err = hs.add(number); err != nil {
			return nil, err
		}
	}
	h.users++
	hs.used.MoveToFront(h.element)
	return h, nil
}

func (hs *handles) add(number uint32) (*handle, error) {
	if !hs.catalog.has(number) {
		return nil, errGone
	}
	file, err := hs.fs.Open(hs.fs.PathJoin(hs.dir, segmentName(number)), vfs.RandomReadsOption)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errGone
	} else if err != nil {
		return nil, fmt.Errorf("opening %s: %w", segmentName(number), err)
	}
	h := &handle{File: file, owner: hs, number: number}
	h.element = hs.used.PushFront(h)
	hs.files[number] = h
	for hs.used.Len() > hs.max {
		hs.drop(hs.used.Back().Value.(*handle))
	}
	return h, nil
}

// forget keeps a segment no longer that is no longer in the catalog.
func (hs *handles) forget(number uint32) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if h, ok := hs.files[number]; ok {
		hs.drop(h)
	}
}

// drop keeps h no longer.
func (hs *handles) drop(h *handle) {
	hs.used.Remove(h.element)
	delete(hs.files, h.number)
	h.element = nil
	h.closeUnused()
}

func (h *handle) release() {
	h.owner.mu.Lock()
	defer h.owner.mu.Unlock()
	h.users--
	h.closeUnused()
}

// closeUnused closes a file that was only read, so that there is nothing to lose.
func (h *handle) closeUnused() {
	if h.users == 0 && h.element == nil {
		_ = h.File.Close()
	}
}

func (hs *handles) close() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for hs.used.Len() > 0 {
		hs.drop(hs.used.Back().Value.(*handle))
	}
}
