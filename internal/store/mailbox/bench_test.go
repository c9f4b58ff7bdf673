package mailbox

import (
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/kv"
)

func benchStore(b *testing.B) *Store {
	b.Helper()
	db, err := kv.Open(b.Context(), kv.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	s, err := Open(b.Context(), db, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		s.Close()
		db.Close()
	})
	return s
}

func benchAccount(b *testing.B, s *Store, id mail.AccountID) (*Account, ID) {
	b.Helper()
	if err := s.CreateAccount(b.Context(), id); err != nil {
		b.Fatal(err)
	}
	a, err := s.Account(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	m, err := a.Lookup(b.Context(), "INBOX")
	if err != nil {
		b.Fatal(err)
	}
	return a, m.ID
}

var benchText = []byte("From: Ann <ann@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: a message of four KiB\r\n" +
	"Date: Fri, 17 May 2024 12:00:00 +0200\r\nMessage-ID: <1@example.org>\r\n\r\n" + strings.Repeat("seventy-eight characters of text, of which there is nothing whatever to say.\r\n", 50))

// benchMessage stores a body and scans it while it comes in, as a door does.
func benchMessage(b *testing.B, s *Store) Message {
	w, err := s.NewBody(b.Context())
	if err != nil {
		b.Error(err)
		return Message{}
	}
	defer w.Discard()
	scanner := message.NewScanner(message.Limits{})
	_, _ = io.MultiWriter(w, scanner).Write(benchText)
	blob, err := w.Finish()
	if err != nil {
		b.Error(err)
	}
	return Message{Blob: blob, BlobSize: int64(len(benchText)), Attributes: scanner.Finish(), Received: noon}
}

// BenchmarkAppend stores bodies and messages with ten writers in as many accounts.
func BenchmarkAppend(b *testing.B) {
	for name, accounts := range map[string]int{"ten-accounts": 10, "one-account": 1} {
		b.Run(name, func(b *testing.B) {
			s := benchStore(b)
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ResetTimer()
			for n := range 10 {
				a, id := benchAccount(b, s, mail.AccountID(1+n%accounts))
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := a.Append(b.Context(), id, []Message{benchMessage(b, s)}, nil); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// benchMailbox opens a mailbox of n messages.
func benchMailbox(b *testing.B, n int) (*Mailbox, []UID) {
	b.Helper()
	s := benchStore(b)
	a, id := benchAccount(b, s, 1)
	m := benchMessage(b, s)
	for left := n; left > 0; left -= 1000 {
		if _, err := a.Append(b.Context(), id, slices.Repeat([]Message{m}, min(left, 1000)), nil); err != nil {
			b.Fatal(err)
		}
	}
	box, err := a.Open(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(box.Close)
	return box, box.State().UIDs
}

func benchmarkStore(b *testing.B, n int) {
	box, uids := benchMailbox(b, n)
	for i := 0; b.Loop(); i++ {
		mode := AddFlags + StoreMode(i%2)
		if _, err := box.Store(b.Context(), Change{UIDs: uids, Mode: mode, Flags: []string{`\Seen`}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStoreOne(b *testing.B) { benchmarkStore(b, 1) }
func BenchmarkStoreAll(b *testing.B) { benchmarkStore(b, 3000) }

func BenchmarkRecords(b *testing.B) {
	box, uids := benchMailbox(b, 3000)
	for b.Loop() {
		err := box.Records(b.Context(), uids, func(r *Record) error {
			_, err := r.Attributes()
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkState(b *testing.B) {
	box, _ := benchMailbox(b, 3000)
	for b.Loop() {
		box.State()
	}
}

// BenchmarkOpen reads a table that is not in memory.
func BenchmarkOpen(b *testing.B) {
	box, _ := benchMailbox(b, 3000)
	for b.Loop() {
		t := newTable(box.table.key)
		if err := t.load(b.Context(), box.account.store.db); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSearchBody(b *testing.B) {
	box, uids := benchMailbox(b, 1000)
	b.SetBytes(int64(len(uids) * len(benchText)))
	for b.Loop() {
		found, err := box.Search(b.Context(), uids, Criteria{Op: BodyText, Text: "not there"})
		if err != nil || len(found) > 0 {
			b.Fatal(found, err)
		}
	}
}
