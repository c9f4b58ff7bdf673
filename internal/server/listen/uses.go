package listen

import (
	"encoding/json"
	"net/netip"
	"sync"
	"time"

	"candor/internal/mail"
)

// useDays is how long the uses of an exception count.
const useDays = 30

// Uses counts, by their ids, how often exceptions were relied on in the last 30 days. Its zero value is ready, and its
// methods may be called concurrently.
type Uses struct {
	mu      sync.Mutex
	byID    map[string]*useRecord
	changed bool // since Save
}

// useRecord has the uses of each day; days are counted from 1970.
type useRecord struct {
	Days map[int64]int64 `json:"days"`
	Last netip.Addr      `json:"last"`
}

// Note counts a use.
func (u *Uses) Note(id string, by netip.Addr, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byID == nil {
		u.byID = map[string]*useRecord{}
	}
	r := u.byID[id]
	if r == nil || r.Days == nil {
		r = &useRecord{Days: map[int64]int64{}}
		u.byID[id] = r
	}
	today := dayOf(now)
	r.Days[today]++
	r.Last = by
	u.changed = true
	for d := range r.Days {
		if d <= today-useDays {
			delete(r.Days, d)
		}
	}
}

// Save returns what Restore takes, as JSON; nil when nothing has changed since it was saved.
func (u *Uses) Save(now time.Time) []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.changed {
		return nil
	}
	u.changed = false
	for id, r := range u.byID {
		if r == nil || r.sum(now) == 0 {
			delete(u.byID, id)
		}
	}
	text, err := json.Marshal(u.byID)
	if err != nil {
		panic(err) // numbers and addresses have a form
	}
	return text
}

// Restore takes what was saved, before anything is counted.
func (u *Uses) Restore(saved []byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return json.Unmarshal(saved, &u.byID)
}

// sum is the number of uses in the last 30 days.
func (r *useRecord) sum(now time.Time) (n int64) {
	for d, times := range r.Days {
		if d > dayOf(now)-useDays {
			n += times
		}
	}
	return n
}

// Of returns the uses of an exception.
func (u *Uses) Of(id string, now time.Time) mail.Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := u.byID[id]
	if r == nil {
		return mail.Use{}
	}
	if n := r.sum(now); n > 0 {
		return mail.Use{Times: n, Last: r.Last}
	}
	return mail.Use{}
}

func dayOf(t time.Time) int64 { return t.Unix() / 86400 }
