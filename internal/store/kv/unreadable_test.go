package kv

import (
	"bytes"
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// badSectorFS is a disk of which one place of one segment cannot be read.
type badSectorFS struct {
	vfs.FS
	bad atomic.Pointer[position] // nil: all is well
}

func (f *badSectorFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.Open(name, o...)
	return &badSectorFile{file, f, f.PathBase(name)}, err
}

type badSectorFile struct {
	vfs.File
	fs   *badSectorFS
	name string
}

func (f *badSectorFile) ReadAt(p []byte, off int64) (int, error) {
	bad := f.fs.bad.Load()
	if bad != nil && f.name == segmentName(bad.segment) && off <= int64(bad.offset) && int64(bad.offset) < off+int64(len(p)) {
		return 0, syscall.EIO
	}
	return f.File.ReadAt(p, off)
}

// TestUnreadableIndex: a large blob whose index the disk does not give is stepped over: garbage that cannot be part of it
// goes, and none of its parts, which are there again when the disk is well again.
func TestUnreadableIndex(t *testing.T) {
	fs := &badSectorFS{FS: vfs.NewMem()}
	e, err := open(t.Context(), Options{Dir: "store", Log: testLog(t)}, settings{fs: fs, segmentSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, e)
	e.collector.grace = 0
	garbage := func() {
		for range 8 {
			mustStore(t, e, make([]byte, maxChunk))
		}
	}
	body := bytes.Repeat([]byte("part of it "), 30_000)
	garbage()
	id := mustStore(t, e, body)
	update(t, e, func(tx Tx) { tx.Link(id, []byte("x")) })
	garbage()
	e.flights.expire(time.Now().Add(time.Second))
	before := segmentsOf(t, e)
	at := id.position()
	fs.bad.Store(&at)
	for range 2 {
		if _, err := e.collector.collect(t.Context()); err != nil {
			t.Fatalf("collecting: %v", err)
		}
		if n := e.Stats().Unreadable; n != 1 {
			t.Errorf("%d blobs count as unreadable, want 1", n)
		}
	}
	left := segmentsOf(t, e)
	for _, n := range before {
		if n <= at.segment && !slices.Contains(left, n) {
			t.Errorf("segment %d was removed, which may hold a part of the blob, whose index is in %d", n, at.segment)
		}
	}
	if len(left) >= len(before) {
		t.Errorf("of segments %d none was removed", before)
	}
	if _, err := e.OpenBlob(t.Context(), id); !errors.Is(err, syscall.EIO) {
		t.Errorf("the blob: %v, want EIO", err)
	}
	fs.bad.Store(nil)
	mustCollect(t, e)
	wantBody(t, e, id, body)
	if now := segmentsOf(t, e); len(now) >= len(left) {
		t.Errorf("segments %d are left of %d, though the disk is well again", now, left)
	}
}
