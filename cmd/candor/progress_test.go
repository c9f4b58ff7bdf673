package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"
)

// TestProgressLines: without a terminal a long command writes a line now and then, a quick one none.
func TestProgressLines(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		json  bool
		unit  unit
		total int64
		want  string
	}{
		"quick":         {takes: time.Second, total: 4},
		"long":          {takes: 15 * time.Second, total: 4, want: "copying: 3 of 4 (75%)\ncopying: 3 of 4 (75%)\n"},
		"octets":        {takes: 15 * time.Second, unit: octets, total: 3 << 10, want: "copying: 3 octets of 3.0 KiB (0%)\ncopying: 3 octets of 3.0 KiB (0%)\n"},
		"unknown total": {takes: 10 * time.Second, want: "copying: 3\n"},
		"json":          {takes: time.Hour, json: true, total: 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				p := newProgress(&cli{JSON: c.json}, &stdio{err: &out}, "copying", c.unit, c.total)
				p.Add(3)
				time.Sleep(c.takes)
				synctest.Wait()
				p.Close()
				got := out.String()
				if name == "unknown total" {
					got, _, _ = strings.Cut(got, "\n") // the end falls on the tick
					got += "\n"
				}
				if got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		})
	}
}

// TestProgressBar: on a terminal there is a bar, which stays when the command is done.
func TestProgressBar(t *testing.T) {
	screen, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	shown := make(chan string)
	go func() {
		b, _ := io.ReadAll(screen) // ends with EIO when the other side is closed
		shown <- string(b)
	}()
	p := newProgress(&cli{}, &stdio{err: tty}, "copying", octets, 2<<20)
	p.Grow(2 << 20)
	p.Add(3 << 20)
	p.Close()
	tty.Close()
	if got := <-shown; !strings.Contains(got, "copying  [==") || !strings.Contains(got, "3.0 MiB of 4.0 MiB") {
		t.Errorf("drawn: %q", got)
	}
}
