package directory

import (
	"container/list"
	"math"
	"net/netip"
	"slices"
	"time"
)

const (
	// halfLife is how long a count of wrong logins takes to be worth half (specification, section 3.7).
	halfLife = 30 * time.Minute
	// maxGuesses and maxPairGuesses bound the wrong logins that an address, or a network and a name, are known by again.
	maxGuesses, maxPairGuesses = 24, 8
)

// origin is what wrong logins are counted by. Either part may be zero, and then stands for all.
type origin struct {
	network netip.Prefix
	name    uint64 // a keyed hash of whom the login named
}

// tally is a count of wrong logins that fades.
type tally struct {
	origin  origin
	count   float64 // at the time of last
	last    time.Time
	guesses []guess // the latest, which count no more when they come again

	// Of an address:
	until   time.Time // when logins are no longer refused
	refused uint64    // connections since they are
}

// guess is a wrong login by what tells it from others: keyed hashes, which are nowhere but in memory.
type guess struct {
	name, secret uint64
	proof        bool // it was the proof of a challenge-response mechanism: no two are alike, whatever the password was
}

// now is the count as it has faded.
func (t *tally) now(now time.Time) float64 {
	return t.count * math.Exp2(-float64(now.Sub(t.last))/float64(halfLife))
}

// whole is the count as a number of tries.
func (t *tally) whole(now time.Time) int { return int(t.now(now) + 0.5) }

// fades is when the count will be less than a number of tries.
func (t *tally) fades(below int) time.Time {
	return t.last.Add(time.Duration(float64(halfLife) * math.Log2(t.count/(float64(below)-0.5))))
}

func (t *tally) add(now time.Time, n float64) {
	t.count, t.last = t.now(now)+n, now
}

// proofWorth is what a failed proof counts when another one for the same name has failed before: it may be the same wrong
// password, or another.
const proofWorth = 0.25

// weigh returns what a guess counts: nothing if it is among the latest, of which so many are known at most.
func (t *tally) weigh(g guess, most int) float64 {
	switch known := slices.Contains(t.guesses, g); {
	case known && g.proof:
		return proofWorth
	case known:
		return 0
	}
	if len(t.guesses) >= most {
		t.guesses = slices.Delete(t.guesses, 0, 1)
	}
	t.guesses = append(t.guesses, g)
	return 1
}

// tallies are as many as most at a time. Who was not touched for the longest time is forgotten first.
type tallies struct {
	most  int
	known map[origin]*list.Element
	order *list.List // of *tally, the longest untouched first
}

func newTallies(most int) *tallies {
	return &tallies{most: most, known: map[origin]*list.Element{}, order: list.New()}
}

// find returns the tally of an origin, or nil.
func (t *tallies) find(o origin) *tally {
	e := t.known[o]
	if e == nil {
		return nil
	}
	return e.Value.(*tally)
}

// touch returns the tally of an origin, which may be new.
func (t *tallies) touch(o origin) *tally {
	if e := t.known[o]; e != nil {
		t.order.MoveToBack(e)
		return e.Value.(*tally)
	}
	fresh := &tally{origin: o}
	t.known[o] = t.order.PushBack(fresh)
	t.shrink()
	return fresh
}

func (t *tallies) shrink() {
	for t.order.Len() > t.most {
		t.drop(t.order.Front())
	}
}

func (t *tallies) drop(e *list.Element) {
	delete(t.known, t.order.Remove(e).(*tally).origin)
}

// remove forgets the tallies that f names, and returns how many they were.
func (t *tallies) remove(f func(origin) bool) (n int) {
	for o, e := range t.known {
		if f(o) {
			t.drop(e)
			n++
		}
	}
	return n
}
