package kv

import (
	"encoding/binary"
	"encoding/hex"
)

// A BlobID holds, big-endian so that names sort by place: the segment (4 octets), the offset of the
// record (4), the size of the blob (6) and 15 bits of the record's checksum, so that a name that was
// made up, or is of another store, is noticed. The last bit is set when the record is an index.
const (
	maxBlob   = 1<<48 - 1
	indexFlag = 1
)

func newBlobID(at position, size int64, h header) BlobID {
	var id BlobID
	binary.BigEndian.PutUint32(id[0:], at.segment)
	binary.BigEndian.PutUint64(id[6:], uint64(size))
	binary.BigEndian.PutUint32(id[4:], at.offset)
	binary.BigEndian.PutUint16(id[14:], checkBits(h))
	return id
}

func checkBits(h header) uint16 {
	bits := uint16(h.bodySum) &^ indexFlag
	if h.kind == kindIndex {
		bits |= indexFlag
	}
	return bits
}

func (id BlobID) position() position {
	return position{binary.BigEndian.Uint32(id[0:]), binary.BigEndian.Uint32(id[4:])}
}

func (id BlobID) size() int64 {
	var b [8]byte
	copy(b[2:], id[8:14])
	return int64(binary.BigEndian.Uint64(b[:]))
}

func (id BlobID) check() uint16 { return binary.BigEndian.Uint16(id[14:]) }

func (id BlobID) isIndex() bool { return id.check()&indexFlag != 0 }

// IsZero tells whether id names no blob.
func (id BlobID) IsZero() bool { return id == BlobID{} }

// String returns the name in hexadecimal, for logs.
func (id BlobID) String() string { return hex.EncodeToString(id[:]) }
