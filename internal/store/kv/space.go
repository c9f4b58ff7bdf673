package kv

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"candor/internal/mail"
)

// Blobs are refused while some room is left, so that flags can still be set and messages expunged
// when the disk is full; and keys while there is still room for Pebble to put its house in order.
const (
	blobsReserve = 64 << 20
	keysReserve  = 32 << 20

	spaceInterval = 100 * time.Millisecond
	refusal       = time.Second
)

// space knows how much room the disk has.
type space struct {
	fs   vfs.FS
	dir  string
	free atomic.Uint64
	next atomic.Int64 // when to look again, in Unix nanoseconds
	full atomic.Int64 // until when to refuse whatever the disk says, in Unix nanoseconds
}

// check returns ErrFull when less than reserve is free.
func (s *space) check(reserve uint64) error {
	now := time.Now().UnixNano()
	if next := s.next.Load(); now >= next && s.next.CompareAndSwap(next, now+int64(spaceInterval)) {
		s.look()
	}
	if s.free.Load() < reserve || now < s.full.Load() {
		return errFull()
	}
	return nil
}

// refuse is called when a write met a full disk, so that not more is begun that cannot be ended.
func (s *space) refuse() { s.full.Store(time.Now().Add(refusal).UnixNano()) }

// look measures. A file system that cannot tell is taken to have room: a write will find out.
func (s *space) look() {
	usage, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		s.free.Store(1 << 62)
		return
	}
	s.free.Store(usage.AvailBytes)
}

func errFull() error {
	return mail.Wrap(mail.Unavailable, ErrFull, "no room on the disk").With(4, 3, 1)
}
