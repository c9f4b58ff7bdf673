package kv

import (
	"encoding/binary"
	"fmt"
)

func abandonedKey(number uint32) []byte {
	return binary.BigEndian.AppendUint32(abandonedPrefix[:len(abandonedPrefix):len(abandonedPrefix)], number)
}

func abandonedNumber(key []byte) (number uint32, ok bool) {
	if len(key) != len(abandonedPrefix)+4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(key[len(abandonedPrefix):]), true
}

func offsetValue(offset int64) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(offset)) }

func parseOffset(value []byte) (int64, error) {
	if len(value) != 4 {
		return 0, fmt.Errorf("%w: offset of %d octets", ErrCorrupt, len(value))
	}
	return int64(binary.LittleEndian.Uint32(value)), nil
}
