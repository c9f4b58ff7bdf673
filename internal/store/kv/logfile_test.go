package kv

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logSizes returns the sizes of the logs by name.
func logSizes(t *testing.T, fs vfs.FS) map[string]int64 {
	t.Helper()
	names, err := fs.List("store/keys")
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	for _, name := range names {
		if !isLog(name) {
			continue
		}
		info, err := fs.Stat(fs.PathJoin("store/keys", name))
		if err != nil {
			t.Fatal(err)
		}
		sizes[name] = info.Size()
	}
	return sizes
}

// TestLogGrowsInPieces: a commit does not lengthen the log, but for one now and then; and what stands
// before the zeros is read again, by a log that was cut off within them.
func TestLogGrowsInPieces(t *testing.T) {
	fs := vfs.NewCrashableMem()
	e := openOn(t, fs)
	defer e.Close()
	value := strings.Repeat("v", 1000)
	lengths := map[int64]bool{}
	const commits = 400
	for n := range commits {
		err := e.Update(t.Context(), func(tx Tx) error {
			tx.Set(ledgerKey(n), []byte(value))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range logSizes(t, fs) {
			lengths[size] = true
		}
	}
	if n := len(lengths); n != 2 {
		t.Errorf("%d commits gave the log %d lengths, want 2: %v", commits, n, lengths)
	}
	again := openOn(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	defer again.Close()
	err := again.View(t.Context(), func(r Reader) error {
		for n := range commits {
			if v, err := r.Get(ledgerKey(n)); err != nil || string(v) != value {
				t.Fatalf("commit %d after the crash: %.10q, %v", n, v, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
