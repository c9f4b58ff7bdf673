package mailbox

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A column is a list of numbers, whatever their size.
func TestColumn(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		c := makeColumn[ModSeq](4)
		var want []ModSeq
		for step := range 200 {
			v := ModSeq(r.Uint32())
			if step > 100 && r.IntN(10) == 0 {
				v |= ModSeq(r.Uint64())
			}
			switch n := len(want); {
			case n < 4 || r.IntN(2) == 0:
				c.append(v)
				want = append(want, v)
			case r.IntN(2) == 0:
				i := r.IntN(n)
				c.set(i, v)
				want[i] = v
			default:
				first := 1 + r.IntN(n-1)
				to, end := r.IntN(first), first+r.IntN(n-first+1)
				c.copyWithin(to, first, end)
				copy(want[to:], want[first:end])
				keep := to + end - first
				c.truncate(keep)
				want = want[:keep]
			}
		}
		var got []ModSeq
		for i := range c.low {
			got = append(got, c.at(i))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
	}
}
