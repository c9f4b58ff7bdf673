package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// unit is what a progress counts.
type unit int

const (
	things unit = iota // messages, rows, …: the label names them
	octets
)

const (
	barInterval  = 200 * time.Millisecond
	lineInterval = 10 * time.Second
)

// progress tells on standard error how far a long command is: as a bar on a terminal, elsewhere with a
// line every ten seconds, and not at all with --json. Its methods may be called concurrently.
type progress struct {
	label       string
	unit        unit
	begun       time.Time
	done, total atomic.Int64
	end         chan struct{}
	wg          sync.WaitGroup
}

// newProgress begins to tell of label, such as "copying the store". With a total of 0, not known yet, it
// only tells what is done. The caller ends it with Close.
func newProgress(c *cli, std *stdio, label string, u unit, total int64) *progress {
	p := &progress{label: label, unit: u, begun: time.Now(), end: make(chan struct{})}
	p.total.Store(total)
	switch f, ok := std.err.(*os.File); {
	case c.JSON:
	case ok && term.IsTerminal(int(f.Fd())):
		p.wg.Go(func() { p.bar(f) })
	default:
		p.wg.Go(func() { p.lines(std.err, lineInterval) })
	}
	return p
}

// Add notes that n more are done.
func (p *progress) Add(n int64) { p.done.Add(n) }

// Grow makes the total n greater.
func (p *progress) Grow(n int64) { p.total.Add(n) }

// Close shows the state at the end.
func (p *progress) Close() {
	close(p.end)
	p.wg.Wait()
}

// bar draws until Close.
func (p *progress) bar(w io.Writer) {
	all := mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh(), mpb.WithRefreshRate(barInterval))
	counter := decor.CountersNoUnit(" %d of %d")
	if p.unit == octets {
		counter = decor.Counters(decor.SizeB1024(0), " % .1f of % .1f")
	}
	b := all.AddBar(0, // no total: the bar does not end by itself
		mpb.PrependDecorators(decor.Name(p.label+" ")),
		mpb.AppendDecorators(counter, decor.OnCompleteOrOnAbort(decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 8}), "")),
	)
	each(barInterval, p.end, func() {
		b.SetTotal(p.total.Load(), false)
		b.SetCurrent(p.done.Load())
	})
	b.Abort(false) // complete or not: what is drawn stays
	all.Wait()
}

// lines writes a line at each interval until Close, and a last one if there was one before.
func (p *progress) lines(w io.Writer, interval time.Duration) {
	written := false
	each(interval, p.end, func() {
		if !written && time.Since(p.begun) < interval {
			return
		}
		written = true
		fmt.Fprintln(w, p.line())
	})
}

func (p *progress) line() string {
	done, total := p.done.Load(), p.total.Load()
	if total <= 0 {
		return fmt.Sprintf("%s: %s", p.label, p.unit.text(done))
	}
	return fmt.Sprintf("%s: %s of %s (%d%%)", p.label, p.unit.text(done), p.unit.text(total), 100*done/total)
}

// each calls f at each interval, and once more at the end.
func each(interval time.Duration, end <-chan struct{}, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-end:
			f()
			return
		case <-tick.C:
			f()
		}
	}
}

// text writes a number in the unit.
func (u unit) text(n int64) string {
	switch {
	case u == octets && n < 1<<10:
		return fmt.Sprintf("%d octets", n)
	case u == octets:
		return fmt.Sprintf("% .1f", decor.SizeB1024(n))
	default:
		return fmt.Sprint(n)
	}
}
