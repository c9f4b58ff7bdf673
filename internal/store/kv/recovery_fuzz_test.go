package kv

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FuzzRecovery harms or cuts a segment and opens the store again: that never panics, a body that can be read is the
// one that was stored, and new ones can be stored.
func FuzzRecovery(f *testing.F) {
	mem := vfs.NewCrashableMem()
	stored := storeSome(f, mem)
	f.Add([]byte{1}, uint32(100), uint32(0))
	f.Add([]byte{0xff, 0xff}, uint32(0), uint32(0))
	f.Add([]byte{0x80, 0, 0, 0, 1}, uint32(70_000), uint32(3))
	f.Add([]byte{}, uint32(0), uint32(50_000))
	f.Add([]byte{}, uint32(0), uint32(150_000))
	f.Fuzz(func(t *testing.T, harm []byte, at, cut uint32) {
		fs := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		harmSegment(t, fs, harm, at, cut)
		ctx := context.Background()
		e, err := open(ctx, fuzzOptions, settings{fs: fs, segmentSize: 1 << 20})
		if err != nil {
			return // it says so, and loses nothing
		}
		defer e.Close()
		for id, want := range stored {
			if got, err := readBody(ctx, e, id); err == nil && !bytes.Equal(got, want) {
				t.Errorf("harm %x at %d, cut %d: blob %s of %d octets came back as others", harm, at, cut, id, len(want))
			}
		}
		fresh := []byte("new")
		id := storeBody(t, e, fresh)
		if got, err := readBody(ctx, e, id); err != nil || !bytes.Equal(got, fresh) {
			t.Errorf("harm %x at %d, cut %d: a new blob is %q, %v", harm, at, cut, got, err)
		}
	})
}

var fuzzOptions = Options{Dir: "store", Log: slog.New(slog.DiscardHandler)}

// storeSome makes a store on fs with bodies of one record and of several.
func storeSome(f *testing.F, fs vfs.FS) map[BlobID][]byte {
	e, err := open(f.Context(), fuzzOptions, settings{fs: fs, segmentSize: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	stored := map[BlobID][]byte{}
	rng := rand.NewChaCha8([32]byte{})
	for _, size := range []int{1, 100, 5000, 64 << 10, 70_000, 200_000, 300} {
		body := make([]byte, size)
		rng.Read(body)
		stored[storeBody(f, e, body)] = body
	}
	if err := e.Close(); err != nil {
		f.Fatal(err)
	}
	return stored
}

func storeBody(t testing.TB, e *Engine, body []byte) BlobID {
	t.Helper()
	w, err := e.CreateBlob(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	id, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	err = e.Update(context.Background(), func(tx Tx) error {
		tx.Link(id, []byte("owner"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func readBody(ctx context.Context, e *Engine, id BlobID) ([]byte, error) {
	b, err := e.OpenBlob(ctx, id)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var all bytes.Buffer
	_, err = b.WriteTo(&all)
	return all.Bytes(), err
}

// harmSegment changes the first segment: harm is laid over it at a place, and cut octets are taken off its end.
func harmSegment(t *testing.T, fs vfs.FS, harm []byte, at, cut uint32) {
	t.Helper()
	dir := fs.PathJoin("store", "blobs")
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, segmentName(1)) {
			continue
		}
		path := fs.PathJoin(dir, name)
		in, err := fs.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in)
		in.Close()
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range harm {
			if len(b) > 0 {
				b[(int(at)+i)%len(b)] ^= c
			}
		}
		b = b[:len(b)-min(int(cut), len(b))]
		out, err := fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(b); err != nil {
			t.Fatal(err)
		}
		out.Close()
	}
}
