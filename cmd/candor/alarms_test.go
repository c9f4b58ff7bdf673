package main

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"candor/internal/mail"
)

// TestAlarmLog: an alarm is logged when it begins, when its stage changes and when it begins again; it is
// counted once while it holds.
func TestAlarmLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	var l alarmLog
	a := mail.Alarm{ID: "A-132", Subject: "old-scanner", Stage: "14 days", Text: "Exception old-scanner ends in 9 days."}
	b := a
	b.Stage = "7 days"
	for _, step := range []struct {
		now    []mail.Alarm
		logged int
	}{{nil, 0}, {[]mail.Alarm{a}, 1}, {[]mail.Alarm{a}, 0}, {[]mail.Alarm{b}, 1}, {nil, 0}, {[]mail.Alarm{b}, 1}} {
		out.Reset()
		l.raise(log, step.now)
		if n := strings.Count(out.String(), "msg=alarm id=A-132 subject=old-scanner"); n != step.logged {
			t.Errorf("%+v: logged %d times, want %d:\n%s", step.now, n, step.logged, &out)
		}
		want := make([]alarmCount, 0)
		if step.now != nil {
			want = append(want, alarmCount{"A-132", "old-scanner", 1})
		}
		if got := l.stats(); !slices.Equal(got, want) {
			t.Errorf("%+v: counted %+v, want %+v", step.now, got, want)
		}
	}
}
