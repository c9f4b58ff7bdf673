package mail

import (
	"fmt"
	"net/netip"
	"time"
)

// Alarm is something that the administrator must know, for as long as it holds. Whoever finds one returns it
// whenever it is asked; the server shows it in `candor status`, logs it and counts it.
type Alarm struct {
	ID      string `json:"id"`      // of the finding (specification, section 6.5), such as "A-132"
	Subject string `json:"subject"` // what it is about: a rule, an account, a file. ID and Subject name the alarm
	Stage   string `json:"stage"`   // the alarm is logged again when it changes, such as "7 days"
	Text    string `json:"text"`    // what is seen and what to do, for people
}

// Exception is a rule of the administrator that allows less than is usual, until its end.
type Exception struct {
	ID, Reason, Owner string
	Until             time.Time // the first moment at which it does not hold
}

// Use is how often something was used in the last 30 days, and by whom last; Last is not valid when nobody did.
type Use struct {
	Times int64
	Last  netip.Addr
}

// Alarm returns the alarm of an exception that ends in so many days or fewer, or has ended (specification, T-35).
// days are when to tell of it, the most first, such as 14, 7, 1.
func (e *Exception) Alarm(id string, now time.Time, u Use, days ...int) (Alarm, bool) {
	a := Alarm{ID: id, Subject: e.ID, Stage: "ended"}
	if !e.Holds(now) {
		a.Text = fmt.Sprintf("Exception %s (%s, %s) has ended. It was used %s in 30 days%s. Remove it.", e.ID, e.Reason, e.Owner, counted(u.Times, "time"), u.by())
		return a, true
	}
	left := e.DaysLeft(now)
	a.Stage = ""
	for _, d := range days {
		if left <= d {
			a.Stage = counted(int64(d), "day")
		}
	}
	a.Text = e.Words(now, u)
	return a, a.Stage != ""
}

// Holds reports whether the exception has not ended.
func (e *Exception) Holds(now time.Time) bool { return now.Before(e.Until) }

// DaysLeft is how many days the exception holds on, the last one counted whole; 0 when it has ended.
func (e *Exception) DaysLeft(now time.Time) int {
	const day = 24 * time.Hour
	return int(max(0, (e.Until.Sub(now)+day-1)/day))
}

// Words are T-35 of the specification.
func (e *Exception) Words(now time.Time, u Use) string {
	return fmt.Sprintf("Exception %s (%s, %s) ends in %s. It was used %s in 30 days%s.", e.ID, e.Reason, e.Owner, counted(int64(e.DaysLeft(now)), "day"), counted(u.Times, "time"), u.by())
}

// counted is a number with its noun.
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (u Use) by() string {
	if !u.Last.IsValid() {
		return ""
	}
	return ", last by " + u.Last.String()
}
