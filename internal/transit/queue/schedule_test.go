package queue

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// in runs f in a bubble of virtual time.
func in(t *testing.T, f func(t *testing.T, db kv.DB)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newMemory(nil, nil)) })
}

// body reads a queued message's blob.
func body(t testing.TB, db kv.DB, m *Message) string {
	t.Helper()
	b, err := db.OpenBlob(context.Background(), m.Blob)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRetrySchedule(t *testing.T) {
	in(t, func(t *testing.T, db kv.DB) {
		remoteT := newTransport(temporary)
		var reports []string
		localT := newTransport(func(m *Message, to mail.Recipient) Result {
			reports = append(reports, body(t, db, m))
			return Result{}
		})
		q := open(t, db, Options{Local: localT, Remote: remoteT})
		q.Start()
		begin := time.Now()
		put(t, q, newMessage(t, q, remote("dan@example.net")))
		time.Sleep(6 * 24 * time.Hour)
		synctest.Wait()

		want := []time.Duration{0, 5 * time.Minute, 15 * time.Minute, 35 * time.Minute, 75 * time.Minute, 135 * time.Minute, 255 * time.Minute}
		for next := want[len(want)-1] + 4*time.Hour; next < 5*24*time.Hour; next += 4 * time.Hour {
			want = append(want, next)
		}
		want = append(want, 5*24*time.Hour) // the last chance
		got := remoteT.times()
		if len(got) != len(want) {
			t.Fatalf("%d attempts, want %d", len(got), len(want))
		}
		for i := range want {
			if d := got[i].Sub(begin) - want[i]; d < 0 || d > time.Second {
				t.Errorf("attempt %d after %s, want %s", i, got[i].Sub(begin), want[i])
			}
		}
		if len(reports) != 1 {
			t.Fatalf("%d reports, want 1", len(reports))
		}
		for _, part := range []string{
			"multipart/report", "Action: failed", "Status: 4.4.7", "Final-Recipient: rfc822; dan@example.net",
			"To: <ann@example.org>", "Subject: hello", "5 days",
		} {
			if !strings.Contains(strings.ReplaceAll(reports[0], "\r\n", "\n"), part) {
				t.Errorf("no %q in the report:\n%s", part, reports[0])
			}
		}
		if k := keys(t, db); len(k) != 0 {
			t.Errorf("keys left: %s", k)
		}
		q.Close()
	})
}

func TestDelayWarning(t *testing.T) {
	for _, c := range []struct {
		name    string
		account mail.AccountID
		fail    string
		want    time.Duration // zero: none
	}{
		{"local sender", 7, "", 255 * time.Minute},
		{"somebody must act", 7, "pkix-expired", 75 * time.Minute},
		{"from outside", 0, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, db kv.DB) {
				var at []time.Duration
				var text string
				begin := time.Now()
				localT := newTransport(func(m *Message, to mail.Recipient) Result {
					at, text = append(at, time.Since(begin)), body(t, db, m)
					return Result{}
				})
				q := open(t, db, Options{Local: localT, Remote: newTransport(func(m *Message, to mail.Recipient) Result {
					r := temporary(m, to)
					r.Transport.Fail = c.fail
					return r
				})})
				q.Start()
				m := newMessage(t, q, remote("dan@example.net"), remote("eve@example.com"))
				m.Envelope.Account = c.account
				put(t, q, m)
				time.Sleep(4 * 24 * time.Hour)
				synctest.Wait()
				switch {
				case c.want == 0 && len(at) > 0:
					t.Errorf("a warning after %s", at)
				case c.want > 0 && (len(at) == 0 || len(at) > 2 || at[0].Truncate(time.Minute) != c.want):
					t.Errorf("warnings after %s, want %s", at, c.want)
				case c.want > 0 && (!strings.Contains(text, "Action: delayed") || !strings.Contains(text, "Will-Retry-Until: ")):
					t.Errorf("warning:\n%s", text)
				}
				q.Close()
			})
		})
	}
}

func TestPermanentFailureIsReportedAtOnce(t *testing.T) {
	in(t, func(t *testing.T, db kv.DB) {
		var reports []string
		var envelopes []mail.Envelope
		localT := newTransport(func(m *Message, to mail.Recipient) Result {
			if to.Address.Local == "nobody" {
				return permanent(m, to)
			}
			if m.Envelope.ReversePath.Null() {
				reports, envelopes = append(reports, body(t, db, m)), append(envelopes, m.Envelope)
			}
			return Result{}
		})
		remoteT := newTransport(func(m *Message, to mail.Recipient) Result {
			if to.Address.Domain == "slow.example" {
				time.Sleep(time.Minute)
			}
			return permanent(m, to)
		})
		q := open(t, db, Options{Local: localT, Remote: remoteT})
		q.Start()
		put(t, q, newMessage(t, q, local("nobody@example.org"), local("bob@example.org"), remote("dan@example.net"), remote("eve@slow.example")))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(reports) != 1 {
			t.Fatalf("%d reports for one round, want 1", len(reports))
		}
		for _, part := range []string{"nobody@example.org", "dan@example.net", "eve@slow.example", "Diagnostic-Code: smtp; 550 5.1.1 no such address", "Remote-MTA: dns; mx.example.net\r\n"} {
			if !strings.Contains(reports[0], part) {
				t.Errorf("no %q in the report:\n%s", part, reports[0])
			}
		}
		if strings.Contains(reports[0], "bob@example.org") {
			t.Error("the report speaks of one who got the message")
		}
		if e := envelopes[0]; !e.ReversePath.Null() || len(e.Recipients) != 1 || e.Recipients[0].Address.String() != "ann@example.org" {
			t.Errorf("the report's envelope: %+v", e)
		}
		if k := keys(t, db); len(k) != 0 {
			t.Errorf("keys left: %s", k)
		}
		q.Close()
	})
}

func TestNoReportOnReports(t *testing.T) {
	in(t, func(t *testing.T, db kv.DB) {
		q := open(t, db, Options{Local: newTransport(permanent)})
		q.Start()
		// The report on this one fails in its turn, and there it ends.
		put(t, q, newMessage(t, q, local("nobody@example.org")))
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := q.Stats(); s.Failed != 2 || s.Reports != 1 || s.Recipients != 0 {
			t.Errorf("stats: %+v", s)
		}
		q.Close()
	})
}

func TestRedelivery(t *testing.T) {
	in(t, func(t *testing.T, db kv.DB) {
		tr := newTransport(temporary)
		q := open(t, db, Options{Local: tr, Redelivery: time.Minute})
		q.Start()
		put(t, q, newMessage(t, q, local("bob@example.org")))
		time.Sleep(10*time.Minute + 30*time.Second)
		synctest.Wait()
		if n := tr.count(); n != 11 {
			t.Errorf("%d attempts in ten minutes, want 11", n)
		}
		q.Close()
	})
}

func TestScheduleSurvivesReopening(t *testing.T) {
	in(t, func(t *testing.T, db kv.DB) {
		tr := newTransport(temporary)
		q := open(t, db, Options{Remote: tr})
		q.Start()
		put(t, q, newMessage(t, q, remote("dan@example.net")))
		time.Sleep(16 * time.Minute) // three attempts: 0, 5, 15
		q.Close()
		q = open(t, db, Options{Remote: tr})
		q.Start()
		time.Sleep(18 * time.Minute) // 34: the fourth comes at 35
		synctest.Wait()
		if n := tr.count(); n != 3 {
			t.Errorf("%d attempts after 34 minutes, want 3", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := tr.count(); n != 4 {
			t.Errorf("%d attempts after 36 minutes, want 4", n)
		}
		q.Close()
	})
}
