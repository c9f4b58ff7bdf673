package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"candor/internal/store/kv"
)

// TestBlobsNotMounted: without the folder of messages nothing is served and nothing repaired; with it all is as it was.
func TestBlobsNotMounted(t *testing.T) {
	c, file := world(t)
	blobs := filepath.Join(c.Data, "store", "blobs")
	if err := errors.Join(os.Rename(blobs, blobs+".away"), os.Mkdir(blobs, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := serve(t.Context(), c, serveOptions{log: io.Discard}); !errors.Is(err, kv.ErrMissing) {
		t.Errorf("serve: %v", err)
	}
	for _, args := range [][]string{{"repair"}, {"repair", "--dry-run"}, {"verify"}} {
		_, errs, code := candor(t, "", append(args, "--config", file)...)
		if code != exitNotRun || !strings.Contains(errs, blobs) || !strings.Contains(errs, "--accept-loss") {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
	if err := errors.Join(os.Remove(blobs), os.Rename(blobs+".away", blobs)); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := candor(t, "", "verify", "--config", file); code != 0 {
		t.Errorf("with the folder: exit %d: %s%s", code, out, errs)
	}
	if err := os.RemoveAll(blobs); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := candor(t, "", "repair", "--accept-loss", "--config", file); code != 0 || !strings.Contains(out, "segment-missing") {
		t.Errorf("the loss accepted: exit %d: %s%s", code, out, errs)
	}
	if out, errs, code := candor(t, "", "verify", "--config", file); code != 0 {
		t.Errorf("after the repair: exit %d: %s%s", code, out, errs)
	}
}
