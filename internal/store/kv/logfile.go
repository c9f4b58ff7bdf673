package kv

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// zeroLog is how far Pebble's log is made zero beyond what is written.
const zeroLog = 256 << 10

// logFile is Pebble's log. A sync of a file that has just grown must write metadata as well, which
// takes twice the time; so the log is made longer than it needs to be, a good piece at a time. Pebble
// takes zeros for the end of a log that was not closed in order.
type logFile struct {
	*diskFile
	end    int64 // of what is written
	zeroed int64 // the file reaches so far
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// newLogFile wraps a log; one that is used again is as long as it was.
func newLogFile(f *diskFile) (vfs.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &logFile{diskFile: f, zeroed: info.Size()}, nil
}

// Write implements vfs.File.
func (f *logFile) Write(p []byte) (int, error) {
	n, err := f.diskFile.Write(p)
	f.end += int64(n)
	return n, err
}

// SyncData implements vfs.File.
func (f *logFile) SyncData() error {
	if f.end > f.zeroed {
		if _, err := f.WriteAt(zeros[:zeroLog], f.end); err != nil {
			return err
		}
		f.zeroed = f.end + zeroLog
	}
	return f.diskFile.SyncData()
}
