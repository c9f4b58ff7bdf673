package kv

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// storeIn makes a store of two segments with a linked blob in each, and closes it.
func storeIn(t *testing.T, dir string) {
	t.Helper()
	l := newLedger()
	for range 2 {
		e, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(l.store(t.Context(), e), e.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMissingSegments: a store without its newest segments is opened only by who accepts the loss, and no number is
// used again even then.
func TestMissingSegments(t *testing.T) {
	for name, take := range map[string]func(t *testing.T, blobs string) error{
		"folder is gone": func(_ *testing.T, blobs string) error { return os.Rename(blobs, blobs+".old") },
		"folder is empty": func(_ *testing.T, blobs string) error {
			return errors.Join(os.RemoveAll(blobs), os.Mkdir(blobs, 0o700))
		},
		"newest is gone": func(_ *testing.T, blobs string) error { return os.Remove(filepath.Join(blobs, segmentName(2))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			storeIn(t, dir)
			blobs := filepath.Join(dir, "blobs")
			if err := take(t, blobs); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err := Open(t.Context(), Options{Dir: dir})
				if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), blobs) {
					t.Fatalf("opening: %v", err)
				}
			}
			e, err := Open(t.Context(), Options{Dir: dir, AcceptLoss: true})
			if err != nil {
				t.Fatal(err)
			}
			defer mustClose(t, e)
			if id := mustStore(t, e, []byte("new")); id.position().segment != 3 {
				t.Errorf("the next segment is %d", id.position().segment)
			}
		})
	}
}

// TestForeignSegments: the segments of another store are refused, and not touched.
func TestForeignSegments(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	storeIn(t, dir)
	storeIn(t, other)
	blobs := filepath.Join(dir, "blobs")
	if err := errors.Join(os.RemoveAll(blobs), os.Rename(filepath.Join(other, "blobs"), blobs)); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Dir: dir, AcceptLoss: true})
	if err == nil || !strings.Contains(err.Error(), "another store") || !strings.Contains(err.Error(), blobs) {
		t.Errorf("opening: %v", err)
	}
}
