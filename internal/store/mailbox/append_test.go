package mailbox

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/iotest"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

func TestAppendGivesRisingUIDs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.wantUIDs("first", f.appendMany("INBOX", 2), 1, 2)
	f.wantUIDs("second", f.appendMany("INBOX", 1), 3)
	f.checkMailbox("INBOX")
}

func TestAppendKeepsTheMessage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.message("Subject: hello\n\nbody\n", `\seen`, `\Recent`, "$Forwarded")
	m.Prefix = []byte("Received: from here\r\n")
	uids, err := f.a.Append(t.Context(), f.id("INBOX"), []Message{m}, nil)
	f.must(err)
	box := f.session("INBOX")
	want := "Received: from here\r\nSubject: hello\r\n\r\nbody\r\n"
	if got := f.text(box, uids[0]); got != want {
		t.Errorf("text is %q, want %q", got, want)
	}
	f.wantFlags(box, uids[0], `\Seen`, "$Forwarded")
	f.must(box.Records(t.Context(), uids, func(r *Record) error {
		a, err := r.Attributes()
		if err != nil {
			return err
		}
		if a.Envelope.Subject != "hello" || a.Size != int64(len(want)) || r.Size != a.Size {
			t.Errorf("attributes are %+v, size %d, want subject hello and size %d", a, r.Size, len(want))
		}
		if body := want[a.Root.BodyOffset:]; body != "body\r\n" {
			t.Errorf("the body begins at %q", body)
		}
		if !r.Received.Equal(noon) || r.Received.Format("-0700") != "+0200" {
			t.Errorf("INTERNALDATE is %s, want %s", r.Received, noon)
		}
		return nil
	}))
}

func TestBodyReadsAcrossPrefixAndBlob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.message("Subject: hello\n\nbody\n")
	m.Prefix = []byte("Received: from here\r\n")
	uids, err := f.a.Append(t.Context(), f.id("INBOX"), []Message{m}, nil)
	f.must(err)
	b, err := f.session("INBOX").OpenBody(t.Context(), uids[0])
	f.must(err)
	defer b.Close()
	want := []byte("Received: from here\r\nSubject: hello\r\n\r\nbody\r\n")
	if err := iotest.TestReader(io.NewSectionReader(b, 0, b.Size()), want); err != nil {
		t.Error(err)
	}
	var all bytes.Buffer
	if _, err := b.WriteTo(&all); err != nil || !bytes.Equal(all.Bytes(), want) {
		t.Errorf("WriteTo gave %q, %v", all.Bytes(), err)
	}
}

func TestAppendIsAllOrNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	broken := errors.New("queue item is gone")
	_, err := f.a.Append(t.Context(), f.id("INBOX"), []Message{f.message("\na\n"), f.message("\nb\n")}, func(kv.Tx) error { return broken })
	if !errors.Is(err, broken) {
		t.Fatalf("error is %v, want %v", err, broken)
	}
	if st := f.status("INBOX"); st.Messages != 0 || st.UIDNext != 1 {
		t.Fatalf("status is %+v, want an empty mailbox", st)
	}
	key := []byte("q-test")
	_, err = f.a.Append(t.Context(), f.id("INBOX"), []Message{f.message("\na\n")}, func(tx kv.Tx) error {
		tx.Set(key, []byte("x"))
		return nil
	})
	f.must(err)
	f.must(f.db.View(t.Context(), func(r kv.Reader) error {
		_, err := r.Get(key)
		return err
	}))
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, flag := range map[string]string{
		"unknown system flag": `\Foo`, "empty": "", "space": "a b", "wildcard": "a*", "control": "a\x00", "not ASCII": "é",
	} {
		_, err := f.a.Append(t.Context(), f.id("INBOX"), []Message{f.message("\na\n", flag)}, nil)
		if !mail.IsKind(err, mail.Syntax) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	_, err := f.a.Append(t.Context(), 999, []Message{f.message("\na\n")}, nil)
	f.want(mail.NotFound, err)
}

// One operation of a group that fails must not take the others with it.
func TestConcurrentAppendsShareTransactions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id, message := f.id("INBOX"), f.message("\na\n")
	const writers, each = 16, 20
	var mu sync.Mutex
	var all []UID
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for n := range each {
				if n%5 == 4 {
					if _, err := f.a.Append(t.Context(), 999, []Message{message}, nil); !mail.IsKind(err, mail.NotFound) {
						t.Errorf("error is %v, want NotFound", err)
					}
					continue
				}
				uids, err := f.a.Append(t.Context(), id, []Message{message, message}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if len(uids) != 2 || uids[1] != uids[0]+1 {
					t.Errorf("UIDs of one append are %v", uids)
				}
				mu.Lock()
				all = append(all, uids...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(all)
	const want = writers * each * 4 / 5 * 2
	if len(slices.Compact(all)) != want || all[0] != 1 || all[want-1] != want {
		t.Fatalf("got %d UIDs from %d to %d, want 1 to %d", len(all), all[0], all[len(all)-1], want)
	}
	f.checkMailbox("INBOX")
	if st := f.store.Stats(); st.Appended != want || st.Commits >= writers*each {
		t.Errorf("stats are %+v: no transaction was shared", st)
	}
}

func TestTransactionsMayBeRunAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.must(f.store.Close())
	var err error
	f.store, err = Open(t.Context(), rerun{f.db}, Options{})
	f.must(err)
	f.a = f.account(account1)
	m := f.session("INBOX")
	f.wantUIDs("appended", f.appendMany("INBOX", 3, "one"), 1, 2, 3)
	f.wantUIDs("stored", f.store1(m, AddFlags, []UID{1, 2}, `\Deleted`, "two").Changed, 1, 2)
	moved, err := m.Move(t.Context(), []UID{3}, f.id("Sent"))
	f.must(err)
	f.wantUIDs("moved", moved.Target, 1)
	removed, _, err := m.Expunge(t.Context(), nil)
	f.must(err)
	f.wantUIDs("expunged", removed, 1, 2)
	f.checkMailbox("INBOX")
	f.checkMailbox("Sent")
	if k := f.session("INBOX").State().Keywords; !slices.Equal(k, []string{"one", "two"}) {
		t.Errorf("keywords are %q", k)
	}
}
