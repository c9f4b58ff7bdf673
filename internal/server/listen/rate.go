package listen

import "time"

// The least rate of content holds over each minute, the first time after 30 s (specification, section 2.10).
const (
	rateGrace  = 30 * time.Second
	rateWindow = 60 * time.Second
)

// rate watches that content keeps coming. The zero value demands nothing.
type rate struct {
	least  int64     // octets a second
	end    time.Time // of the window; zero: nothing is demanded
	octets int64     // in the window
	wanted int64     // by its end
}

// DemandRate demands from now on that content comes at Limits.ContentRate at least, averaged over a minute,
// after 30 s of grace. It holds for Read and Peek, which then return ErrTooSlow; EndRate ends it.
func (c *Conn) DemandRate() {
	c.rate = newRate(int64(c.door.limits.ContentRate), rateGrace)
}

func newRate(least int64, window time.Duration) rate {
	return rate{least: least, end: time.Now().Add(window), wanted: least * int64(window/time.Second)}
}

// EndRate ends what DemandRate began.
func (c *Conn) EndRate() { c.rate = rate{} }

func (r *rate) count(n int) { r.octets += int64(n) }

// check fails at the end of a window in which too little came, and begins the next.
func (r *rate) check(now time.Time) error {
	if r.end.IsZero() || now.Before(r.end) {
		return nil
	}
	if r.octets < r.wanted {
		return ErrTooSlow
	}
	*r = newRate(r.least, rateWindow)
	return nil
}

// cap lets a wait end with the window when too little has come so far.
func (r *rate) cap(end time.Time) time.Time {
	if !r.end.IsZero() && r.octets < r.wanted && r.end.Before(end) {
		return r.end
	}
	return end
}

// explain turns a timeout at the end of the window into ErrTooSlow.
func (r *rate) explain(err error) error {
	if err == ErrTimeout && !r.end.IsZero() && !time.Now().Before(r.end) {
		return ErrTooSlow
	}
	return err
}
