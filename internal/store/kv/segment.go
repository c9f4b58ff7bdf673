package kv

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A segment is a file of records, written once from front to back. It begins with a head; a record
// is a header, a body and, in a later format, the redo record of a transaction, padded to eight
// octets. Numbers are little-endian. What has not been written is zero.
//
//	head     0  magic, 8 octets        32  seal mark, 8 octets
//	         8  version                40  end of the last record
//	        12  number of the segment  44  octets damaged
//	        16  salt, 8 octets         56  checksum of 32 to 56
//	        24  checksum of 0 to 24
//
//	record   0  checksum of what follows, the salt, the segment's number and the offset
//	         4  checksum of the body
//	         8  length of the body
//	        12  length of the redo record; 0
//	        16  how far the segment was durable when this was written
//	        20  kind, then 11 octets of zero
//
// The salt is secret, so that no body can contain what looks like a record. The number of a segment
// is never used again, so that a blob's name means one blob for ever.
const (
	headSize      = 64
	headerSize    = 32
	alignment     = 8
	formatVersion = 1
	maxBody       = 128 << 20
)

const (
	magic    = "CandorSg"
	sealMark = "sealed.\n"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// recordKind is what the body of a record is.
type recordKind byte

const (
	kindBlob  recordKind = 1 // a whole blob
	kindChunk recordKind = 2 // a part of a blob
	kindIndex recordKind = 3 // the places of a blob's parts
)

// position is a place in a segment.
type position struct {
	segment uint32
	offset  uint32
}

// pack makes one number of p, and unpack takes it apart.
func (p position) pack() uint64 { return uint64(p.segment)<<32 | uint64(p.offset) }

func unpack(n uint64) position { return position{uint32(n >> 32), uint32(n)} }

func (p position) String() string { return fmt.Sprintf("%s at %d", segmentName(p.segment), p.offset) }

// header describes a record.
type header struct {
	bodySum uint32
	length  uint32
	redo    uint32
	durable uint32
	kind    recordKind
}

// size is what the record takes up in the segment.
func (h header) size() int64 {
	return align(headerSize + int64(h.length) + int64(h.redo))
}

func align(n int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }

// put writes the header at the front of b.
func (h header) put(b []byte, salt uint64, at position) {
	clear(b[:headerSize])
	binary.LittleEndian.PutUint32(b[4:], h.bodySum)
	binary.LittleEndian.PutUint32(b[8:], h.length)
	binary.LittleEndian.PutUint32(b[12:], h.redo)
	binary.LittleEndian.PutUint32(b[16:], h.durable)
	b[20] = byte(h.kind)
	binary.LittleEndian.PutUint32(b, headerSum(b, salt, at))
}

// parseHeader returns false for what is not a header that was written there.
func parseHeader(b []byte, salt uint64, at position) (header, bool) {
	if len(b) < headerSize || binary.LittleEndian.Uint32(b) != headerSum(b, salt, at) {
		return header{}, false
	}
	h := header{
		bodySum: binary.LittleEndian.Uint32(b[4:]),
		length:  binary.LittleEndian.Uint32(b[8:]),
		redo:    binary.LittleEndian.Uint32(b[12:]),
		durable: binary.LittleEndian.Uint32(b[16:]),
		kind:    recordKind(b[20]),
	}
	return h, h.length <= maxBody && h.redo <= maxBody
}

func headerSum(b []byte, salt uint64, at position) uint32 {
	var where [16]byte
	binary.LittleEndian.PutUint64(where[:], salt)
	binary.LittleEndian.PutUint32(where[8:], at.segment)
	binary.LittleEndian.PutUint32(where[12:], at.offset)
	return crc32.Update(checksum(where[:]), castagnoli, b[4:headerSize])
}

// head is the beginning of a segment.
type head struct {
	number uint32
	salt   uint64
	seal   *seal // nil: the segment was not closed in order
}

// seal is what is known of a segment that is written to no more.
type seal struct {
	end     uint32
	damaged uint32 // octets
}

func (h head) marshal() []byte {
	b := make([]byte, headSize)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	binary.LittleEndian.PutUint32(b[12:], h.number)
	binary.LittleEndian.PutUint64(b[16:], h.salt)
	binary.LittleEndian.PutUint32(b[24:], checksum(b[:24]))
	if h.seal != nil {
		copy(b[32:], sealMark)
		binary.LittleEndian.PutUint32(b[40:], h.seal.end)
		binary.LittleEndian.PutUint32(b[44:], h.seal.damaged)
		binary.LittleEndian.PutUint32(b[56:], checksum(b[32:56]))
	}
	return b
}

// parseHead returns a head without a salt when it is damaged. Errors: an explanation for a newer format.
func parseHead(b []byte, number uint32) (h head, ok bool, err error) {
	h.number = number
	if len(b) < headSize || string(b[:8]) != magic || checksum(b[:24]) != binary.LittleEndian.Uint32(b[24:]) ||
		binary.LittleEndian.Uint32(b[12:]) != number {
		return h, false, nil
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > formatVersion {
		return h, false, fmt.Errorf("%s has format %d, this candor knows up to %d: run the newer one", segmentName(number), v, formatVersion)
	}
	h.salt = binary.LittleEndian.Uint64(b[16:])
	if string(b[32:40]) == sealMark && checksum(b[32:56]) == binary.LittleEndian.Uint32(b[56:]) {
		h.seal = &seal{end: binary.LittleEndian.Uint32(b[40:]), damaged: binary.LittleEndian.Uint32(b[44:])}
	}
	return h, true, nil
}

const segmentSuffix = ".seg"

func segmentName(number uint32) string { return fmt.Sprintf("%08d%s", number, segmentSuffix) }

// listSegments returns the numbers of the segments in dir, in no order.
func listSegments(fs vfs.FS, dir string) ([]uint32, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint32
	for _, name := range names {
		digits, ok := strings.CutSuffix(fs.PathBase(name), segmentSuffix)
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(digits, 10, 32); err == nil && n > 0 {
			numbers = append(numbers, uint32(n))
		}
	}
	return numbers, nil
}
