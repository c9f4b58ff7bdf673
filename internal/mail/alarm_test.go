package mail_test

import (
	"net/netip"
	"testing"
	"time"

	"candor/internal/mail"
)

// TestExceptionAlarm: T-35, 14, 7 and 1 days before the end of an exception, and after it.
func TestExceptionAlarm(t *testing.T) {
	end := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	e := mail.Exception{ID: "old-scanner", Reason: "Scanner X", Owner: "karin", Until: end}
	used := mail.Use{Times: 3, Last: netip.MustParseAddr("10.1.2.7")}
	for _, c := range []struct {
		before      time.Duration
		used        mail.Use
		stage, text string
	}{
		{15 * 24 * time.Hour, used, "", "Exception old-scanner (Scanner X, karin) ends in 15 days. It was used 3 times in 30 days, last by 10.1.2.7."},
		{14 * 24 * time.Hour, used, "14 days", "Exception old-scanner (Scanner X, karin) ends in 14 days. It was used 3 times in 30 days, last by 10.1.2.7."},
		{8 * 24 * time.Hour, used, "14 days", "Exception old-scanner (Scanner X, karin) ends in 8 days. It was used 3 times in 30 days, last by 10.1.2.7."},
		{7*24*time.Hour - 1, used, "7 days", "Exception old-scanner (Scanner X, karin) ends in 7 days. It was used 3 times in 30 days, last by 10.1.2.7."},
		{time.Second, mail.Use{}, "1 day", "Exception old-scanner (Scanner X, karin) ends in 1 day. It was used 0 times in 30 days."},
		{0, used, "ended", "Exception old-scanner (Scanner X, karin) has ended. It was used 3 times in 30 days, last by 10.1.2.7. Remove it."},
	} {
		a, due := e.Alarm("A-132", end.Add(-c.before), c.used, 14, 7, 1)
		want := mail.Alarm{ID: "A-132", Subject: "old-scanner", Stage: c.stage, Text: c.text}
		if a != want || due != (c.stage != "") {
			t.Errorf("%v before the end:\ngot  %+v, %v\nwant %+v", c.before, a, due, want)
		}
	}
}
