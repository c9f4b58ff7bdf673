package kv

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// unreadableFS is a disk whose segments cannot be opened for reading, for a reason.
type unreadableFS struct {
	vfs.FS
	why atomic.Pointer[error]
}

func (f *unreadableFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	if why := f.why.Load(); why != nil && f.PathBase(f.PathDir(name)) == "blobs" {
		return nil, *why
	}
	return f.FS.Open(name, o...)
}

// plain is an Owner of rows that are the blob's name.
type plain struct{ lost int }

func (*plain) Prefix() byte                          { return 'x' }
func (*plain) Blob(_, value []byte) (BlobID, bool)   { return BlobID(value), true }
func (*plain) Orphan([]byte, BlobID) (bool, error)   { return false, nil }
func (p *plain) Lost(_, _ []byte, _ BlobID, _ error) { p.lost++ }
func (*plain) Body(_, _ []byte, _ BlobID, b Blob) (err error) {
	_, err = b.WriteTo(io.Discard)
	return err
}

// TestUnreadable: only a blob that is harmed is lost; for another reason that it cannot be read, the verification ends, since
// repair would remove what is whole.
func TestUnreadable(t *testing.T) {
	for _, c := range []struct {
		why  error
		lost bool
	}{{syscall.EIO, true}, {syscall.EACCES, false}, {syscall.EMFILE, false}} {
		for _, size := range []int{100, 300_000} {
			fs := &unreadableFS{FS: vfs.NewMem()}
			e := openOn(t, fs)
			id, owner := mustStore(t, e, make([]byte, size)), []byte("x1")
			update(t, e, func(tx Tx) {
				tx.Set(owner, id[:])
				tx.Link(id, owner)
			})
			fs.why.Store(&c.why)
			p := &plain{}
			_, err := e.Verify(t.Context(), VerifyOptions{}, func(v *Verification) error { return v.Links(p) })
			if (p.lost == 1) != c.lost || (err == nil) != c.lost {
				t.Errorf("%v: %d lost, %v", c.why, p.lost, err)
			}
			var wreck bytes.Buffer
			if err := e.Salvage(t.Context(), id, &wreck); (err == nil) != c.lost || !c.lost && !errors.Is(err, c.why) {
				t.Errorf("saving what is left: %v: %v", c.why, err)
			}
			mustClose(t, e)
		}
	}
}
