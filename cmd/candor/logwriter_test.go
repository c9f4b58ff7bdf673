package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

// TestStalledLogReader: nobody who logs waits for a reader that has stopped, and the reader learns
// how much it has missed.
func TestStalledLogReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l := newLogWriter(w)
	const lines = 40_000
	for i := range lines { // far more than the pipe and the buffer take
		fmt.Fprintf(l, "line %06d %s\n", i, strings.Repeat("x", 100))
	}
	got := make(chan string)
	go func() {
		var b strings.Builder
		r.WriteTo(&b)
		got <- b.String()
	}()
	for { // until the reader has caught up, and a line goes through again
		l.mu.Lock()
		empty := len(l.pending) == 0
		l.mu.Unlock()
		if empty {
			break
		}
	}
	fmt.Fprintln(l, "after")
	l.Close()
	w.Close()
	text := <-got
	told := strings.Count("\n"+text, "\nline ")
	for _, m := range regexp.MustCompile(`lines=(\d+)\n`).FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		told += n
	}
	if told != lines || !strings.HasSuffix(text, "after\n") {
		t.Errorf("%d lines came or were told of, want %d; the end is %q", told, lines, text[max(0, len(text)-300):])
	}
}

// stuckWriter never takes anything until it is released.
type stuckWriter chan struct{}

func (s stuckWriter) Write(p []byte) (int, error) {
	<-s
	return len(p), nil
}

// TestLogCloseGivesUp: a reader that never reads does not keep the program from ending.
func TestLogCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(stuckWriter)
		l := newLogWriter(stuck)
		fmt.Fprintln(l, "line")
		synctest.Wait()
		l.Close()
		close(stuck)
		fmt.Fprintln(l, "late")
	})
}
