package kv

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestSyncNeverReturns: a disk that answers no more fails the store, which can then be closed; who waits for a blob is told.
func TestSyncNeverReturns(t *testing.T) {
	for _, suffix := range []string{".seg", ".log"} {
		t.Run(suffix, func(t *testing.T) {
			t.Parallel()
			slow := slowSync{make(chan struct{}, 1), make(chan struct{})}
			fs := &faultFS{FS: vfs.NewMem(), fault: noFault, free: -1}
			e, err := open(t.Context(), Options{Dir: "store", Log: testLog(t)}, settings{fs: fs, segmentSize: segmentSize, hang: 2 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			e.leaveTime = 10 * time.Millisecond
			l := newLedger()
			if err := l.store(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			fs.fault = slow.fault(suffix)
			stored := make(chan error, 1)
			go func() { stored <- l.store(t.Context(), e) }()
			<-slow.begun
			<-e.Failed()
			if err := e.Err(); !strings.Contains(err.Error(), "has not answered") {
				t.Errorf("the store has failed with %v", err)
			}
			if err := e.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
			if suffix == ".log" { // who is in Pebble cannot be called back
				close(slow.free)
			}
			if err := <-stored; !errors.Is(err, ErrFailed) {
				t.Errorf("storing: %v, want ErrFailed", err)
			}
			if suffix == ".seg" {
				close(slow.free)
			}
			<-e.appender.ended
		})
	}
}
