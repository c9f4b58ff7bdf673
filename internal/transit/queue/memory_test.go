package queue

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// memory is a kv.DB without a disk, whose whole past can be looked at: what a crash after any commit
// would have left. Transactions run one at a time.
type memory struct {
	mu     sync.Mutex
	rows   map[string][]byte // replaced by every commit, never changed
	blobs  map[kv.BlobID][]byte
	past   []map[string][]byte // rows after each commit
	refuse error               // what Update returns
}

func newMemory(rows map[string][]byte, blobs map[kv.BlobID][]byte) *memory {
	return &memory{rows: maps.Clone(rows), blobs: maps.Clone(blobs)}
}

type memoryTx struct{ rows map[string][]byte }

func (db *memory) View(ctx context.Context, f func(kv.Reader) error) error {
	db.mu.Lock()
	rows := db.rows
	db.mu.Unlock()
	return f(memoryTx{rows})
}

func (db *memory) Update(ctx context.Context, f func(kv.Tx) error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.refuse != nil {
		return db.refuse
	}
	tx := memoryTx{maps.Clone(db.rows)}
	if tx.rows == nil {
		tx.rows = map[string][]byte{}
	}
	// Run twice, as after a conflict: what f does beside the transaction would show.
	if err := f(memoryTx{maps.Clone(tx.rows)}); err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return err
	}
	db.rows = tx.rows
	db.past = append(db.past, tx.rows)
	return nil
}

func (tx memoryTx) Get(key []byte) ([]byte, error) {
	v, ok := tx.rows[string(key)]
	if !ok {
		return nil, kv.ErrNotFound
	}
	return slices.Clone(v), nil
}

func (tx memoryTx) Scan(from, to []byte) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		for _, k := range slices.Sorted(maps.Keys(tx.rows)) {
			if k >= string(from) && (to == nil || k < string(to)) && !yield(kv.Pair{Key: []byte(k), Value: tx.rows[k]}, nil) {
				return
			}
		}
	}
}

func (tx memoryTx) ScanBack(from, to []byte) iter.Seq2[kv.Pair, error] {
	panic("the queue does not scan back")
}

func (tx memoryTx) Set(key, value []byte) { tx.rows[string(key)] = value }
func (tx memoryTx) Delete(key []byte)     { delete(tx.rows, string(key)) }
func (tx memoryTx) DeleteRange(from, to []byte) {
	maps.DeleteFunc(tx.rows, func(k string, _ []byte) bool { return k >= string(from) && k < string(to) })
}
func (tx memoryTx) Link(id kv.BlobID, owner []byte)   { tx.Set(memoryLink(id, owner), nil) }
func (tx memoryTx) Unlink(id kv.BlobID, owner []byte) { tx.Delete(memoryLink(id, owner)) }

func memoryLink(id kv.BlobID, owner []byte) []byte {
	return append(append([]byte("kl"), id[:]...), owner...)
}

func (db *memory) CreateBlob(context.Context) (kv.BlobWriter, error) {
	return &memoryBlobWriter{db: db}, nil
}

type memoryBlobWriter struct {
	bytes.Buffer
	db *memory
}

func (w *memoryBlobWriter) Finish() (kv.BlobID, error) {
	w.db.mu.Lock()
	defer w.db.mu.Unlock()
	if w.db.blobs == nil {
		w.db.blobs = map[kv.BlobID][]byte{}
	}
	id := kv.BlobID{0: 1, 14: byte(len(w.db.blobs) >> 8), 15: byte(len(w.db.blobs))}
	w.db.blobs[id] = w.Bytes()
	return id, nil
}

func (w *memoryBlobWriter) Discard() {}

type memoryOpenBlob struct{ *bytes.Reader }

func (memoryOpenBlob) Close() error { return nil }

func (db *memory) OpenBlob(_ context.Context, id kv.BlobID) (kv.Blob, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	b, ok := db.blobs[id]
	if !ok {
		return nil, kv.ErrNotFound
	}
	return memoryOpenBlob{bytes.NewReader(b)}, nil
}

func (db *memory) Links(_ context.Context, id kv.BlobID) ([][]byte, error) {
	var owners [][]byte
	from := memoryLink(id, nil)
	for p := range (memoryTx{db.rows}).Scan(from, kv.PrefixEnd(from)) {
		owners = append(owners, p.Key[len(from):])
	}
	return owners, nil
}

func (db *memory) Close() error { return nil }

var _ kv.DB = (*memory)(nil)

// TestCrashAtEveryCommit: whatever commit a crash comes after, opening again delivers every
// acknowledged message to every local recipient once and to every remote one at least once, reports
// each failure once, and leaves nothing behind.
func TestCrashAtEveryCommit(t *testing.T) {
	t.Parallel()
	db := newMemory(nil, nil)
	q := open(t, db, settlingWorld(db))
	const n = 4
	acknowledged := map[int]int{} // commits so far -> messages acknowledged by then
	q.Start()
	for i := range n {
		put(t, q, newMessage(t, q, local("bob@example.org"), local("list@example.org"), local("nobody@example.org"),
			remote("dan@example.net"), remote("nobody@example.net"), remote(fmt.Sprintf("later%d@example.com", i))))
		db.mu.Lock()
		acknowledged[len(db.past)] = i + 1
		db.mu.Unlock()
	}
	wait(t, "deferral", func() bool { return q.Stats().Deferred == n && q.Stats().Reports == n && q.Stats().Recipients == n })
	q.Close()

	known := 0
	for i, rows := range db.past {
		known = max(known, acknowledged[i+1])
		crashed := newMemory(rows, db.blobs)
		again := open(t, crashed, settlingWorld(crashed))
		if err := again.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		again.Start()
		wait(t, "an end of the work", func() bool {
			s := again.Stats()
			return s.LocalHeld == 0 && s.RemoteHeld == 0 && allLater(t, again) &&
				copies(t, crashed, "nobody@example.net") == len(list(t, again))
		})
		again.Close()
		items := list(t, again)
		if len(items) < known {
			t.Errorf("crash after commit %d: %d messages wait, %d were acknowledged; keys %s", i+1, len(items), known, keys(t, crashed))
		}
		for _, a := range []string{"bob@example.org", "cid@example.org", "nobody@example.org", "nobody@example.net"} {
			if c := copies(t, crashed, a); c != len(items) {
				t.Errorf("crash after commit %d: %s has %d copies of %d", i+1, a, c, len(items))
			}
		}
		if c := copies(t, crashed, "dan@example.net"); c < len(items) {
			t.Errorf("crash after commit %d: dan@example.net has %d copies of %d", i+1, c, len(items))
		}
	}
}

// allLater reports whether all that is left waits for a later time.
func allLater(t *testing.T, q *Queue) bool {
	for _, item := range list(t, q) {
		for _, r := range item.Recipients {
			if time.Until(r.Next) < time.Minute {
				return false
			}
		}
	}
	return true
}

func copies(t *testing.T, db kv.DB, a string) int {
	t.Helper()
	return (&settling{db: db}).copies(t, a)
}

// settlingWorld has accounts bob and cid, the alias list for cid and nobody else, and hosts that take
// dan, refuse nobody and put all others off. Remote copies are counted as they go out.
func settlingWorld(db kv.DB) Options {
	s := &settling{db: db}
	count := func(a string) {
		err := db.Update(context.Background(), func(tx kv.Tx) error {
			return s.add(tx, mail.Recipient{Address: addr(a)})
		})
		if err != nil {
			panic(err)
		}
	}
	return Options{
		Local: newTransport(func(m *Message, to mail.Recipient) Result {
			switch to.Address.Local {
			case "nobody":
				return permanent(m, to)
			case "list":
				return Result{Expanded: []mail.Recipient{local("cid@example.org")}}
			case "ann":
				return s.report(m, to)
			}
			return s.Deliver(context.Background(), m, []mail.Recipient{to})[0]
		}),
		Remote: newTransport(func(m *Message, to mail.Recipient) Result {
			switch to.Address.Local {
			case "nobody":
				return permanent(m, to)
			case "dan":
				count("dan@example.net")
				return Result{}
			}
			return temporary(m, to)
		}),
	}
}

// report takes a report in and counts the failures that it tells of.
func (s *settling) report(m *Message, to mail.Recipient) Result {
	blob, err := s.db.OpenBlob(context.Background(), m.Blob)
	if err != nil {
		return Result{Err: err}
	}
	defer blob.Close()
	text := make([]byte, blob.Size())
	if _, err := blob.ReadAt(text, 0); err != nil {
		return Result{Err: err}
	}
	err = s.db.Update(context.Background(), func(tx kv.Tx) error {
		for _, a := range []string{"nobody@example.org", "nobody@example.net"} {
			if !bytes.Contains(text, []byte("Final-Recipient: rfc822; "+a)) {
				continue
			}
			if err := s.add(tx, mail.Recipient{Address: addr(a)}); err != nil {
				return err
			}
		}
		return Settle(Attempt{m, []mail.Recipient{to}})(tx)
	})
	return Result{Err: err, Settled: err == nil}
}
