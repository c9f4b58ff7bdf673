package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// faultFS is a file system whose changes fail when fault says so.
type faultFS struct {
	vfs.FS
	fault func(op, name string) error

	mu   sync.Mutex
	free int64 // octets; below zero: the disk cannot tell
}

func (f *faultFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open("create", name, func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f *faultFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.open("create", name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, o...) })
}

func (f *faultFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open("create", name, func() (vfs.File, error) { return f.FS.ReuseForWrite(old, name, c) })
}

func (f *faultFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return &faultFile{file, f, name + "/"}, err
}

func (f *faultFS) open(op, name string, open func() (vfs.File, error)) (vfs.File, error) {
	if err := f.fault(op, name); err != nil {
		return nil, err
	}
	file, err := open()
	return &faultFile{file, f, name}, err
}

func (f *faultFS) Rename(old, name string) error {
	if err := f.fault("rename", name); err != nil {
		return err
	}
	return f.FS.Rename(old, name)
}

func (f *faultFS) Remove(name string) error {
	if err := f.fault("remove", name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

func (f *faultFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.free < 0 {
		return vfs.DiskUsage{}, vfs.ErrUnsupported
	}
	return vfs.DiskUsage{AvailBytes: uint64(f.free)}, nil
}

func (f *faultFS) setFree(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free = n
}

type faultFile struct {
	vfs.File
	fs   *faultFS
	name string
}

// Write writes a half when it fails.
func (f *faultFile) Write(p []byte) (int, error) {
	if err := f.fs.fault("write", f.name); err != nil {
		n, _ := f.File.Write(bytes.Clone(p[:len(p)/2]))
		return n, err
	}
	return f.File.Write(p)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.fault("write", f.name); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *faultFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *faultFile) sync(sync func() error) error {
	if err := f.fs.fault("sync", f.name); err != nil {
		return err
	}
	return sync()
}

// failNth fails the nth change to a file whose name ends with suffix, and with sticky all later ones.
func failNth(n int, op, suffix string, fault error, sticky bool) func(op, name string) error {
	var mu sync.Mutex
	return func(o, name string) error {
		if op != "" && o != op || !strings.HasSuffix(name, suffix) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		n--
		if n == 0 || n < 0 && sticky {
			return fault
		}
		return nil
	}
}

func noFault(string, string) error { return nil }

func testLog(t *testing.T) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return slog.New(slog.DiscardHandler)
}

func openOn(t *testing.T, fs vfs.FS) *Engine {
	t.Helper()
	e, err := open(context.Background(), Options{Dir: "store", Log: testLog(t)}, settings{fs: fs, segmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ledger is what a workload was told: for each number, that it is stored, or refused.
type ledger struct {
	mu    sync.Mutex
	more  sync.Cond
	acked map[int]BlobID
	next  int
	told  io.Writer // if not nil, gets a line for each
}

func newLedger() *ledger {
	l := &ledger{acked: map[int]BlobID{}}
	l.more.L = &l.mu
	return l
}

// await returns when n are acknowledged.
func (l *ledger) await(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.acked) < n {
		l.more.Wait()
	}
}

func (l *ledger) begin() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return l.next
}

func (l *ledger) ack(n int, id BlobID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[n] = id
	if l.told != nil {
		tell(l.told, n, id)
	}
	l.more.Broadcast()
}

// copy is the ledger of now.
func (l *ledger) copy() map[int]BlobID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked)
}

func ledgerKey(n int) []byte { return fmt.Appendf(nil, "m%08d", n) }

// ledgerBody is the body of number n; its size is small, middling or in parts.
func ledgerBody(n int) []byte {
	size := []int{10, 700, 5000, 20000, 150000}[n%5]
	return bytes.Repeat(fmt.Appendf(nil, "body %08d ", n), 1+size/14)
}

// store stores a blob and a row that names it, and notes it when that is acknowledged.
func (l *ledger) store(ctx context.Context, db DB) error {
	n := l.begin()
	w, err := db.CreateBlob(ctx)
	if err != nil {
		return err
	}
	defer w.Discard()
	if _, err := w.Write(ledgerBody(n)); err != nil {
		return err
	}
	id, err := w.Finish()
	if err != nil {
		return err
	}
	err = db.Update(ctx, func(tx Tx) error {
		tx.Set(ledgerKey(n), id[:])
		tx.Link(id, ledgerKey(n))
		return nil
	})
	if err == nil {
		l.ack(n, id)
	}
	return err
}

// check compares a store with what was acknowledged: all of that is there, whole, and every row
// that is there names a whole blob.
func check(t *testing.T, db DB, acked map[int]BlobID) {
	t.Helper()
	rows := map[int]BlobID{}
	err := db.View(t.Context(), func(r Reader) error {
		for p, err := range r.Scan([]byte("m"), []byte("n")) {
			if err != nil {
				return err
			}
			var n int
			if _, err := fmt.Sscanf(string(p.Key), "m%d", &n); err != nil {
				return err
			}
			rows[n] = BlobID(p.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("reading the rows: %v", err)
	}
	for n, id := range acked {
		if rows[n] != id {
			t.Errorf("%d was acknowledged with blob %s; its row has %s", n, id, rows[n])
		}
	}
	for n, id := range rows {
		checkBlob(t, db, n, id)
	}
}

func checkBlob(t *testing.T, db DB, n int, id BlobID) {
	t.Helper()
	b, err := db.OpenBlob(t.Context(), id)
	if err != nil {
		t.Errorf("%d: %v", n, err)
		return
	}
	defer b.Close()
	var got bytes.Buffer
	if _, err := b.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), ledgerBody(n)) {
		t.Errorf("%d: blob %s is not what was stored: %v", n, id, err)
	}
	if owners, err := db.Links(t.Context(), id); err != nil || len(owners) != 1 {
		t.Errorf("%d: owners %q, %v", n, owners, err)
	}
}

// TestPowerCut takes copies of a disk that loses what was not synced, while the store writes to it.
func TestPowerCut(t *testing.T) {
	mem := vfs.NewCrashableMem()
	e := openOn(t, mem)
	l := newLedger()
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 12 {
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				for range 6 {
					if err := l.store(t.Context(), e); err != nil {
						t.Error(err)
					}
				}
			})
		}
		l.await(36*round + 1 + rng.IntN(30))
		acked := l.copy()
		checkAfterCut(t, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 10 * (round % 11), RNG: rng}), acked)
		wg.Wait()
	}
	check(t, e, l.copy())
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func checkAfterCut(t *testing.T, fs vfs.FS, acked map[int]BlobID) {
	t.Helper()
	e := openOn(t, fs)
	check(t, e, acked)
	if s := e.Stats(); s.Damaged != 0 {
		t.Errorf("a power cut was taken for damage of %d octets", s.Damaged)
	}
	after := newLedger()
	after.next = 1 << 20
	if err := after.store(t.Context(), e); err != nil {
		t.Errorf("storing after the cut: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestFaults makes one change fail after another. Nothing that was acknowledged may be lost,
// neither for a store that was closed afterwards nor in a power cut.
func TestFaults(t *testing.T) {
	cases := []struct {
		op, suffix string
		fault      error
		recovers   bool // the store goes on by itself
	}{
		{"write", ".seg", syscall.EIO, true},
		{"sync", ".seg", syscall.EIO, true},
		{"create", ".seg", syscall.EIO, true},
		{"write", ".seg", syscall.ENOSPC, true},
		{"sync", "blobs/", syscall.EIO, true},
		{"write", ".log", syscall.EIO, false},
		{"sync", ".log", syscall.EIO, false},
		{"write", ".log", syscall.ENOSPC, true},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s %s %v", c.op, c.suffix, c.fault), func(t *testing.T) {
			t.Parallel()
			for n := 1; n <= 30; n += 1 + n/3 {
				testFault(t, failNth(n, c.op, c.suffix, c.fault, false), c.recovers)
			}
		})
	}
}

func testFault(t *testing.T, fault func(op, name string) error, recovers bool) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	fs := &faultFS{FS: mem, fault: noFault, free: -1}
	e := openOn(t, fs)
	fs.fault = fault
	l := newLedger()
	var failures []error
	for range 25 {
		if err := l.store(t.Context(), e); err != nil {
			failures = append(failures, err)
		}
	}
	switch {
	case recovers && (len(failures) > 2 || e.failed() != nil):
		t.Errorf("the store did not go on: %d failures, the last %v", len(failures), failures[len(failures)-1])
	case !recovers && len(failures) > 0 && !errors.Is(failures[len(failures)-1], ErrFailed):
		t.Errorf("want ErrFailed in the end, got %v", failures[len(failures)-1])
	}
	cut := openOn(t, mem.CrashClone(vfs.CrashCloneCfg{}))
	check(t, cut, l.copy())
	if err := cut.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("closing after %v: %v", failures, err)
	}
	again := openOn(t, mem)
	check(t, again, l.copy())
	if err := l.store(t.Context(), again); err != nil {
		t.Errorf("storing after all: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestPebbleFaults makes every change to the files of the keys fail for good, from the nth on, under
// a load that makes Pebble flush and rotate. The process must live, and Close return.
func TestPebbleFaults(t *testing.T) {
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
		for n := 1; n <= 200; n += 1 + n/3 {
			t.Run(fmt.Sprintf("%v from change %d", fault, n), func(t *testing.T) {
				t.Parallel()
				testPebbleFault(t, n, fault)
			})
		}
	}
}

func testPebbleFault(t *testing.T, n int, fault error) {
	mem := vfs.NewCrashableMem()
	fs := &faultFS{FS: mem, fault: noFault, free: -1}
	e := openOn(t, fs)
	e.disk.patience = 10 * time.Millisecond
	nth := failNth(n, "", "", fault, true)
	fs.fault = func(op, name string) error {
		if !strings.Contains(name, "keys") {
			return nil
		}
		return nth(op, name)
	}
	l := newLedger()
	for i := range 60 {
		_ = l.store(t.Context(), e) // the ledger has the outcome
		if i%10 == 9 && e.failed() == nil {
			if _, err := e.db.AsyncFlush(); err != nil {
				t.Error(err)
			}
		}
	}
	cut := openOn(t, mem.CrashClone(vfs.CrashCloneCfg{}))
	check(t, cut, l.copy())
	if err := cut.Close(); err != nil {
		t.Error(err)
	}
	_ = e.Close() // may complain of the disk, but must return
	again := openOn(t, mem)
	check(t, again, l.copy())
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestFull: a full disk refuses blobs, then transactions, with a clear error; when there is room
// again all goes on.
func TestFull(t *testing.T) {
	fs := &faultFS{FS: vfs.NewMem(), fault: noFault, free: 1 << 30}
	e := openOn(t, fs)
	defer e.Close()
	l := newLedger()
	free := func(n int64) {
		fs.setFree(n)
		e.space.look()
	}
	remove := func() error { return e.Update(t.Context(), func(tx Tx) error { tx.Delete([]byte("m")); return nil }) }
	for range 2 {
		free(1 << 30)
		if err := l.store(t.Context(), e); err != nil {
			t.Errorf("with room: %v", err)
		}
		free(blobsReserve - 1)
		if err := l.store(t.Context(), e); !errors.Is(err, ErrFull) {
			t.Errorf("storing a blob in a full disk: %v, want ErrFull", err)
		}
		if err := remove(); err != nil {
			t.Errorf("removing in a full disk: %v", err)
		}
		free(keysReserve - 1)
		if err := remove(); !errors.Is(err, ErrFull) {
			t.Errorf("a transaction in a very full disk: %v, want ErrFull", err)
		}
		check(t, e, l.copy())
	}
}

// TestNoRoomForTables: Pebble cannot write its tables. Transactions are refused, and Close returns.
func TestNoRoomForTables(t *testing.T) {
	mem := vfs.NewMem()
	fs := &faultFS{FS: mem, fault: noFault, free: -1}
	e := openOn(t, fs)
	e.disk.patience = 10 * time.Millisecond
	l := newLedger()
	if err := l.store(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	fs.fault = failNth(1, "create", ".sst", syscall.ENOSPC, true)
	if _, err := e.db.AsyncFlush(); err != nil {
		t.Fatal(err)
	}
	for e.space.full.Load() == 0 {
		sleepABit(t)
	}
	if err := l.store(t.Context(), e); !errors.Is(err, ErrFull) {
		t.Errorf("storing: %v, want ErrFull", err)
	}
	mustClose(t, e)
	again := openOn(t, mem)
	check(t, again, l.copy())
	mustClose(t, again)
}
