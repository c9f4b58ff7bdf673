package web_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// TestCheckpoint: one at a time, for as long as the client keeps the connection.
func TestCheckpoint(t *testing.T) {
	c, o := serve(t)
	dir := t.TempDir()
	var err error
	if o.Store, err = kv.Open(t.Context(), kv.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Store.Close() })
	first, held, err := c.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := held(); err != nil || len(first.Files) == 0 {
		t.Errorf("%d files, %v", len(first.Files), err)
	}
	for _, f := range first.Files {
		if info, err := os.Stat(filepath.Join(dir, f.Path)); err != nil || info.Size() < f.Size {
			t.Errorf("%s: %v", f.Path, err)
		}
	}
	if _, _, err := c.Checkpoint(t.Context()); !mail.IsKind(err, mail.InUse) {
		t.Errorf("a second one: %v", err)
	}
	if err := first.Release(); err != nil {
		t.Error(err)
	}
	if err := held(); !mail.IsKind(err, mail.Unavailable) {
		t.Errorf("held after its release: %v", err)
	}
	second, _, err := c.Checkpoint(t.Context())
	for mail.IsKind(err, mail.InUse) { // until the server has noticed
		time.Sleep(time.Millisecond)
		second, _, err = c.Checkpoint(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "checkpoints")); err != nil || len(left) != 1 {
		t.Errorf("checkpoints in the store: %v, %v", left, err)
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
}
