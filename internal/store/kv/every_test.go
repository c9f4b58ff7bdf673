package kv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"candor/internal/mail"
)

// stride is how many changes are passed over between two that a test looks at; in the long form, none.
func stride(short int) int {
	if os.Getenv("CANDOR_SOAK") != "" {
		return 1
	}
	return short
}

// openMix opens a store with small segments, whose collector waits for nothing.
func openMix(t *testing.T, fs vfs.FS) *Engine {
	t.Helper()
	e, err := open(t.Context(), Options{Dir: "store", Log: testLog(t)}, settings{fs: fs, segmentSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	e.collector.grace = 0
	e.collector.pace.rate = 1 << 40
	e.disk.patience = time.Millisecond
	return e
}

// mix stores, removes and collects, small blobs and large ones, all in one order, and returns what failed.
func mix(t *testing.T, e *Engine, l *ledger) (failures []error) {
	note := func(err error) {
		if err != nil {
			failures = append(failures, err)
		}
	}
	for round := range 2 {
		for range 14 {
			note(l.store(t.Context(), e))
		}
		for n := 1; n <= l.next; n++ {
			if n%7 != round {
				note(l.remove(t.Context(), e, n))
			}
		}
		_, err := e.collector.collect(t.Context())
		note(err)
		e.collector.recordAbandoned(t.Context())
		note(e.flush())
	}
	return failures
}

// wantNoLeak collects, and looks whether every segment but the last is worth its room.
func wantNoLeak(t *testing.T, e *Engine) {
	t.Helper()
	mustCollect(t, e)
	s := snapshot{e.db.NewSnapshot()}
	defer s.pebble.Close()
	found, err := e.collector.survey(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for n, end := range e.catalog.settled() {
		if live := found.live[n].octets; float64(live) < liveShare*float64(end-headSize) || live == 0 {
			t.Errorf("%s has %d octets live of %d after a run of the collector", segmentName(n), live, end)
		}
	}
	segmentsOf(t, e)
}

// countChanges is how many changes of the disk the mix makes.
func countChanges(t *testing.T) (n int) {
	var mu sync.Mutex
	fs := &faultFS{FS: vfs.NewMem(), free: -1, fault: func(string, string) error {
		mu.Lock()
		defer mu.Unlock()
		n++
		return nil
	}}
	e := openMix(t, fs)
	l := newLedger()
	if failures := mix(t, e, l); len(failures) > 0 {
		t.Fatal(failures)
	}
	if e.collector.moved.Load() == 0 || e.collector.removed.Load() == 0 {
		t.Fatal("the mix does not make the collector work")
	}
	check(t, e, l.copy())
	mustClose(t, e)
	return n
}

// TestCutAtEveryChange takes the power away before each change of the disk in turn, with what was not synced lost,
// partly lost or there.
func TestCutAtEveryChange(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &faultFS{FS: mem, fault: noFault, free: -1}
	e := openMix(t, fs)
	l := newLedger()
	var mu sync.Mutex
	n := 0
	fs.fault = func(op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%stride(23) == 0 {
			cutNow(t, mem, n, l.copy())
		}
		return nil
	}
	if failures := mix(t, e, l); len(failures) > 0 {
		t.Error(failures)
	}
	check(t, e, l.copy())
	mustClose(t, e)
	t.Logf("%d changes", n)
}

func cutNow(t *testing.T, mem *vfs.MemFS, n int, acked map[int]BlobID) {
	t.Helper()
	e := openMix(t, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * (n % 3), RNG: testRNG(n)}))
	check(t, e, acked)
	wantNoLeak(t, e)
	check(t, e, acked)
	if s := e.Stats(); s.Damaged != 0 {
		t.Errorf("a power cut before change %d was taken for damage of %d octets", n, s.Damaged)
	}
	mustClose(t, e)
}

// TestFaultAtEveryChange makes each change of the disk fail in turn, once or for a while. Whoever asked gets a
// temporary error, nothing that was acknowledged is lost, and the store goes on: by itself, or after a restart
// when its log has failed.
func TestFaultAtEveryChange(t *testing.T) {
	changes := countChanges(t)
	faults := []struct {
		fault  error
		length int
	}{{syscall.EIO, 1}, {syscall.EIO, 12}, {syscall.ENOSPC, 1}, {syscall.ENOSPC, 12}}
	for i, f := range faults {
		t.Run(fmt.Sprintf("%v %d", f.fault, f.length), func(t *testing.T) {
			t.Parallel()
			for n := 1 + i; n <= changes; n += stride(97) {
				faultFrom(t, n, f.length, f.fault)
				if t.Failed() {
					t.Fatalf("change %d", n)
				}
			}
		})
	}
}

func faultFrom(t *testing.T, first, length int, fault error) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	fs := &faultFS{FS: mem, fault: noFault, free: -1}
	e := openMix(t, fs)
	var mu sync.Mutex
	n := 0
	fs.fault = func(op, name string) error {
		if strings.HasSuffix(name, "LOCK") {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if n++; n >= first && n < first+length {
			return fault
		}
		return nil
	}
	l := newLedger()
	for _, err := range mix(t, e, l) {
		if m := mail.AsError(err); m.Status.Class != 4 {
			t.Errorf("%v is answered with %v, want a temporary error", err, m.Status)
		}
		if errors.Is(fault, syscall.ENOSPC) && errors.Is(err, ErrCorrupt) {
			t.Errorf("a full disk was taken for damage: %v", err)
		}
	}
	acked := l.copy()
	if e.failed() == nil {
		goesOn(t, e, l)
		acked = l.copy()
	}
	if e.failed() == nil {
		check(t, e, acked)
	}
	for _, percent := range []int{0, 100} {
		cut := openMix(t, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: testRNG(first)}))
		check(t, cut, acked)
		wantNoLeak(t, cut)
		check(t, cut, acked)
		mustClose(t, cut)
	}
	_ = e.Close() // may complain of the disk, but must return
	again := openMix(t, mem)
	check(t, again, acked)
	wantNoLeak(t, again)
	if err := l.store(t.Context(), again); err != nil {
		t.Errorf("storing after all: %v", err)
	}
	mustClose(t, again)
}

// goesOn waits until the store takes a blob again, or has failed: Pebble may still meet what is left of the fault.
func goesOn(t *testing.T, e *Engine, l *ledger) {
	t.Helper()
	var err error
	for range 1000 {
		e.space.full.Store(0) // else blobs are refused for a second
		if err = l.store(t.Context(), e); err == nil || errors.Is(err, ErrFailed) {
			return
		}
		sleepABit(t)
	}
	t.Errorf("the store does not go on: %v", err)
}

func testRNG(seed int) *rand.Rand { return rand.New(rand.NewPCG(uint64(seed), 5)) }
