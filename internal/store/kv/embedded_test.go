package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"candor/internal/mail"
)

func mustStore(t *testing.T, e *Engine, body []byte) BlobID {
	t.Helper()
	w, err := e.CreateBlob(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	id, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func mustClose(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// slowSync is a disk whose syncs of files with a suffix wait until they are let go.
type slowSync struct {
	begun chan struct{}
	free  chan struct{}
}

func (s slowSync) fault(suffix string) func(op, name string) error {
	return func(op, name string) error {
		if op == "sync" && strings.HasSuffix(name, suffix) {
			select {
			case s.begun <- struct{}{}:
			default:
			}
			<-s.free
		}
		return nil
	}
}

// TestViewWaitsForDurability: what a View saw is durable when it returns, also when it is an error
// that f made of what it saw.
func TestViewWaitsForDurability(t *testing.T) {
	fs := &faultFS{FS: vfs.NewMem(), fault: noFault, free: -1}
	e := openOn(t, fs)
	defer mustClose(t, e)
	slow := slowSync{make(chan struct{}, 1), make(chan struct{})}
	fs.fault = slow.fault(".log")
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := e.Update(t.Context(), func(tx Tx) error { tx.Set([]byte("a"), nil); return nil }); err != nil {
			t.Error(err)
		}
	})
	<-slow.begun
	mine := errors.New("mine")
	saw, returned := make(chan error, 3), make(chan error, 3)
	look := func(r Reader) error {
		_, err := r.Get([]byte("a"))
		saw <- err
		return mine
	}
	wg.Go(func() { returned <- e.View(t.Context(), look) })
	wg.Go(func() { returned <- e.Update(t.Context(), func(tx Tx) error { return look(tx) }) })
	for range 2 {
		if err := <-saw; err != nil {
			t.Errorf("the commit was not visible: %v", err)
		}
	}
	select {
	case <-returned:
		t.Error("a function returned before what it saw was durable")
	default:
	}
	close(slow.free)
	for range 2 {
		if err := <-returned; !errors.Is(err, mine) {
			t.Errorf("got %v, want the function's error", err)
		}
	}
	wg.Wait()
}

// TestSharedSync: transactions that come while a sync is under way share the next one.
func TestSharedSync(t *testing.T) {
	fs := &faultFS{FS: vfs.NewMem(), fault: noFault, free: -1}
	e := openOn(t, fs)
	defer mustClose(t, e)
	slow := slowSync{make(chan struct{}, 100), make(chan struct{})}
	fs.fault = slow.fault(".log")
	var wg sync.WaitGroup
	put := func(n int) {
		wg.Go(func() {
			if err := e.Update(t.Context(), func(tx Tx) error { tx.Set(ledgerKey(n), nil); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	put(0)
	<-slow.begun
	before := e.applied.Load()
	for n := 1; n <= 20; n++ {
		put(n)
	}
	for e.applied.Load() < before+20 {
		sleepABit(t)
	}
	close(slow.free)
	wg.Wait()
	if n := 1 + len(slow.begun); n > 4 {
		t.Errorf("21 transactions took %d syncs", n)
	}
}

func sleepABit(t *testing.T) {
	if err := sleep(t.Context(), 1e6); err != nil {
		t.Fatal(err)
	}
}

// TestDamage flips a bit in one of three blobs. The store opens, says so, and has the others.
func TestDamage(t *testing.T) {
	for _, where := range []string{"header", "body"} {
		dir := t.TempDir()
		e, err := Open(t.Context(), Options{Dir: dir, Log: testLog(t)})
		if err != nil {
			t.Fatal(err)
		}
		var ids []BlobID
		bodies := [][]byte{[]byte("first"), bytes.Repeat([]byte("second"), 50000), []byte("third")}
		for _, body := range bodies {
			ids = append(ids, mustStore(t, e, body))
		}
		offset := int64(headSize + 5)
		if where == "body" {
			offset = headSize + headerSize + 2
		}
		mustClose(t, e)
		path := filepath.Join(dir, "blobs", segmentName(1))
		harm(t, path, offset)
		harm(t, path, 33) // the seal, so that the segment is read through
		if e, err = Open(t.Context(), Options{Dir: dir, Log: testLog(t)}); err != nil {
			t.Fatal(err)
		}
		if got, want := e.Stats().Damaged, uint64(align(headerSize+5)); got != want {
			t.Errorf("%s: %d octets damaged, want %d", where, got, want)
		}
		if _, err := e.OpenBlob(t.Context(), ids[0]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: the damaged blob gave %v, want ErrCorrupt", where, err)
		}
		for i := 1; i < 3; i++ {
			wantBody(t, e, ids[i], bodies[i])
		}
		mustClose(t, e)
	}
}

// TestDamagedPart: a large blob is read up to the part that is damaged.
func TestDamagedPart(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(t.Context(), Options{Dir: dir, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, e)
	body := bytes.Repeat([]byte("0123456789"), 20000)
	id := mustStore(t, e, body)
	harm(t, filepath.Join(dir, "blobs", segmentName(1)), headSize+2*headerSize+maxChunk+100)
	b, err := e.OpenBlob(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if n, err := b.WriteTo(&got); !errors.Is(err, ErrCorrupt) || n != maxChunk || !bytes.Equal(got.Bytes(), body[:maxChunk]) {
		t.Errorf("WriteTo gave %d octets, %v; want the %d of the first part and ErrCorrupt", n, err, maxChunk)
	}
	if n, err := b.ReadAt(make([]byte, 10), 100); n != 10 || err != nil {
		t.Errorf("ReadAt in a whole part: %d, %v", n, err)
	}
	if _, err := b.ReadAt(make([]byte, 10), maxChunk+50); !errors.Is(err, ErrCorrupt) {
		t.Errorf("ReadAt in the damaged part: %v", err)
	}
}

func harm(t *testing.T, path string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
}

func wantBody(t *testing.T, e *Engine, id BlobID, want []byte) {
	t.Helper()
	b, err := e.OpenBlob(t.Context(), id)
	if err != nil {
		t.Errorf("blob of %d octets: %v", len(want), err)
		return
	}
	defer b.Close()
	var got bytes.Buffer
	if _, err := b.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("blob of %d octets: got %d octets, %v", len(want), got.Len(), err)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("opening twice in one process: %v, want ErrLocked", err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDir+"="+dir, crashFirst+"=1")
	if out, err := child.CombinedOutput(); err == nil || !strings.Contains(string(out), ErrLocked.Error()) {
		t.Errorf("opening in another process: %v, %s", err, out)
	}
	mustClose(t, e)
	if e, err = Open(t.Context(), Options{Dir: dir}); err != nil {
		t.Fatalf("opening after Close: %v", err)
	}
	mustClose(t, e)
}

func TestFormat(t *testing.T) {
	fs := vfs.NewMem()
	e := openOn(t, fs)
	row := binary.LittleEndian.AppendUint32(nil, formatOfKeys+1)
	err := e.Update(t.Context(), func(tx Tx) error { tx.Set(formatKey, append(row, make([]byte, 8)...)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, e)
	for range 2 { // the refusal gives the lock back
		_, err = open(t.Context(), Options{Dir: "store", Log: testLog(t)}, settings{fs: fs, segmentSize: segmentSize})
		if err == nil || !strings.Contains(err.Error(), "run the newer one") {
			t.Errorf("a newer store: %v", err)
		}
	}
}

// TestNoBuffers writes while the memory for buffers is used up.
func TestNoBuffers(t *testing.T) {
	e := openOn(t, vfs.NewMem())
	defer mustClose(t, e)
	for _, left := range []int64{0, firstBuffer, 4 * firstBuffer, maxChunk, 2 * maxChunk} {
		e.buffers.set(left)
		for _, size := range []int{0, 100, 8192, 8193, 40000, 300000} {
			for _, step := range []int{700, 9000, 400000} {
				body := bytes.Repeat([]byte{byte(size), byte(step), byte(left >> 10)}, size/3)
				wantBody(t, e, inSteps(t, e, body, step), body)
				if got := e.Stats().Buffered; got != 0 {
					t.Fatalf("%d octets in steps of %d: %d of %d are not given back", size, step, got, left)
				}
			}
		}
	}
}

func inSteps(t *testing.T, e *Engine, body []byte, step int) BlobID {
	t.Helper()
	w, err := e.CreateBlob(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for piece := range slices.Chunk(body, step) {
		if n, err := w.Write(piece); n != len(piece) || err != nil {
			t.Fatalf("Write of %d: %d, %v", len(piece), n, err)
		}
	}
	id, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestManySegments reads more segments than are kept open.
func TestManySegments(t *testing.T) {
	e := openOn(t, vfs.NewMem())
	defer mustClose(t, e)
	e.segments.max = 2
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			body := bytes.Repeat(fmt.Appendf(nil, "%d", n), 400<<10)
			id := mustStore(t, e, body)
			for range 3 {
				wantBody(t, e, id, body)
			}
		})
	}
	wg.Wait()
	if n := e.Stats().Segments; n < 5 {
		t.Errorf("%d segments, want many", n)
	}
	if n := e.segments.used.Len(); n != 2 {
		t.Errorf("%d segments are kept open, want 2", n)
	}
}

func TestHistory(t *testing.T) {
	commitOf := func(number uint64, keys ...string) *commit {
		c := &commit{number: number}
		for _, k := range keys {
			c.footprint.keys = append(c.footprint.keys, []byte(k))
		}
		return c
	}
	readerOf := func(begin uint64, key string) *tx {
		t := &tx{begin: begin}
		t.reads.addKey([]byte(key))
		return t
	}
	var h history
	h.add(commitOf(1, "a", "c"))
	h.add(commitOf(2, "b"))
	allows := func(begin uint64, key string, want bool) {
		t.Helper()
		if got := h.allows(readerOf(begin, key)); got != want {
			t.Errorf("a reader of %s that began after %d: %v, want %v", key, begin, got, want)
		}
	}
	allows(0, "a", false)
	allows(1, "a", true)
	allows(1, "b", false)
	allows(0, "d", true)
	h.prune(1)
	if len(h.commits) != 1 || h.keys != 1 {
		t.Errorf("after pruning: %d commits with %d keys", len(h.commits), h.keys)
	}
	allows(1, "b", false)
	allows(0, "d", false) // commit 1 is forgotten, so nobody knows
	big := commitOf(3)
	big.footprint.keys = make([][]byte, maxHistory+1)
	h.add(big)
	h.prune(1)
	allows(1, "d", false)
	allows(3, "d", true)
	if h.keys != 0 {
		t.Errorf("%d keys remembered, want none: they are too many", h.keys)
	}
}

func TestFullErrorForStrangers(t *testing.T) {
	e := mail.AsError(errFull())
	if e.Kind != mail.Unavailable || e.Status.String() != "4.3.1" || !errors.Is(e, ErrFull) {
		t.Errorf("got %v %v %v", e.Kind, e.Status, e)
	}
}

// TestTooBig: a transaction that writes too much does nothing, and says so to strangers as well.
func TestTooBig(t *testing.T) {
	e, err := Open(t.Context(), Options{Dir: t.TempDir(), Log: testLog(t), MaxTx: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, e)
	set := func(size int) error {
		return e.Update(t.Context(), func(tx Tx) error { tx.Set([]byte("a"), make([]byte, size)); return nil })
	}
	if err := set(1000); !errors.Is(err, ErrTooBig) || !mail.IsKind(err, mail.TooMany) {
		t.Errorf("got %v, want ErrTooBig of kind too-many", err)
	}
	if err := set(999); err != nil {
		t.Error(err)
	}
}

// TestNoLeaks: Close ends every goroutine.
func TestNoLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	e := openOn(t, vfs.NewMem())
	mustStore(t, e, make([]byte, 300000))
	mustClose(t, e)
	goleak.VerifyNone(t, before)
}
