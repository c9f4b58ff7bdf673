package main

import (
	"bytes"
	"io"
	"sync"
	"time"
)

const (
	// maxPending is how many octets of log wait for a reader that is slow.
	maxPending = 1 << 20
	// logPatience is how long the end of the program waits for such a reader.
	logPatience = 2 * time.Second
)

// logWriter takes whole lines and writes them in the background, so that nobody who logs waits for
// who reads. Lines for which there is no room are counted, and their number is told when there is.
type logWriter struct {
	to   io.Writer
	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex
	pending []byte
	lost    int
	closed  bool
}

func newLogWriter(to io.Writer) *logWriter {
	l := &logWriter{to: to, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.run()
	return l
}

// Write takes a line. It never waits, and never fails.
func (l *logWriter) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.pending)+len(line) > maxPending {
		l.lost++
		return len(line), nil
	}
	l.pending = append(l.pending, line...)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

// run writes what is pending until Close.
func (l *logWriter) run() {
	defer close(l.done)
	var batch []byte
	for range l.wake {
		batch = l.swap(batch[:0])
		_, _ = l.to.Write(batch) // there is nobody left to tell
		if cap(batch) > 64<<10 {
			batch = nil
		}
	}
	_, _ = l.to.Write(l.swap(nil))
}

// swap returns what is pending, and takes spare in its place.
func (l *logWriter) swap(spare []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := l.pending
	l.pending = spare
	if l.lost > 0 {
		var b bytes.Buffer
		newLog(&b).Warn("log lines lost: nobody read them in time", "lines", l.lost)
		full, l.lost = append(full, b.Bytes()...), 0
	}
	return full
}

// Close writes what is left, unless the reader takes too long.
func (l *logWriter) Close() {
	l.mu.Lock()
	l.closed = true
	close(l.wake)
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-time.After(logPatience):
	}
}
