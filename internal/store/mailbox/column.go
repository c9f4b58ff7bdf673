package mailbox

import "slices"

// column is a list of numbers, one a message. Most fit into 32 bits, and then take 4 octets each; the
// first that does not makes all take 8.
type column[T ~uint64] struct {
	low  []uint32
	high []uint32 // nil: all are 0
}

func makeColumn[T ~uint64](n int) column[T] { return column[T]{low: make([]uint32, 0, n)} }

func (c *column[T]) at(i int) T {
	v := uint64(c.low[i])
	if c.high != nil {
		v |= uint64(c.high[i]) << 32
	}
	return T(v)
}

func (c *column[T]) append(v T) {
	c.low = append(c.low, 0)
	if c.high != nil {
		c.high = append(c.high, 0)
	}
	c.set(len(c.low)-1, v)
}

func (c *column[T]) set(i int, v T) {
	high := uint32(uint64(v) >> 32)
	if high != 0 && c.high == nil {
		c.high = make([]uint32, len(c.low), cap(c.low))
	}
	c.low[i] = uint32(v)
	if c.high != nil {
		c.high[i] = high
	}
}

// copyWithin moves the numbers from first up to, not including, end to the place to, which lies before them.
func (c *column[T]) copyWithin(to, first, end int) {
	copy(c.low[to:], c.low[first:end])
	if c.high != nil {
		copy(c.high[to:], c.high[first:end])
	}
}

// truncate keeps the first n numbers, and gives memory back when that is little of what there was.
func (c *column[T]) truncate(n int) {
	c.low = shrunk(c.low[:n])
	if c.high != nil {
		c.high = shrunk(c.high[:n])
	}
}

// shrunk returns s in an array of its own when it uses less than a quarter of the one it has.
func shrunk[E any](s []E) []E {
	if cap(s) > 1024 && len(s) < cap(s)/4 {
		return slices.Clone(s)
	}
	return s
}
