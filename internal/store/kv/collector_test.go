package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// mustCollect runs the collector until there is nothing more for it to do.
func mustCollect(t *testing.T, e *Engine) (total collected) {
	t.Helper()
	e.collector.grace = 0
	for range 10 {
		done, err := e.collector.collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		total.segments += done.segments
		total.blobs += done.blobs
		total.octets += done.octets
		if done.segments+done.blobs == 0 && !done.renewed {
			return total
		}
	}
	t.Error("the collector finds more to do after every run")
	return total
}

// remove removes number n with its blob, and notes it when that is acknowledged.
func (l *ledger) remove(ctx context.Context, db DB, n int) error {
	l.mu.Lock()
	id, ok := l.acked[n]
	delete(l.acked, n) // from now on it may be there or not
	l.mu.Unlock()
	if !ok {
		return nil
	}
	return db.Update(ctx, func(tx Tx) error {
		tx.Delete(ledgerKey(n))
		tx.Unlink(id, ledgerKey(n))
		return nil
	})
}

// fill stores n numbers.
func (l *ledger) fill(t *testing.T, e *Engine, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range n / 4 {
				if err := l.store(t.Context(), e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// thin removes all numbers but those that are a multiple of keep.
func (l *ledger) thin(t *testing.T, e *Engine, keep int) {
	t.Helper()
	for n := range l.copy() {
		if n%keep != 0 {
			if err := l.remove(t.Context(), e, n); err != nil {
				t.Error(err)
			}
		}
	}
}

func movedRows(t *testing.T, e *Engine) (n int) {
	t.Helper()
	err := e.View(t.Context(), func(r Reader) error {
		for _, err := range r.Scan(movedPrefix, PrefixEnd(movedPrefix)) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return n
}

func segmentsOf(t *testing.T, e *Engine) []uint32 {
	t.Helper()
	numbers, err := listSegments(e.fs, e.blobDir)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.catalog.count(); got != len(numbers) {
		t.Errorf("the catalog has %d segments, the disk %d", got, len(numbers))
	}
	return numbers
}

// TestCollect: the room of what was removed comes back, all else stays, also under its name of old after a second move and a
// restart.
func TestCollect(t *testing.T) {
	fs := vfs.NewMem()
	e := openOn(t, fs)
	l := newLedger()
	l.fill(t, e, 200)
	before := len(segmentsOf(t, e))
	if done := mustCollect(t, e); done != (collected{}) {
		t.Errorf("with nothing removed the collector did %+v", done)
	}
	for _, keep := range []int{7, 21} {
		l.thin(t, e, keep)
		if done := mustCollect(t, e); done.segments == 0 || done.blobs == 0 {
			t.Errorf("keeping one in %d: %+v", keep, done)
		}
		if s := e.Stats(); s.Live == 0 || s.Dead < 0 || s.Moved == 0 || s.Reclaimed == 0 || s.Files == 0 {
			t.Errorf("stats: %+v", s)
		}
		mustClose(t, e)
		e = openOn(t, fs)
		check(t, e, l.copy())
		l.fill(t, e, 8)
	}
	if after := len(segmentsOf(t, e)); after > before/2 {
		t.Errorf("%d segments of %d are left for %d blobs", after, before, len(l.copy()))
	}
	if movedRows(t, e) == 0 {
		t.Error("nothing was moved")
	}
	l.thin(t, e, 1<<30)
	l.fill(t, e, 4)
	mustCollect(t, e)
	check(t, e, l.copy())
	if n := movedRows(t, e); n > len(l.copy()) {
		t.Errorf("%d moved rows are left for %d blobs", n, len(l.copy()))
	}
	mustClose(t, e)
}

// TestCollectSinceOpen: segments that were begun and filled since Open are collected as well, but never the last one, whose
// number would be used again.
func TestCollectSinceOpen(t *testing.T) {
	fs := vfs.NewMem()
	e := openOn(t, fs)
	l := newLedger()
	l.fill(t, e, 200)
	l.thin(t, e, 1<<30)
	mustCollect(t, e)
	highest := e.appender.next - 1
	if n := segmentsOf(t, e); len(n) != 1 || n[0] != highest {
		t.Errorf("segments %d are left, want %d", n, highest)
	}
	mustClose(t, e)
	e = openOn(t, fs)
	mustCollect(t, e)
	if n := segmentsOf(t, e); len(n) != 1 || n[0] != highest {
		t.Errorf("after a restart segments %d are left, want %d", n, highest)
	}
	l.fill(t, e, 4)
	check(t, e, l.copy())
	mustClose(t, e)
}

// TestFlight: a finished blob is not collected before its first link, unless that takes too long; its link then fails.
func TestFlight(t *testing.T) {
	e := openOn(t, vfs.NewMem())
	defer mustClose(t, e)
	l := newLedger()
	body := bytes.Repeat([]byte("flight"), 50_000)
	first, second := mustStore(t, e, body), mustStore(t, e, []byte("small"))
	l.fill(t, e, 200)
	l.thin(t, e, 50)
	mustCollect(t, e)
	wantBody(t, e, first, body)
	link := func(id BlobID) error {
		return e.Update(t.Context(), func(tx Tx) error { tx.Link(id, []byte("x")); return nil })
	}
	if err := link(first); err != nil {
		t.Errorf("linking while it is under way: %v", err)
	}
	e.flights.expire(time.Now().Add(time.Second))
	mustCollect(t, e)
	wantBody(t, e, first, body)
	if err := link(second); !errors.Is(err, ErrNotFound) {
		t.Errorf("linking too late: %v, want ErrNotFound", err)
	}
	if _, err := e.OpenBlob(t.Context(), second); !errors.Is(err, ErrNotFound) {
		t.Errorf("opening what was collected: %v, want ErrNotFound", err)
	}
	if err := link(first); err != nil {
		t.Errorf("linking again: %v", err)
	}
}

// TestFlightsBounded: the oldest blob that waits for its first link gives way.
func TestFlightsBounded(t *testing.T) {
	e := openOn(t, vfs.NewMem())
	defer mustClose(t, e)
	e.flights.max = 3
	var ids []BlobID
	for n := range 5 {
		ids = append(ids, mustStore(t, e, ledgerBody(n)))
	}
	for n, id := range ids {
		if got := e.flights.has(id); got != (n >= 2) {
			t.Errorf("blob %d under way: %v", n, got)
		}
	}
}

// TestDiscard: what a writer gave up is garbage at once.
func TestDiscard(t *testing.T) {
	e := openOn(t, vfs.NewMem())
	defer mustClose(t, e)
	w, err := e.CreateBlob(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 3<<20)); err != nil {
		t.Fatal(err)
	}
	mustCollect(t, e)
	if n := len(segmentsOf(t, e)); n < 3 {
		t.Errorf("%d segments while a blob of three is being written", n)
	}
	w.Discard()
	mustCollect(t, e)
	if n := len(segmentsOf(t, e)); n != 1 {
		t.Errorf("%d segments are left", n)
	}
}

// TestReadersKeepSegments: a large blob that is open can be read to its end, whatever happens to it.
func TestReadersKeepSegments(t *testing.T) {
	e := openOn(t, vfs.NewMem())
	defer mustClose(t, e)
	l := newLedger()
	l.next = 3 // the next body is in parts
	l.fill(t, e, 40)
	b, err := e.OpenBlob(t.Context(), l.copy()[4])
	if err != nil {
		t.Fatal(err)
	}
	l.thin(t, e, 1<<30)
	mustCollect(t, e)
	var got bytes.Buffer
	if _, err := b.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), ledgerBody(4)) {
		t.Errorf("reading what was removed meanwhile: %v", err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	mustCollect(t, e)
	if n := len(segmentsOf(t, e)); n != 1 {
		t.Errorf("%d segments are left after the reader has gone", n)
	}
}

// TestHoldKeepsSegments: while somebody holds, the collector removes nothing, and makes no copies beside what it cannot remove.
func TestHoldKeepsSegments(t *testing.T) {
	e := openOn(t, vfs.NewMem())
	defer mustClose(t, e)
	l := newLedger()
	l.fill(t, e, 200)
	l.thin(t, e, 10)
	before := len(segmentsOf(t, e))
	release := e.Hold()
	done := mustCollect(t, e)
	if after := len(segmentsOf(t, e)); done != (collected{}) || after != before || e.Stats().Moved != 0 {
		t.Errorf("with a hold the collector did %+v: %d segments became %d", done, before, after)
	}
	release()
	if done := mustCollect(t, e); done.segments == 0 {
		t.Error("after the hold nothing was removed")
	}
	check(t, e, l.copy())
}

// TestLateLink: a transaction that began before the collector's snapshot links a blob that nothing links in it.
func TestLateLink(t *testing.T) {
	for _, size := range []int{100, 300_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			e := openOn(t, vfs.NewMem())
			defer mustClose(t, e)
			body := make([]byte, size)
			id := mustStore(t, e, body)
			link := func(tx Tx, owner string) { tx.Link(id, []byte(owner)) }
			update := func(f func(Tx)) error {
				return e.Update(t.Context(), func(tx Tx) error { f(tx); return nil })
			}
			if err := update(func(tx Tx) { link(tx, "a") }); err != nil {
				t.Fatal(err)
			}
			newLedger().fill(t, e, 80) // so that its segment is not the last
			begun, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error)
			go func() {
				ended <- update(func(tx Tx) {
					begun <- struct{}{}
					<-goOn
					link(tx, "b")
				})
			}()
			<-begun
			if err := update(func(tx Tx) { tx.Unlink(id, []byte("a")) }); err != nil {
				t.Fatal(err)
			}
			e.collector.grace = 0
			collected := make(chan error)
			go func() { _, err := e.collector.collect(t.Context()); collected <- err }()
			for watching := false; !watching; sleepABit(t) {
				e.commitMu.Lock()
				watching = e.collector.late.watching
				e.commitMu.Unlock()
			}
			close(goOn)
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if err := <-collected; err != nil {
				t.Error(err)
			}
			mustCollect(t, e)
			wantBody(t, e, id, body)
		})
	}
}

// TestSpoiled: a blob that cannot be read keeps its segment; the others move all the same.
func TestSpoiled(t *testing.T) {
	dir := t.TempDir()
	e, err := open(t.Context(), Options{Dir: dir, Log: testLog(t)}, settings{fs: vfs.Default, segmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, e)
	l := newLedger()
	l.fill(t, e, 100)
	l.thin(t, e, 10)
	var spoiled int
	for n, id := range l.copy() {
		if at := id.position(); at.segment == 1 && !id.isIndex() {
			harm(t, e.fs.PathJoin(e.blobDir, segmentName(1)), int64(at.offset)+headerSize)
			spoiled = n
		}
		if spoiled != 0 {
			break
		}
	}
	mustCollect(t, e)
	acked := l.copy()
	id := acked[spoiled]
	if _, err := e.OpenBlob(t.Context(), id); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the harmed blob: %v, want ErrCorrupt", err)
	}
	for n, id := range acked {
		if n != spoiled {
			checkBlob(t, e, n, id)
		}
	}
	if numbers := segmentsOf(t, e); numbers[0] != 1 && len(numbers) > 3 {
		t.Errorf("segments %d are left", numbers)
	}
}

// TestCollectUnderLoad collects all the time while others store, remove, link again and read.
func TestCollectUnderLoad(t *testing.T) {
	mem := vfs.NewCrashableMem()
	e := openOn(t, mem)
	e.collector.grace = 0
	l := newLedger()
	ctx, stop := context.WithCancel(t.Context())
	var collecting, working sync.WaitGroup
	collecting.Go(func() {
		for ctx.Err() == nil {
			if _, err := e.collector.collect(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for w := range uint64(4) {
		working.Go(func() {
			rng := rand.New(rand.NewPCG(w, 1))
			for range 40 {
				loadStep(t, e, l, rng)
			}
		})
	}
	working.Wait()
	acked := l.copy()
	checkAfterCut(t, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(1, 2))}), acked)
	stop()
	collecting.Wait()
	check(t, e, acked)
	mustCollect(t, e)
	check(t, e, acked)
	if e.collector.removed.Load() == 0 {
		t.Error("nothing was collected")
	}
	mustClose(t, e)
}

// loadStep stores a number, and now and then removes or copies one.
func loadStep(t *testing.T, e *Engine, l *ledger, rng *rand.Rand) {
	if err := l.store(t.Context(), e); err != nil {
		t.Error(err)
	}
	for n, id := range l.copy() {
		switch rng.IntN(5) {
		case 0, 1, 2:
			if err := l.remove(t.Context(), e, n); err != nil {
				t.Error(err)
			}
		case 3:
			// Another may remove it at the same time.
			if _, err := e.OpenBlob(t.Context(), id); err != nil && !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		default:
			if err := l.rename(t.Context(), e, n); err != nil {
				t.Error(err)
			}
		}
		break
	}
}

// rename gives the blob of number n a new owner for the old one, in one transaction.
func (l *ledger) rename(ctx context.Context, db DB, n int) error {
	return db.Update(ctx, func(tx Tx) error {
		row, err := tx.Get(ledgerKey(n))
		if errors.Is(err, ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		tx.Unlink(BlobID(row), ledgerKey(n))
		tx.Link(BlobID(row), ledgerKey(n))
		return nil
	})
}

func TestPace(t *testing.T) {
	p := pace{rate: 1 << 20}
	began := time.Now()
	for range 5 {
		if err := p.wait(t.Context(), 10<<10); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 35*time.Millisecond {
		t.Errorf("50 KiB at 1 MiB/s took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// TestMovesAreNotedAsTheyGo: large blobs are noted a few at a time as well, so that little is copied twice after a kill, and
// no transaction is great.
func TestMovesAreNotedAsTheyGo(t *testing.T) {
	e := openOn(t, vfs.NewMem())
	defer mustClose(t, e)
	body := make([]byte, 200_000)
	for n := range 150 { // two of three become garbage
		id, owner := mustStore(t, e, body), ledgerKey(n)
		update(t, e, func(tx Tx) { tx.Link(id, owner) })
		if n%3 != 0 {
			update(t, e, func(tx Tx) { tx.Unlink(id, owner) })
		}
	}
	before := e.Stats().Commits
	mustCollect(t, e)
	moved, commits := e.Stats().Moved, e.Stats().Commits-before
	if moved < evacuateGroup || commits < moved/(2*evacuateGroup) {
		t.Errorf("%d octets were moved with %d transactions", moved, commits)
	}
}

func update(t *testing.T, e *Engine, f func(Tx)) {
	t.Helper()
	if err := e.Update(t.Context(), func(tx Tx) error { f(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestSpoiledPart: of a large blob with a part that cannot be read all other parts stay.
func TestSpoiledPart(t *testing.T) {
	dir := t.TempDir()
	e, err := open(t.Context(), Options{Dir: dir, Log: testLog(t)}, settings{fs: vfs.Default, segmentSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, e)
	w, err := e.CreateBlob(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 8 { // each part among garbage
		if _, err := w.Write(make([]byte, maxChunk)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			mustStore(t, e, make([]byte, maxChunk))
		}
	}
	id, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	update(t, e, func(tx Tx) { tx.Link(id, []byte("x")) })
	parts, err := e.readIndex(id, place{at: id.position()})
	if err != nil {
		t.Fatal(err)
	}
	const bad = 2
	harm(t, e.fs.PathJoin(e.blobDir, segmentName(parts[bad].at.segment)), int64(parts[bad].at.offset)+headerSize)
	e.flights.expire(time.Now().Add(time.Second))
	before := len(segmentsOf(t, e))
	mustCollect(t, e)
	if after := len(segmentsOf(t, e)); after > before {
		t.Errorf("%d segments became %d", before, after)
	}
	for i, p := range parts {
		if err := e.readPart(p, make([]byte, p.length)); (i == bad) != errors.Is(err, ErrCorrupt) {
			t.Errorf("part %d: %v", i, err)
		}
	}
}

// TestCollectOnFullDisk: the collector makes no copies for which there is no room, but removes what is dead, and goes on when
// there is room.
func TestCollectOnFullDisk(t *testing.T) {
	fs := &faultFS{FS: vfs.NewMem(), fault: noFault, free: -1}
	e := openOn(t, fs)
	defer mustClose(t, e)
	l := newLedger()
	l.fill(t, e, 200)
	l.thin(t, e, 10)
	fs.setFree(blobsReserve)
	e.collector.grace = 0
	done, err := e.collector.collect(t.Context())
	if err != nil || done.blobs != 0 || !done.more {
		t.Errorf("without room: %+v, %v", done, err)
	}
	fs.setFree(blobsReserve + 64<<20)
	if done := mustCollect(t, e); done.blobs == 0 || done.segments == 0 {
		t.Errorf("with room: %+v", done)
	}
	check(t, e, l.copy())
}

// TestNewestSegment: a small server never fills a segment, and gets the room of what was removed from it all the same; but for
// little garbage not more than once a day.
func TestNewestSegment(t *testing.T) {
	fs := vfs.NewMem()
	e := openOn(t, fs)
	newest := func() uint32 {
		numbers := segmentsOf(t, e)
		if len(numbers) != 1 {
			t.Fatalf("segments %d, want one", numbers)
		}
		return numbers[0]
	}
	litter := func(times int) {
		for range times {
			id, owner := mustStore(t, e, make([]byte, 60_000)), []byte("litter")
			update(t, e, func(tx Tx) { tx.Link(id, owner) })
			update(t, e, func(tx Tx) { tx.Unlink(id, owner) })
		}
	}
	body := bytes.Repeat([]byte("kept"), 3000)
	id := mustStore(t, e, body)
	update(t, e, func(tx Tx) { tx.Link(id, []byte("x")) })
	for i, step := range []struct {
		litter int
		later  time.Duration
		ends   bool
	}{{12, 0, true}, {2, 0, false}, {0, collectDaily, true}, {0, collectDaily, false}} {
		before := newest()
		litter(step.litter)
		e.collector.renewed = e.collector.renewed.Add(-step.later)
		mustCollect(t, e)
		if after := newest(); (after > before) != step.ends {
			t.Errorf("step %d: segment %d became %d", i, before, after)
		}
		wantBody(t, e, id, body)
	}
	mustClose(t, e)
	e = openOn(t, fs)
	mustCollect(t, e)
	wantBody(t, e, id, body)
	mustClose(t, e)
}
