package mailbox

import (
	"testing"
	"time"

	"candor/internal/message"
)

func TestRecordRoundTrip(t *testing.T) {
	t.Parallel()
	for _, zone := range []int{0, 3600, -12 * 3600, 14 * 3600, 5*3600 + 1800} {
		m := Message{
			Prefix: []byte("Received: x\r\n"), BlobSize: 1 << 40, Blob: [16]byte{1, 15: 2},
			Received: time.Date(2024, 2, 29, 1, 2, 3, 0, time.FixedZone("", zone)),
		}
		v := encodeRecord(&m, &message.Attributes{Envelope: message.Envelope{Subject: "s"}})
		v = arrived(v, 77, time.Unix(88, 999))
		r, err := decodeRecord(5, v)
		if err != nil {
			t.Fatal(err)
		}
		if r.uid != 5 || r.created != 77 || r.saved.Unix() != 88 || r.size != 1<<40+13 || r.blob != m.Blob || string(r.prefix) != string(m.Prefix) {
			t.Errorf("record is %+v", r)
		}
		if want := m.Received.Format(time.RFC3339); r.received.Format(time.RFC3339) != want {
			t.Errorf("received is %s, want %s", r.received.Format(time.RFC3339), want)
		}
		if a, err := r.decodeAttributes(); err != nil || a.Envelope.Subject != "s" {
			t.Errorf("attributes are %+v, %v", a, err)
		}
	}
}

// TestRecordWithoutSaved: a record of the format before is read, and its copy has the format of now.
func TestRecordWithoutSaved(t *testing.T) {
	t.Parallel()
	m := Message{BlobSize: 3, Blob: [16]byte{1}, Received: time.Unix(5, 0).UTC()}
	now := arrived(encodeRecord(&m, &message.Attributes{Envelope: message.Envelope{Subject: "s"}}), 7, time.Unix(88, 0))
	before := append([]byte{withoutSaved}, now[createdAt:savedAt]...)
	before = append(before, now[savedAt+8:]...)
	old, err := decodeRecord(1, before)
	if err != nil || old.created != 7 || !old.saved.IsZero() || !old.savedDay().Equal(m.Received) {
		t.Fatalf("got %+v, %v", old, err)
	}
	if got := arrived(before, 7, time.Unix(88, 0)); string(got) != string(now) {
		t.Errorf("got  %q\nwant %q", got, now)
	}
	if r, err := decodeRecord(1, now); err != nil || r.emailID() != old.emailID() {
		t.Errorf("email ids are %s and %s, %v", r.emailID(), old.emailID(), err)
	}
}

func TestRowRoundTrips(t *testing.T) {
	t.Parallel()
	a := accountRow{1, 2, 3, 4, 5, 6}
	if got, err := decodeAccountRow(a.encode()); got != a || err != nil {
		t.Errorf("account row is %+v, %v", got, err)
	}
	c := counters{maxUID, 2, 3, 4, 1 << 50, 6, 7, 8}
	if got, err := decodeCounters(c.encode()); got != c || err != nil {
		t.Errorf("counters are %+v, %v", got, err)
	}
	m, f, err := decodeHot(appendHot(nil, 1<<63, 1<<63|1))
	if m != 1<<63 || f != 1<<63|1 || err != nil {
		t.Errorf("hot record is %d %x, %v", m, f, err)
	}
}

func FuzzRecords(f *testing.F) {
	m := Message{Prefix: []byte("Received: x\r\n"), BlobSize: 10, Received: noon}
	f.Add(encodeRecord(&m, new(message.Attributes)))
	f.Add((&mailboxRow{name: "a", keywords: []string{"k"}}).encode())
	f.Add((&logRow{added: spans{{1, 3}}, expunged: spans{{5, 5}, {7, maxUID}}}).encode())
	f.Add((&counters{uidNext: 1}).encode())
	f.Fuzz(func(t *testing.T, v []byte) {
		if r, err := decodeRecord(1, v); err == nil {
			_, _ = r.decodeAttributes()
		}
		if r, err := decodeMailboxRow(v); err == nil {
			again, err := decodeMailboxRow(r.encode())
			if err != nil || again.name != r.name || len(again.keywords) != len(r.keywords) {
				t.Errorf("mailbox row %+v becomes %+v, %v", r, again, err)
			}
		}
		if r, err := decodeLogRow(1, v); err == nil {
			checkSpans(t, r.added)
			again, err := decodeLogRow(1, r.encode())
			if err != nil || again.spans() != r.spans() {
				t.Errorf("log row %+v becomes %+v, %v", r, again, err)
			}
		}
		if c, err := decodeCounters(v); err == nil {
			if again, err := decodeCounters(c.encode()); err != nil || again != c {
				t.Errorf("counters %+v become %+v, %v", c, again, err)
			}
		}
		_, _, _ = decodeHot(v)
		_, _ = decodeAccountRow(v)
	})
}

func checkSpans(t *testing.T, s spans) {
	t.Helper()
	last := UID(0)
	for _, p := range s {
		if p.First <= last || p.Last < p.First || p.Last > maxUID {
			t.Fatalf("spans %v do not rise", s)
		}
		last = p.Last
	}
}
