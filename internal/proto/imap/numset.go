package imap

import (
	"slices"
	"strconv"
)

// NumRange is a range of message sequence numbers or UIDs, both ends included and in any order.
// Zero stands for "*", the largest number in use.
type NumRange struct{ First, Last uint32 }

// NumSet is a sequence-set of RFC 9051, section 9: ranges, or "$", the saved result of RFC 5182.
type NumSet struct {
	Saved  bool
	Ranges []NumRange
}

func (l *lexer) numSet() NumSet {
	if l.accept('$') {
		return NumSet{Saved: true}
	}
	var s NumSet
	for l.err == nil {
		r := NumRange{First: l.seqNumber()}
		r.Last = r.First
		if l.accept(':') {
			r.Last = l.seqNumber()
		}
		s.Ranges = append(s.Ranges, r)
		if !l.accept(',') {
			break
		}
	}
	return s
}

func (l *lexer) seqNumber() uint32 {
	if l.accept('*') {
		return 0
	}
	return l.nzNumber()
}

// open reports whether the set has "*".
func (s NumSet) open() bool {
	return slices.ContainsFunc(s.Ranges, func(r NumRange) bool { return r.First == 0 || r.Last == 0 })
}

// rising reports whether the numbers of a set without "*" rise from each to the next.
func (s NumSet) rising() bool {
	last := uint32(0)
	for _, r := range s.Ranges {
		if r.First <= last || r.Last < r.First {
			return false
		}
		last = r.Last
	}
	return true
}

// count returns how many numbers a rising set has.
func (s NumSet) count() (n uint64) {
	for _, r := range s.Ranges {
		n += uint64(r.Last-r.First) + 1
	}
	return n
}

// String writes the set as it is on the wire.
func (s NumSet) String() string { return string(s.Append(nil)) }

// Append appends the set as it is on the wire.
func (s NumSet) Append(dst []byte) []byte {
	if s.Saved {
		return append(dst, '$')
	}
	for i, r := range s.Ranges {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendSeqNumber(dst, r.First)
		if r.Last != r.First {
			dst = appendSeqNumber(append(dst, ':'), r.Last)
		}
	}
	return dst
}

func appendSeqNumber(dst []byte, n uint32) []byte {
	if n == 0 {
		return append(dst, '*')
	}
	return strconv.AppendUint(dst, uint64(n), 10)
}

// AppendNumbers appends rising numbers as a sequence-set of the shortest ranges.
func AppendNumbers[N ~uint32](dst []byte, numbers []N) []byte {
	for i := 0; i < len(numbers); {
		j := i + 1
		for j < len(numbers) && numbers[j] == numbers[j-1]+1 {
			j++
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(numbers[i]), 10)
		if j > i+1 {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, uint64(numbers[j-1]), 10)
		}
		i = j
	}
	return dst
}
