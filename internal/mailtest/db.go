package mailtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"candor/internal/store/kv"
)

// TestDB is the contract of kv.DB. open opens the store in dir, new or with what was left there.
func TestDB(t *testing.T, open func(t *testing.T, dir string) kv.DB) {
	for _, c := range dbCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d := &dbTest{T: t, dir: dir, open: open, DB: open(t, dir)}
			defer func() { d.must(d.Close()) }()
			c.test(d)
		})
	}
}

// dbTest is a store under test.
type dbTest struct {
	*testing.T
	kv.DB
	dir  string
	open func(t *testing.T, dir string) kv.DB
}

var dbCases = []struct {
	name string
	test func(*dbTest)
}{
	{"set and get", testSetGet},
	{"own writes", testOwnWrites},
	{"abandoned", testAbandoned},
	{"snapshot", testSnapshot},
	{"update isolation", testUpdateIsolation},
	{"write skew by keys", testSkewKeys},
	{"write skew by absent keys", testSkewAbsent},
	{"write skew by ranges", testSkewRanges},
	{"write skew by ranges, falling", testSkewFalling},
	{"range deletion conflicts", testRangeDeletionConflicts},
	{"no conflict beyond a scan's end", testScanEnd},
	{"lost updates", testLostUpdates},
	{"endless conflict", testEndlessConflict},
	{"long among short", testLongAmongShort},
	{"scan", testScan},
	{"scan against a model", testScanModel},
	{"delete range", testDeleteRange},
	{"empty blob", testEmptyBlob},
	{"blobs of many sizes", testBlobSizes},
	{"blobs written together", testBlobsTogether},
	{"discarded blob", testDiscard},
	{"blob that does not exist", testNoBlob},
	{"reading a blob", testReadBlob},
	{"links", testLinks},
	{"reopened", testReopened},
	{"cancelled", testCancelled},
	{"closed", testClosed},
}

// must ends the test on an error.
func (d *dbTest) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// reopen closes the store and opens it again.
func (d *dbTest) reopen() {
	d.Helper()
	d.must(d.Close())
	d.DB = d.open(d.T, d.dir)
}

func (d *dbTest) update(f func(kv.Tx) error) {
	d.Helper()
	d.must(d.Update(d.Context(), f))
}

// set stores pairs "key=value".
func (d *dbTest) set(pairs ...string) {
	d.Helper()
	d.update(func(tx kv.Tx) error {
		for _, pair := range pairs {
			key, value, _ := strings.Cut(pair, "=")
			tx.Set([]byte(key), []byte(value))
		}
		return nil
	})
}

// value returns what is stored under key, "-" for nothing.
func (d *dbTest) value(r kv.Reader, key string) string {
	d.Helper()
	value, err := r.Get([]byte(key))
	if errors.Is(err, kv.ErrNotFound) {
		return "-"
	}
	d.must(err)
	return string(value)
}

func (d *dbTest) view(f func(kv.Reader)) {
	d.Helper()
	d.must(d.View(d.Context(), func(r kv.Reader) error {
		f(r)
		return nil
	}))
}

func (d *dbTest) wantValue(key, want string) {
	d.Helper()
	d.view(func(r kv.Reader) {
		if got := d.value(r, key); got != want {
			d.Errorf("%s is %q, want %q", key, got, want)
		}
	})
}

func testSetGet(d *dbTest) {
	d.set("a=1", "b=", "c=3")
	d.set("a=2")
	d.update(func(tx kv.Tx) error {
		tx.Delete([]byte("c"))
		tx.Delete([]byte("never there"))
		return nil
	})
	for key, want := range map[string]string{"a": "2", "b": "", "c": "-", "d": "-"} {
		d.wantValue(key, want)
	}
}

func testOwnWrites(d *dbTest) {
	d.set("a=old", "b=old")
	d.update(func(tx kv.Tx) error {
		tx.Set([]byte("a"), []byte("new"))
		tx.Set([]byte("c"), []byte("new"))
		tx.Delete([]byte("b"))
		for key, want := range map[string]string{"a": "new", "b": "-", "c": "new"} {
			if got := d.value(tx, key); got != want {
				d.Errorf("in the transaction %s is %q, want %q", key, got, want)
			}
		}
		tx.Set([]byte("b"), []byte("again"))
		if got := d.value(tx, "b"); got != "again" {
			d.Errorf("b is %q after being set again", got)
		}
		return nil
	})
	d.wantValue("b", "again")
}

func testAbandoned(d *dbTest) {
	d.set("a=1")
	mine := errors.New("mine")
	err := d.Update(d.Context(), func(tx kv.Tx) error {
		tx.Set([]byte("a"), []byte("2"))
		return mine
	})
	if !errors.Is(err, mine) {
		d.Errorf("Update returned %v, want the function's error", err)
	}
	d.wantValue("a", "1")
	if err := d.View(d.Context(), func(kv.Reader) error { return mine }); !errors.Is(err, mine) {
		d.Errorf("View returned %v, want the function's error", err)
	}
}

func testSnapshot(d *dbTest) {
	d.set("a=1", "b=1")
	d.view(func(r kv.Reader) {
		before := d.value(r, "a")
		d.set("a=2", "b=2", "c=2")
		got := before + d.value(r, "a") + d.value(r, "b") + d.value(r, "c") + d.keys(r.Scan(nil, nil))
		if want := "111-a=1 b=1"; got != want {
			d.Errorf("the view saw %q, want %q", got, want)
		}
	})
	d.wantValue("a", "2")
}

func testUpdateIsolation(d *dbTest) {
	d.set("a=1", "b=1")
	runs := 0
	d.update(func(tx kv.Tx) error {
		runs++
		a := d.value(tx, "a")
		if runs == 1 {
			d.set("a=2", "b=2")
		}
		if b := d.value(tx, "b"); a != b {
			d.Errorf("run %d saw a=%s and b=%s", runs, a, b)
		}
		tx.Set([]byte("sum"), []byte(a))
		return nil
	})
	if runs != 2 {
		d.Errorf("the function ran %d times, want 2", runs)
	}
	d.wantValue("sum", "2")
}

// skew runs f, in whose first run another transaction commits; f must be run again.
func (d *dbTest) skew(other, f func(kv.Tx) error) {
	d.Helper()
	runs := 0
	d.update(func(tx kv.Tx) error {
		runs++
		if err := f(tx); err != nil {
			return err
		}
		if runs == 1 {
			d.update(other)
		}
		return nil
	})
	if runs != 2 {
		d.Errorf("the function ran %d times, want 2: what it read had changed", runs)
	}
}

func testSkewKeys(d *dbTest) {
	d.set("x=1", "y=1")
	ifThenZero := func(read, write string) func(kv.Tx) error {
		return func(tx kv.Tx) error {
			if d.value(tx, read) == "1" {
				tx.Set([]byte(write), []byte("0"))
			}
			return nil
		}
	}
	d.skew(ifThenZero("x", "y"), ifThenZero("y", "x"))
	d.wantValue("x", "1")
	d.wantValue("y", "0")
}

func testSkewAbsent(d *dbTest) {
	claim := func(read, write string) func(kv.Tx) error {
		return func(tx kv.Tx) error {
			if d.value(tx, read) == "-" {
				tx.Set([]byte(write), nil)
			}
			return nil
		}
	}
	d.skew(claim("one", "two"), claim("two", "one"))
	d.wantValue("one", "-")
	d.wantValue("two", "")
}

// count sets key to the number of keys that scan sees.
func count(key string, scan func(kv.Tx) func(func(kv.Pair, error) bool)) func(kv.Tx) error {
	return func(tx kv.Tx) error {
		n := 0
		for _, err := range scan(tx) {
			if err != nil {
				return err
			}
			n++
		}
		tx.Set([]byte(key), fmt.Append(nil, n))
		return nil
	}
}

func testSkewRanges(d *dbTest) {
	d.set("r1=", "r2=")
	scan := func(tx kv.Tx) func(func(kv.Pair, error) bool) { return tx.Scan([]byte("r"), []byte("s")) }
	d.skew(count("r3", scan), count("r4", scan))
	d.wantValue("r3", "2")
	d.wantValue("r4", "3")
}

func testSkewFalling(d *dbTest) {
	d.set("r5=")
	scan := func(tx kv.Tx) func(func(kv.Pair, error) bool) { return tx.ScanBack([]byte("r"), nil) }
	d.skew(count("r3", scan), count("r4", scan))
	d.wantValue("r3", "1")
	d.wantValue("r4", "2")
}

func testRangeDeletionConflicts(d *dbTest) {
	d.set("r1=1", "r2=2")
	remove := func(tx kv.Tx) error {
		tx.DeleteRange([]byte("r"), []byte("s"))
		return nil
	}
	d.skew(remove, func(tx kv.Tx) error {
		tx.Set([]byte("seen"), []byte(d.value(tx, "r2")))
		return nil
	})
	d.wantValue("seen", "-")
	d.set("r1=1", "r2=2")
	d.skew(remove, count("seen", func(tx kv.Tx) func(func(kv.Pair, error) bool) { return tx.Scan([]byte("l"), []byte("r2")) }))
	d.wantValue("seen", "0")
}

// testScanEnd: a scan that was broken off has not read what lies behind.
func testScanEnd(d *dbTest) {
	d.set("r1=", "r2=", "r3=")
	runs := 0
	d.update(func(tx kv.Tx) error {
		runs++
		for range tx.Scan([]byte("r"), nil) {
			break
		}
		if runs == 1 {
			d.set("r2=changed", "r1a=new")
		}
		tx.Set([]byte("x"), nil)
		return nil
	})
	if runs != 1 {
		d.Errorf("the function ran %d times, want 1: it did not read what changed", runs)
	}
	d.skew(func(tx kv.Tx) error { tx.Set([]byte("r0"), nil); return nil }, func(tx kv.Tx) error {
		for range tx.Scan([]byte("r"), nil) {
			break
		}
		tx.Set([]byte("x"), nil)
		return nil
	})
}

func testLostUpdates(d *dbTest) {
	const writers, each = 32, 10
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := d.Update(d.Context(), increment); err != nil {
					d.Error(err)
				}
			}
		})
	}
	wg.Wait()
	d.wantValue("n", fmt.Sprint(writers*each))
}

func increment(tx kv.Tx) error {
	n := 0
	if b, err := tx.Get([]byte("n")); err == nil {
		fmt.Sscan(string(b), &n)
	} else if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	tx.Set([]byte("n"), fmt.Append(nil, n+1))
	return nil
}

func testEndlessConflict(d *dbTest) {
	n := 0
	err := d.Update(d.Context(), func(tx kv.Tx) error {
		n++
		d.value(tx, "hot")
		d.set(fmt.Sprintf("hot=%d", n))
		tx.Set([]byte("x"), nil)
		return nil
	})
	if !errors.Is(err, kv.ErrConflict) {
		d.Errorf("Update returned %v after %d runs, want ErrConflict", err, n)
	}
	d.wantValue("x", "-")
}

// testLongAmongShort: a transaction that takes long comes through although others always change
// what it read.
func testLongAmongShort(d *dbTest) {
	d.set("n=0")
	ctx, cancel := context.WithCancel(d.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := d.Update(ctx, increment); err != nil && ctx.Err() == nil {
					d.Error(err)
				}
			}
		})
	}
	d.update(func(tx kv.Tx) error {
		err := increment(tx)
		time.Sleep(5 * time.Millisecond) // the time it takes is what is tested
		return err
	})
	cancel()
	wg.Wait()
}

// keys renders a scan.
func (d *dbTest) keys(scan func(func(kv.Pair, error) bool)) string {
	d.Helper()
	var all []string
	for p, err := range scan {
		d.must(err)
		if p.Key[0] == 'k' {
			continue // the store's own
		}
		all = append(all, string(p.Key)+"="+string(p.Value))
	}
	return strings.Join(all, " ")
}

func testScan(d *dbTest) {
	d.set("a=1", "b=1", "d=1", "e=1")
	want := func(what, got, want string) {
		d.Helper()
		if got != want {
			d.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	b := func(s string) []byte { return []byte(s) }
	d.view(func(r kv.Reader) {
		want("all", d.keys(r.Scan(b("a"), b("f"))), "a=1 b=1 d=1 e=1")
		want("part", d.keys(r.Scan(b("b"), b("e"))), "b=1 d=1")
		want("back", d.keys(r.ScanBack(b("b"), b("e"))), "d=1 b=1")
		want("none", d.keys(r.Scan(b("f"), nil)), "")
		want("turned", d.keys(r.Scan(b("e"), b("b"))), "")
	})
	d.update(func(tx kv.Tx) error {
		tx.Set(b("c"), b("2"))
		tx.Set(b("b"), b("2"))
		tx.Delete(b("d"))
		tx.Set(b("z"), b("2"))
		want("merged", d.keys(tx.Scan(b("a"), nil)), "a=1 b=2 c=2 e=1 z=2")
		want("merged back", d.keys(tx.ScanBack(b("a"), nil)), "z=2 e=1 c=2 b=2 a=1")
		want("merged part", d.keys(tx.Scan(b("b"), b("e"))), "b=2 c=2")
		tx.DeleteRange(b("b"), b("f"))
		tx.Set(b("dd"), b("3"))
		want("after a deletion", d.keys(tx.Scan(b("a"), nil)), "a=1 dd=3 z=2")
		for p, err := range tx.Scan(b("a"), nil) {
			d.must(err)
			tx.Set(append(bytes.Clone(p.Key), '+'), nil)
		}
		want("after writing in a scan", d.keys(tx.Scan(b("a"), nil)), "a=1 a+= dd=3 dd+= z=2 z+=")
		return nil
	})
	d.view(func(r kv.Reader) { want("committed", d.keys(r.Scan(b("a"), nil)), "a=1 a+= dd=3 dd+= z=2 z+=") })
}

// testScanModel compares random transactions with a map.
func testScanModel(d *dbTest) {
	rng := rand.New(rand.NewPCG(1, 2))
	model := map[string]string{}
	key := func() []byte { return fmt.Appendf(nil, "m%02d", rng.IntN(60)) }
	for round := range 40 {
		d.update(func(tx kv.Tx) error {
			for step := range 30 {
				d.modelStep(tx, model, rng, key, fmt.Sprintf("%d.%d", round, step))
			}
			return nil
		})
	}
	d.view(func(r kv.Reader) { d.sameAsModel(r, model, []byte("m"), []byte("n")) })
}

func (d *dbTest) modelStep(tx kv.Tx, model map[string]string, rng *rand.Rand, key func() []byte, value string) {
	switch k := key(); rng.IntN(8) {
	case 0, 1, 2:
		tx.Set(k, []byte(value))
		model[string(k)] = value
	case 3:
		tx.Delete(k)
		delete(model, string(k))
	case 4:
		to := key()
		tx.DeleteRange(k, to)
		for m := range model {
			if m >= string(k) && m < string(to) {
				delete(model, m)
			}
		}
	case 5:
		want, ok := model[string(k)]
		if got := d.value(tx, string(k)); ok && got != want || !ok && got != "-" {
			d.Fatalf("%s is %q, want %q", k, got, want)
		}
	default:
		d.sameAsModel(tx, model, k, key())
	}
}

func (d *dbTest) sameAsModel(r kv.Reader, model map[string]string, from, to []byte) {
	d.Helper()
	var want []string
	for k, v := range model {
		if k >= string(from) && k < string(to) {
			want = append(want, k+"="+v)
		}
	}
	slices.Sort(want)
	if got := d.keys(r.Scan(from, to)); got != strings.Join(want, " ") {
		d.Fatalf("scan of %s to %s: got %s, want %s", from, to, got, want)
	}
	slices.Reverse(want)
	if got := d.keys(r.ScanBack(from, to)); got != strings.Join(want, " ") {
		d.Fatalf("falling scan of %s to %s: got %s, want %s", from, to, got, want)
	}
}

func testDeleteRange(d *dbTest) {
	d.set("a=1", "b=1", "c=1", "d=1")
	d.update(func(tx kv.Tx) error {
		tx.Set([]byte("bb"), nil)
		tx.DeleteRange([]byte("b"), []byte("d"))
		tx.DeleteRange([]byte("d"), []byte("a")) // turned around: nothing
		if got := d.value(tx, "b") + d.value(tx, "bb"); got != "--" {
			d.Errorf("in the transaction b and bb are %q", got)
		}
		tx.Set([]byte("c"), []byte("2"))
		return nil
	})
	d.view(func(r kv.Reader) {
		if got, want := d.keys(r.Scan([]byte("a"), nil)), "a=1 c=2 d=1"; got != want {
			d.Errorf("got %q, want %q", got, want)
		}
	})
}

// Body makes n octets that differ by seed.
func dbBody(seed uint64, n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = rng.Read(b)
	return b
}

// writeBlob stores body in writes of step octets.
func (d *dbTest) writeBlob(body []byte, step int) kv.BlobID {
	d.Helper()
	id, err := d.tryBlob(body, step)
	d.must(err)
	return id
}

func (d *dbTest) tryBlob(body []byte, step int) (kv.BlobID, error) {
	w, err := d.CreateBlob(d.Context())
	if err != nil {
		return kv.BlobID{}, err
	}
	defer w.Discard()
	for len(body) > 0 {
		n := min(step, len(body))
		if _, err := w.Write(body[:n]); err != nil {
			return kv.BlobID{}, err
		}
		body = body[n:]
	}
	return w.Finish()
}

func (d *dbTest) wantBlob(id kv.BlobID, want []byte) {
	d.Helper()
	b, err := d.OpenBlob(d.Context(), id)
	if err != nil {
		d.Errorf("opening a blob of %d octets: %v", len(want), err)
		return
	}
	defer func() { d.must(b.Close()) }()
	var got bytes.Buffer
	if _, err := b.WriteTo(&got); err != nil {
		d.Errorf("reading a blob of %d octets: %v", len(want), err)
	}
	if b.Size() != int64(len(want)) || !bytes.Equal(got.Bytes(), want) {
		d.Errorf("blob of %d octets: got %d octets that differ, or size %d", len(want), got.Len(), b.Size())
	}
}

func testEmptyBlob(d *dbTest) {
	id := d.writeBlob(nil, 1)
	if id == (kv.BlobID{}) {
		d.Error("an empty blob has the name of no blob")
	}
	d.wantBlob(id, nil)
}

func testBlobSizes(d *dbTest) {
	seen := map[kv.BlobID]bool{}
	for i, size := range []int{1, 31, 4096, 8191, 8192, 8193, 65535, 65536, 65537, 131072, 200000, 1 << 20, 3<<20 + 7} {
		body := dbBody(uint64(i), size)
		for _, step := range []int{size, 4096, 70001} {
			id := d.writeBlob(body, step)
			d.wantBlob(id, body)
			if seen[id] {
				d.Errorf("two blobs have the name %x", id)
			}
			seen[id] = true
		}
	}
}

func testBlobsTogether(d *dbTest) {
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for n := range 8 {
				size := 300 + 7919*i
				if n%4 == 0 {
					size += 150000
				}
				body := dbBody(uint64(100*i+n), size)
				id, err := d.tryBlob(body, 5000)
				if err != nil {
					d.Error(err)
					return
				}
				d.wantBlob(id, body)
			}
		})
	}
	wg.Wait()
}

func testDiscard(d *dbTest) {
	for _, size := range []int{0, 10, 300000} {
		w, err := d.CreateBlob(d.Context())
		d.must(err)
		if _, err := w.Write(dbBody(1, size)); err != nil {
			d.Error(err)
		}
		w.Discard()
		w.Discard()
		if _, err := w.Finish(); err == nil {
			d.Error("Finish after Discard gave no error")
		}
		if _, err := w.Write([]byte("x")); err == nil {
			d.Error("Write after Discard gave no error")
		}
	}
	w, err := d.CreateBlob(d.Context())
	d.must(err)
	_, _ = w.Write([]byte("body"))
	id, err := w.Finish()
	d.must(err)
	w.Discard()
	d.wantBlob(id, []byte("body"))
}

func testNoBlob(d *dbTest) {
	id := d.writeBlob([]byte("body"), 10)
	for i := range id {
		wrong := id
		wrong[i] ^= 0x55
		if b, err := d.OpenBlob(d.Context(), wrong); err == nil {
			d.Errorf("a wrong name opened a blob of %d octets", b.Size())
		} else if !errors.Is(err, kv.ErrNotFound) && !errors.Is(err, kv.ErrCorrupt) {
			d.Errorf("a wrong name gave %v", err)
		}
	}
	if _, err := d.OpenBlob(d.Context(), kv.BlobID{}); !errors.Is(err, kv.ErrNotFound) {
		d.Errorf("no blob gave %v, want ErrNotFound", err)
	}
}

func testReadBlob(d *dbTest) {
	for _, size := range []int{0, 100, 300000} {
		body := dbBody(3, size)
		b, err := d.OpenBlob(d.Context(), d.writeBlob(body, 4096))
		d.must(err)
		if err := iotest.TestReader(io.NewSectionReader(b, 0, b.Size()), body); err != nil {
			d.Errorf("%d octets: %v", size, err)
		}
		if n, err := b.ReadAt(make([]byte, 1), int64(size)); n != 0 || err != io.EOF {
			d.Errorf("%d octets: reading at the end gave %d, %v", size, n, err)
		}
		d.must(b.Close())
	}
}

func (d *dbTest) wantLinks(id kv.BlobID, want ...string) {
	d.Helper()
	owners, err := d.Links(d.Context(), id)
	d.must(err)
	var got []string
	for _, o := range owners {
		got = append(got, string(o))
	}
	if !slices.Equal(got, want) {
		d.Errorf("owners: got %q, want %q", got, want)
	}
}

func testLinks(d *dbTest) {
	one, two := d.writeBlob([]byte("one"), 10), d.writeBlob([]byte("two"), 10)
	link := func(id kv.BlobID, owner string) {
		d.update(func(tx kv.Tx) error { tx.Link(id, []byte(owner)); return nil })
	}
	d.wantLinks(one)
	link(one, "b")
	link(one, "a")
	link(one, "a")
	link(two, "c")
	d.wantLinks(one, "a", "b")
	d.wantLinks(two, "c")
	d.update(func(tx kv.Tx) error {
		tx.Unlink(one, []byte("a"))
		tx.Unlink(one, []byte("never linked"))
		return nil
	})
	d.wantLinks(one, "b")
	d.reopen()
	d.wantLinks(one, "b")
}

func testReopened(d *dbTest) {
	small, large := dbBody(1, 5000), dbBody(2, 500000)
	a, b := d.writeBlob(small, 4096), d.writeBlob(large, 4096)
	d.set("a=1")
	for range 3 {
		d.reopen()
		d.wantValue("a", "1")
		d.wantBlob(a, small)
		d.wantBlob(b, large)
		c := d.writeBlob(small, 100)
		if c == a {
			d.Error("the name of a blob was used again")
		}
		d.wantBlob(c, small)
	}
}

func testCancelled(d *dbTest) {
	ctx, cancel := context.WithCancel(d.Context())
	cancel()
	ran := false
	err := d.Update(ctx, func(tx kv.Tx) error { ran = true; tx.Set([]byte("a"), nil); return nil })
	if !errors.Is(err, context.Canceled) || ran {
		d.Errorf("Update returned %v, ran %v; want context.Canceled and no run", err, ran)
	}
	if err := d.View(ctx, func(kv.Reader) error { return nil }); !errors.Is(err, context.Canceled) {
		d.Errorf("View returned %v", err)
	}
	d.wantValue("a", "-")
}

func testClosed(d *dbTest) {
	id := d.writeBlob([]byte("body"), 10)
	w, err := d.CreateBlob(d.Context())
	d.must(err)
	_, _ = w.Write([]byte("late"))
	d.must(d.Close())
	if _, err := w.Finish(); err == nil {
		d.Error("Finish after Close gave no error")
	}
	if err := d.Update(d.Context(), func(kv.Tx) error { return nil }); err == nil {
		d.Error("Update after Close gave no error")
	}
	if _, err := d.OpenBlob(d.Context(), id); err == nil {
		d.Error("OpenBlob after Close gave no error")
	}
	if err := d.Close(); err == nil {
		d.Error("the second Close gave no error")
	}
	d.DB = d.open(d.T, d.dir)
	d.wantBlob(id, []byte("body"))
}
