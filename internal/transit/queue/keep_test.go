package queue

import (
	"slices"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// TestRecordsAge: a user's address becomes its network after two weeks; after the time to keep it a record becomes one
// of a day's count.
func TestRecordsAge(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := time.Date(2026, 9, 1, 10, 0, 0, 0, time.UTC)
	q := open(t, store(t, t.TempDir()), Options{Now: func() time.Time { return now }, KeepRecords: 20 * day})
	submit := func(account mail.AccountID) ID {
		m := newMessage(t, q, remote("bob@example.net"))
		m.Envelope.Account, m.Envelope.Received = account, now
		put(t, q, m)
		if _, err := q.Remove(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
		return m.ID
	}
	first, stranger := submit(7), submit(0)
	pass := func(d time.Duration) {
		t.Helper()
		now = now.Add(d)
		if err := q.tidyRecords(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rip := func(id ID) string {
		t.Helper()
		r, err := q.Record(t.Context(), id)
		if mail.IsKind(err, mail.NotFound) {
			return "none"
		}
		if err != nil {
			t.Fatal(err)
		}
		return r.RIP
	}
	pass(10 * day)
	second := submit(7)
	for _, step := range []struct {
		pass                    time.Duration
		first, second, stranger string
	}{
		{3 * day, "192.0.2.7", "192.0.2.7", "192.0.2.7"},
		{2 * day, "192.0.2.0/24", "192.0.2.7", "192.0.2.7"},
		{0, "192.0.2.0/24", "192.0.2.7", "192.0.2.7"},
		{6 * day, "none", "192.0.2.7", "none"},
		{4 * day, "none", "192.0.2.0/24", "none"},
		{10 * day, "none", "none", "none"},
	} {
		pass(step.pass)
		if a, b, c := rip(first), rip(second), rip(stranger); a != step.first || b != step.second || c != step.stranger {
			t.Errorf("at %s: %s, %s, %s, want %+v", now, a, b, c, step)
		}
	}
	var counts []DayCount
	if err := q.EachDay(t.Context(), func(c DayCount) error { counts = append(counts, c); return nil }); err != nil {
		t.Fatal(err)
	}
	want := []DayCount{
		{"2026-09-01", "example.org", mail.EncryptedUnauthenticated, 2}, {"2026-09-11", "example.org", mail.EncryptedUnauthenticated, 1},
	}
	if !slices.Equal(counts, want) {
		t.Errorf("counts %+v, want %+v", counts, want)
	}
	if found := verify(t, q.db.(*kv.Engine)); len(found) > 0 {
		t.Errorf("found %q", found)
	}
}

// TestRecordsOfAccount: the records of an account are listed and go with it, and only those.
func TestRecordsOfAccount(t *testing.T) {
	t.Parallel()
	q := open(t, store(t, t.TempDir()), Options{Remote: newTransport(temporary)})
	var last [3]ID
	for i := range page + 10 {
		m := newMessage(t, q, remote("bob@example.net"))
		m.Envelope.Account = mail.AccountID(i % 3)
		put(t, q, m)
		last[i%3] = m.ID
	}
	count := func(a mail.AccountID) (n int) {
		if err := q.EachRecord(t.Context(), a, func(r Record) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(1); n != (page+10+1)/3 {
		t.Errorf("%d records", n)
	}
	if err := q.db.Update(t.Context(), func(tx kv.Tx) error { return DoomRecords(tx, 1) }); err != nil {
		t.Fatal(err)
	}
	q.Start()
	q.Tidy()
	wait(t, "end of the account's records", func() bool { return count(1) == 0 })
	if n := count(2); n == 0 {
		t.Error("the records of another account are gone")
	}
	// Its messages are still in the queue.
	for a, gone := range map[int]bool{0: false, 1: false, 2: false} {
		if _, err := q.Record(t.Context(), last[a]); (err != nil) != gone {
			t.Errorf("record of %d: %v", a, err)
		}
	}
	_, err := q.Record(t.Context(), "nonsense\n")
	if !mail.IsKind(err, mail.NotFound) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}
