package kv

import (
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// zeroLog is how far Pebble's log is made zero beyond what is written.
const zeroLog = 256 << 10

// logFile is Pebble's log. A sync of a file that has just grown must write metadata as well, which
// takes twice the time; so the log is made longer than it needs to be, a good piece at a time. Pebble
// takes zeros for the end of a log that was not closed in order.
type logFile struct {
	*diskFile
	end    atomic.Int64 // of what is written
	zeroed int64        // the file reaches so far
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// logs are the logs that have been written to since Open and that are still there. Behind what was written
// such a log holds zeros, or an older log in whose place it was made: a checkpoint need not copy that.
type logs struct {
	mu    sync.Mutex
	files map[string]*logFile
}

// add wraps a log; one that is used again is as long as it was.
func (l *logs) add(f *diskFile) (vfs.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.files == nil {
		l.files = map[string]*logFile{}
	}
	made := &logFile{diskFile: f, zeroed: info.Size()}
	l.files[f.name] = made
	return made, nil
}

func (l *logs) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.files, name)
}

// limit returns file, which was opened for reading, up to where it has been written.
func (l *logs) limit(name string, file vfs.File) vfs.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	written := l.files[name]
	if written == nil {
		return file
	}
	return &limitedFile{file, io.LimitReader(file, written.end.Load())}
}

// limitedFile is a file of which Read shows only the beginning.
type limitedFile struct {
	vfs.File
	limited io.Reader
}

// Read implements vfs.File.
func (f *limitedFile) Read(p []byte) (int, error) { return f.limited.Read(p) }

// Write implements vfs.File.
func (f *logFile) Write(p []byte) (int, error) {
	n, err := f.diskFile.Write(p)
	f.end.Add(int64(n))
	return n, err
}

// SyncData implements vfs.File.
func (f *logFile) SyncData() error {
	if end := f.end.Load(); end > f.zeroed {
		if _, err := f.WriteAt(zeros[:zeroLog], end); err != nil {
			return err
		}
		f.zeroed = end + zeroLog
	}
	return f.diskFile.SyncData()
}
