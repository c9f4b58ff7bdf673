package kv

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// copyOut copies a checkpoint of the store in a folder into an empty folder.
func copyOut(t *testing.T, store string, c *Checkpoint) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, f := range c.Files {
		to := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		from, err := os.Open(filepath.Join(store, filepath.FromSlash(f.Path)))
		if err != nil {
			t.Fatal(err)
		}
		made, err := os.Create(to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(made, from, f.Size); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if err := errors.Join(from.Close(), made.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// checkCopy opens the store in dir and looks for all that had been acknowledged.
func checkCopy(t *testing.T, dir string, acked map[int]BlobID) {
	t.Helper()
	e, err := Open(t.Context(), Options{Dir: dir, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	check(t, e, acked)
	if s := e.Stats(); s.Damaged != 0 {
		t.Errorf("the copy is damaged by %d octets", s.Damaged)
	}
}

// churn makes garbage, so that the collector moves what lives beside it and removes segments.
func churn(t *testing.T, e *Engine, n int) {
	owner := fmt.Appendf(nil, "churn%d", n)
	w, err := e.CreateBlob(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	defer w.Discard()
	if _, err := w.Write(make([]byte, 60_000)); err != nil {
		t.Error(err)
	}
	id, err := w.Finish()
	if err != nil {
		t.Error(err)
		return
	}
	for _, change := range []func(Tx){func(tx Tx) { tx.Link(id, owner) }, func(tx Tx) { tx.Unlink(id, owner) }} {
		if err := e.Update(t.Context(), func(tx Tx) error { change(tx); return nil }); err != nil {
			t.Error(err)
		}
	}
}

// TestCheckpoint: copies made while others write, and the collector moves and removes, hold what had been
// acknowledged before, and nothing without its blob; what was part of one checkpoint changes only as it says.
func TestCheckpoint(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, Log: testLog(t), CollectInterval: 20 * time.Millisecond}
	e, err := open(t.Context(), o, settings{fs: vfs.Default, segmentSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := l.store(t.Context(), e); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				churn(t, e, n)
			}
		}
	})
	older := map[string][]byte{} // what must not change of the files of earlier checkpoints
	for point := range 3 {
		l.await(20 * (point + 1))
		acked := l.copy()
		c, err := e.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l.await(len(acked) + 10) // others write while the files are copied
		copied := copyOut(t, dir, c)
		if err := c.Release(); err != nil {
			t.Fatal(err)
		}
		for _, f := range c.Files {
			b, err := os.ReadFile(filepath.Join(copied, f.Name))
			if err != nil {
				t.Fatal(err)
			}
			switch old, seen := older[f.Name]; {
			case f.Change == ChangeAny:
				continue
			case f.Change == ChangeNever && seen && string(old) != string(b):
				t.Errorf("%s has changed", f.Name)
			case f.Change == ChangeGrows && seen && !strings.HasPrefix(string(b[SegmentHead:]), string(old[SegmentHead:])):
				t.Errorf("%s has changed in what was there", f.Name)
			}
			older[f.Name] = b
		}
		checkCopy(t, copied, acked)
	}
	for e.collector.removed.Load() == 0 {
		sleepABit(t)
	}
	close(stop)
	wg.Wait()
	if left, err := os.ReadDir(filepath.Join(dir, asideName)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := Still(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("opening a store that is copied: %v", err)
	}
	copied := copyOut(t, dir, c)
	if err := c.Release(); err != nil {
		t.Fatal(err)
	}
	checkCopy(t, copied, l.copy())
}

// TestCheckpointBeforeSeal: a segment that is sealed between a checkpoint and the copying is whole in the copy.
func TestCheckpointBeforeSeal(t *testing.T) {
	dir := t.TempDir()
	e, err := open(t.Context(), Options{Dir: dir, Log: testLog(t)}, settings{fs: vfs.Default, segmentSize: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, e)
	l := newLedger()
	l.fill(t, e, 4)
	c, err := e.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	acked := l.copy()
	for len(segmentsOf(t, e)) == 1 {
		mustStore(t, e, make([]byte, maxChunk))
	}
	copied := copyOut(t, dir, c)
	checkCopy(t, copied, acked)
	again, err := Open(t.Context(), Options{Dir: copied, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, again)
	sum, err := again.Verify(t.Context(), VerifyOptions{Report: func(f Finding) { t.Error(f) }}, (*Verification).Segments)
	if err != nil || sum.Segments == 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// TestCheckpointOfUsedLogs: a log that is made of an older one is copied only as far as it was written.
func TestCheckpointOfUsedLogs(t *testing.T) {
	e, err := Open(t.Context(), Options{Dir: t.TempDir(), Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	value := make([]byte, 1<<20)
	for n := range 40 { // more than the tables in memory hold, several times
		if err := e.Update(t.Context(), func(tx Tx) error { tx.Set(ledgerKey(n), value); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.flush(); err != nil {
		t.Fatal(err)
	}
	c, err := e.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	var logs int64
	for _, f := range c.Files {
		if isLog(f.Name) {
			logs += f.Size
		}
	}
	if logs > 1<<20 {
		t.Errorf("the logs of a store whose tables are written have %d octets", logs)
	}
}

// TestCheckpointFails: a checkpoint that cannot be written, at whatever step, is no failure of the store.
func TestCheckpointFails(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		for _, op := range []string{"create", "write", "sync"} {
			t.Run(fmt.Sprint(op, fault), func(t *testing.T) {
				t.Parallel()
				in := func(o, name string) error {
					if o == op && strings.Contains(name, asideName) {
						return fault
					}
					return nil
				}
				e := openOn(t, &faultFS{FS: vfs.NewMem(), fault: in, free: -1})
				l := newLedger()
				if err := l.store(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				if _, err := e.Checkpoint(t.Context()); !errors.Is(err, fault) {
					t.Errorf("got %v, want %v", err, fault)
				}
				if err := l.store(t.Context(), e); err != nil {
					t.Errorf("writing afterwards: %v", err)
				}
				if names, err := e.fs.List(e.disk.aside); err != nil || len(names) > 0 {
					t.Errorf("left behind: %v, %v", names, err)
				}
				check(t, e, l.copy())
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
