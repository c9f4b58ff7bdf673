package mailbox

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// account1 is the account that most tests use.
const account1 mail.AccountID = 1

// noon is when messages of the tests arrive.
var noon = time.Date(2024, 5, 17, 12, 0, 0, 0, time.FixedZone("", 2*3600))

// fixture is a store with one account.
type fixture struct {
	t     *testing.T
	dir   string
	db    kv.DB
	store *Store
	a     *Account

	harmed bool // by the test
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := openFixture(t, t.TempDir())
	f.must(f.store.CreateAccount(t.Context(), account1))
	f.a = f.account(account1)
	return f
}

// openFixture opens the store in dir, which ends with the test.
func openFixture(t *testing.T, dir string) *fixture {
	t.Helper()
	db, err := kv.Open(t.Context(), kv.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, dir: dir, db: db}
	f.open()
	t.Cleanup(f.close)
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	var err error
	f.store, err = Open(f.t.Context(), f.db, Options{})
	f.must(err)
}

func (f *fixture) close() {
	f.must(f.store.Close())
	if !f.harmed {
		f.wantClean()
	}
	f.must(f.db.Close())
}

// reopen closes all and opens it again.
func (f *fixture) reopen() {
	f.t.Helper()
	f.close()
	db, err := kv.Open(f.t.Context(), kv.Options{Dir: f.dir})
	f.must(err)
	f.db = db
	f.open()
	f.a = f.account(account1)
}

func (f *fixture) account(id mail.AccountID) *Account {
	f.t.Helper()
	a, err := f.store.Account(f.t.Context(), id)
	f.must(err)
	return a
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// want fails unless err is of kind k.
func (f *fixture) want(k mail.Kind, err error) {
	f.t.Helper()
	if !mail.IsKind(err, k) {
		f.t.Fatalf("error is %v, want one of kind %s", err, k)
	}
}

func (f *fixture) id(name string) ID {
	f.t.Helper()
	info, err := f.a.Lookup(f.t.Context(), name)
	f.must(err)
	return info.ID
}

// session opens a mailbox until the test ends.
func (f *fixture) session(name string) *Mailbox {
	f.t.Helper()
	m, err := f.a.Open(f.t.Context(), f.id(name))
	f.must(err)
	f.t.Cleanup(m.Close)
	return m
}

// body stores text as a blob, with CRLF line ends.
func (f *fixture) body(text string) (kv.BlobID, int64) {
	f.t.Helper()
	text = strings.ReplaceAll(text, "\n", "\r\n")
	w, err := f.store.NewBody(f.t.Context())
	f.must(err)
	defer w.Discard()
	_, err = io.WriteString(w, text)
	f.must(err)
	id, err := w.Finish()
	f.must(err)
	return id, int64(len(text))
}

func (f *fixture) message(text string, flags ...string) Message {
	f.t.Helper()
	blob, size := f.body(text)
	return Message{Blob: blob, BlobSize: size, Flags: flags, Received: noon}
}

// append stores a message and returns its UID.
func (f *fixture) append(name, text string, flags ...string) UID {
	f.t.Helper()
	uids, err := f.a.Append(f.t.Context(), f.id(name), []Message{f.message(text, flags...)}, nil)
	f.must(err)
	return uids[0]
}

// appendMany stores n small messages and returns their UIDs.
func (f *fixture) appendMany(name string, n int, flags ...string) []UID {
	f.t.Helper()
	m := f.message("Subject: many\n\nbody\n", flags...)
	uids, err := f.a.Append(f.t.Context(), f.id(name), slices.Repeat([]Message{m}, n), nil)
	f.must(err)
	return uids
}

func (f *fixture) store1(m *Mailbox, mode StoreMode, uids []UID, flags ...string) Stored {
	f.t.Helper()
	s, err := m.Store(f.t.Context(), Change{UIDs: uids, Mode: mode, Flags: flags})
	f.must(err)
	return s
}

func (f *fixture) status(name string) Status {
	f.t.Helper()
	st, err := f.a.Status(f.t.Context(), f.id(name))
	f.must(err)
	return st
}

func (f *fixture) changes(m *Mailbox, since ModSeq) Delta {
	f.t.Helper()
	d, err := m.Changes(f.t.Context(), since)
	f.must(err)
	return d
}

func (f *fixture) wantUIDs(what string, got []UID, want ...UID) {
	f.t.Helper()
	if !slices.Equal(got, want) {
		f.t.Fatalf("%s: got UIDs %v, want %v", what, got, want)
	}
}

func (f *fixture) wantDelta(d Delta, added, changed, expunged []UID) {
	f.t.Helper()
	f.wantUIDs("added", d.Added, added...)
	f.wantUIDs("changed", d.Changed, changed...)
	f.wantUIDs("expunged", spans(d.Expunged).appendTo(nil), expunged...)
}

// flagsOf returns the names of a message's flags.
func (f *fixture) flagsOf(m *Mailbox, uid UID) []string {
	f.t.Helper()
	e := m.Entries(nil, []UID{uid})
	if len(e) != 1 {
		f.t.Fatalf("message %d has %d entries", uid, len(e))
	}
	return m.FlagNames(e[0].Flags)
}

func (f *fixture) wantFlags(m *Mailbox, uid UID, want ...string) {
	f.t.Helper()
	if got := f.flagsOf(m, uid); !slices.Equal(got, want) {
		f.t.Fatalf("flags of %d: got %q, want %q", uid, got, want)
	}
}

// checkMailbox recounts a mailbox and compares its table with its rows.
func (f *fixture) checkMailbox(name string) {
	f.t.Helper()
	f.checkCounters(name)
	m := f.session(name)
	fresh := newTable(tableKey{f.a.id, f.id(name)})
	f.must(f.db.View(f.t.Context(), fresh.fill))
	t := m.table
	t.mu.RLock()
	defer t.mu.RUnlock()
	if loaded, stored := t.entries(nil, t.uids), fresh.entries(nil, fresh.uids); !slices.Equal(loaded, stored) {
		f.t.Fatalf("%s: table has %v, rows %v", name, loaded, stored)
	}
	if t.highest != fresh.highest || t.uidNext != fresh.uidNext || t.unseen != fresh.unseen {
		f.t.Fatalf("%s: table is at %d, %d, %d, rows at %d, %d, %d", name, t.highest, t.uidNext, t.unseen, fresh.highest, fresh.uidNext, fresh.unseen)
	}
}

func (f *fixture) checkCounters(name string) {
	f.t.Helper()
	m := f.session(name)
	var want Status
	state := m.State()
	for _, e := range m.Entries(nil, state.UIDs) {
		want.Messages++
		if e.Flags&Seen == 0 {
			want.Unseen++
		}
		if e.Flags&Deleted != 0 {
			want.Deleted++
		}
	}
	f.must(m.Records(f.t.Context(), state.UIDs, func(r *Record) error {
		want.Size += r.Size
		return nil
	}))
	want.UIDNext, want.UIDValidity, want.HighestModSeq = state.UIDNext, state.Info.UIDValidity, state.HighestModSeq
	if got := f.status(name); got != want {
		f.t.Fatalf("%s: status is %+v, recounted %+v", name, got, want)
	}
}

// text reads a whole message.
func (f *fixture) text(m *Mailbox, uid UID) string {
	f.t.Helper()
	b, err := m.OpenBody(f.t.Context(), uid)
	f.must(err)
	defer b.Close()
	var s strings.Builder
	n, err := b.WriteTo(&s)
	f.must(err)
	if n != b.Size() || int(n) != s.Len() {
		f.t.Fatalf("message %d: wrote %d octets, counted %d, size %d", uid, s.Len(), n, b.Size())
	}
	return s.String()
}

// rerun is a DB that runs every transaction twice and keeps the second, as after a conflict.
type rerun struct{ kv.DB }

var errAgain = errors.New("again")

func (db rerun) Update(ctx context.Context, f func(kv.Tx) error) error {
	err := db.DB.Update(ctx, func(tx kv.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return errAgain
	})
	if !errors.Is(err, errAgain) {
		return err
	}
	return db.DB.Update(ctx, f)
}

// copyDir copies a directory as a crash would leave it.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	// A lock that was copied is nobody's.
	_ = os.Remove(filepath.Join(to, "keys", "LOCK"))
	return to
}
