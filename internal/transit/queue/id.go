package queue

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"sync"
	"time"
)

// ID names a queue item; its text goes into Received fields, replies and logs. IDs sort by age.
type ID string

var idText = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// ids makes IDs: 48 bits of milliseconds, then 32 bits that begin at random in each millisecond and
// count on within it, so that items of one millisecond keep their order and two runs of the program
// do not meet.
type ids struct {
	mu    sync.Mutex
	milli uint64
	low   uint32
}

func (s *ids) next(now time.Time) ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ms := uint64(now.UnixMilli()); ms > s.milli {
		s.milli = ms
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails
		s.low = binary.BigEndian.Uint32(b[:]) >> 1
	} else {
		s.low++
	}
	var b [10]byte
	binary.BigEndian.PutUint32(b[:], uint32(s.milli>>16))
	binary.BigEndian.PutUint16(b[4:], uint16(s.milli))
	binary.BigEndian.PutUint32(b[6:], s.low)
	return ID(idText.EncodeToString(b[:]))
}

// leastID is the least ID of a time.
func leastID(at time.Time) ID {
	var b [10]byte
	ms := uint64(max(at.UnixMilli(), 0))
	binary.BigEndian.PutUint32(b[:], uint32(ms>>16))
	binary.BigEndian.PutUint16(b[4:], uint16(ms))
	return ID(idText.EncodeToString(b[:]))
}
