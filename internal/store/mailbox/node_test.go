package mailbox

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Two stores on one DB stand for two nodes of a cluster: what one has in memory must not mislead it
// about what the other has written.
func TestAnotherNodeWrites(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 3)
	m := f.session("INBOX")
	since := m.State().HighestModSeq

	other, err := Open(t.Context(), f.db, Options{})
	f.must(err)
	defer other.Close()
	there := &fixture{t: t, db: f.db, store: other}
	there.a = there.account(account1)
	n := there.session("INBOX")
	there.appendMany("INBOX", 1, "theirs")
	there.store1(n, AddFlags, []UID{2}, `\Deleted`)
	there.must(n.Remove(t.Context(), []UID{1}))

	// The table of this node is behind. What it does must be right all the same.
	removed, _, err := m.Expunge(t.Context(), nil)
	f.must(err)
	f.wantUIDs("expunged", removed, 2)
	f.wantUIDs("what is left", m.State().UIDs, 3, 4)
	f.wantDelta(f.changes(m, since), []UID{4}, nil, []UID{1, 2})
	f.wantUIDs("appended", f.appendMany("INBOX", 1, "ours"), 5)
	f.wantFlags(m, 4, "theirs")
	f.wantFlags(m, 5, "ours")
	f.checkMailbox("INBOX")
}

func TestConcurrentNodes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other, err := Open(t.Context(), f.db, Options{})
	f.must(err)
	defer other.Close()
	message, id := f.message("\na\n"), f.id("INBOX")
	const each = 30
	results := make(chan []UID)
	for _, s := range []*Store{f.store, other} {
		a, err := s.Account(t.Context(), account1)
		f.must(err)
		go func() {
			var all []UID
			defer func() { results <- all }()
			for range each {
				uids, err := a.Append(context.Background(), id, []Message{message}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				all = append(all, uids...)
			}
		}()
	}
	all := append(<-results, <-results...)
	slices.Sort(all)
	if len(slices.Compact(all)) != 2*each || all[len(all)-1] != 2*each {
		t.Errorf("UIDs are %v", all)
	}
	f.checkMailbox("INBOX")
}

// failing is a DB whose commits fail while it is told to.
type failing struct {
	kv.DB
	fail atomic.Bool
}

var errDisk = errors.New("disk failed")

func (db *failing) Update(ctx context.Context, f func(kv.Tx) error) error {
	if !db.fail.Load() {
		return db.DB.Update(ctx, f)
	}
	return db.DB.Update(ctx, func(tx kv.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return errDisk
	})
}

// Nothing is shown that did not become durable.
func TestFailedCommitIsNotShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.must(f.store.Close())
	db := &failing{DB: f.db}
	var err error
	f.store, err = Open(t.Context(), db, Options{})
	f.must(err)
	f.a = f.account(account1)
	f.appendMany("INBOX", 2)
	m := f.session("INBOX")
	before := m.State()
	message := f.message("\na\n")

	db.fail.Store(true)
	if _, err := f.a.Append(t.Context(), before.Info.ID, []Message{message}, nil); !errors.Is(err, errDisk) {
		t.Errorf("error is %v", err)
	}
	if _, err := m.Store(t.Context(), Change{UIDs: []UID{1}, Mode: AddFlags, Flags: []string{"new"}}); !errors.Is(err, errDisk) {
		t.Errorf("error is %v", err)
	}
	if err := m.Remove(t.Context(), []UID{1}); !errors.Is(err, errDisk) {
		t.Errorf("error is %v", err)
	}
	if err := f.a.Rename(t.Context(), "INBOX", "x"); !errors.Is(err, errDisk) {
		t.Errorf("error is %v", err)
	}
	if err := f.store.RemoveAccount(t.Context(), account1); !errors.Is(err, errDisk) {
		t.Errorf("error is %v", err)
	}
	after := m.State()
	if !slices.Equal(before.UIDs, after.UIDs) || before.HighestModSeq != after.HighestModSeq || len(after.Keywords) != 0 {
		t.Errorf("state became %+v", after)
	}
	db.fail.Store(false)
	f.checkMailbox("INBOX")
	f.wantUIDs("next", f.appendMany("INBOX", 1), 3)
}

// A UID that is given twice or out of order is one message.
func TestUIDsGivenCarelessly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 4)
	m := f.session("INBOX")
	f.wantUIDs("stored", f.store1(m, AddFlags, []UID{3, 1, 3, 3, 99}, `\Seen`).Changed, 1, 3)
	done, err := m.Copy(t.Context(), []UID{2, 2, 1}, f.id("Sent"))
	f.must(err)
	f.wantUIDs("copied", done.Source, 1, 2)
	var read []UID
	f.must(m.Records(t.Context(), []UID{4, 2, 4}, func(r *Record) error {
		read = append(read, r.UID)
		return nil
	}))
	f.wantUIDs("read", read, 2, 4)
	f.must(m.Remove(t.Context(), []UID{4, 4, 2}))
	f.checkMailbox("INBOX")
	f.checkMailbox("Sent")
}

func TestRecordsReadsManyBatches(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	uids := f.appendMany("INBOX", 2*recordBatch+7)
	m := f.session("INBOX")
	gaps := slices.DeleteFunc(slices.Clone(uids), func(u UID) bool { return u > 100 && u < 100+3*neighbours })
	f.must(m.Remove(t.Context(), []UID{1, recordBatch, recordBatch + 1}))
	var want, got []UID
	for _, u := range gaps {
		if u != 1 && u != recordBatch && u != recordBatch+1 {
			want = append(want, u)
		}
	}
	f.must(m.Records(t.Context(), gaps, func(r *Record) error {
		got = append(got, r.UID)
		return nil
	}))
	f.wantUIDs("records", got, want...)
	stop := errors.New("stop")
	if err := m.Records(t.Context(), uids, func(*Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
}

// A damaged record is reported, and is not taken for an absent one.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.harmed = true
	f.appendMany("INBOX", 2)
	m := f.session("INBOX")
	f.must(f.db.Update(t.Context(), func(tx kv.Tx) error {
		tx.Set(uidKey(account1, kindRecord, f.id("INBOX"), 1), []byte{recordFormat})
		tx.Delete(uidKey(account1, kindRecord, f.id("INBOX"), 2))
		return nil
	}))
	if _, err := m.OpenBody(t.Context(), 1); !errors.Is(err, kv.ErrCorrupt) {
		t.Errorf("error is %v", err)
	}
	_, err := m.OpenBody(t.Context(), 2)
	f.want(mail.Expunged, err)
	if _, err := m.Copy(t.Context(), []UID{2}, f.id("Sent")); !errors.Is(err, kv.ErrCorrupt) {
		t.Errorf("error is %v", err)
	}
}

// TestAnotherNodeRearranges: what this node remembers of names and rows must not outlive them.
func TestAnotherNodeRearranges(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other, err := Open(t.Context(), f.db, Options{})
	f.must(err)
	defer other.Close()
	theirs, err := other.Account(t.Context(), account1)
	f.must(err)
	drafts := f.id("Drafts")
	f.appendMany("Drafts", 1, "ours")

	f.must(theirs.Rename(t.Context(), "Drafts", "Old"))
	if _, err := f.a.Lookup(t.Context(), "Drafts"); !mail.IsKind(err, mail.NotFound) {
		t.Errorf("the old name is still found: %v", err)
	}
	if id := f.id("Old"); id != drafts {
		t.Errorf("the new name is mailbox %d, want %d", id, drafts)
	}
	f.must(theirs.Unsubscribe(t.Context(), "Old"))
	made, err := theirs.Create(t.Context(), "Drafts", "")
	f.must(err)
	if info, err := f.a.Lookup(t.Context(), "Drafts"); err != nil || info != made {
		t.Errorf("the name used again is %+v, %v; want %+v", info, err, made)
	}

	message, old := f.message("\na\n"), f.id("Old")
	message.Flags = []string{"theirs"}
	_, err = theirs.Append(t.Context(), old, []Message{message}, nil)
	f.must(err)
	f.appendMany("Old", 1, "ours", "theirs")
	m := f.session("Old")
	f.wantFlags(m, 2, "theirs")
	f.wantFlags(m, 3, "ours", "theirs")
	f.must(theirs.Delete(t.Context(), "Old"))
	if _, err := f.a.Append(t.Context(), old, []Message{message}, nil); !mail.IsKind(err, mail.NotFound) {
		t.Errorf("appending to a deleted mailbox: %v", err)
	}
}
