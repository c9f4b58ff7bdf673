package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// place is where a blob's record is.
type place struct {
	at    position
	moved bool
	sum   uint32 // checksum of the record's body, if moved
}

// A moved row has the segment, the offset and the checksum of the body, little-endian, 4 octets each.
const movedSize = 12

func movedKey(id BlobID) []byte {
	return append(movedPrefix[:len(movedPrefix):len(movedPrefix)], id[:]...)
}

func (p place) marshal() []byte {
	b := make([]byte, 0, movedSize)
	b = binary.LittleEndian.AppendUint32(b, p.at.segment)
	b = binary.LittleEndian.AppendUint32(b, p.at.offset)
	return binary.LittleEndian.AppendUint32(b, p.sum)
}

func parsePlace(b []byte) (place, error) {
	if len(b) != movedSize {
		return place{}, fmt.Errorf("%w: place of %d octets", ErrCorrupt, len(b))
	}
	return place{
		at:    position{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])},
		sum:   binary.LittleEndian.Uint32(b[8:]),
		moved: true,
	}, nil
}

// errGone is what open returns when a segment of the blob is no longer there.
var errGone = fmt.Errorf("%w: its segment is gone", ErrNotFound)

// maxMoves is how often a blob is looked for where it went: it moves once in hours.
const maxMoves = 4

// locate calls open with the place that id names and, while a segment of the blob turns out to be gone, with the place
// to which the collector has moved it.
func (e *Engine) locate(id BlobID, open func(place) error) error {
	p := place{at: id.position()}
	err := open(p)
	for range maxMoves {
		if !errors.Is(err, errGone) {
			return err
		}
		next, movedErr := e.movedTo(id)
		if movedErr != nil && !errors.Is(movedErr, ErrNotFound) {
			return movedErr
		}
		if movedErr != nil || next == p {
			return err
		}
		p = next
		err = open(p)
	}
	return err
}

// movedTo returns where the collector has moved a blob. Errors: ErrNotFound.
func (e *Engine) movedTo(id BlobID) (place, error) {
	value, closer, err := e.db.Get(movedKey(id))
	if err != nil {
		return place{}, readError(err)
	}
	defer closer.Close()
	return parsePlace(value)
}

// check tells whether h is the header of the record of blob id at this place.
func (p place) check(h header, id BlobID) bool {
	if (h.kind == kindIndex) != id.isIndex() || h.kind == kindChunk {
		return false
	}
	if h.kind == kindBlob && int64(h.length) != id.size() {
		return false
	}
	if p.moved {
		return h.bodySum == p.sum
	}
	return checkBits(h) == id.check()
}
