package listen

import (
	"context"
	"errors"
	"time"
)

// past is a deadline that ends a read under way.
var past = time.Unix(1, 0)

// WaitInput waits until there is something to read, the connection ends, ctx ends or d has passed,
// holding no buffer meanwhile. It may run while another goroutine writes.
//
// Errors: ErrTimeout, that of ctx, and those of ReadLine. A door that waits here for the next
// command hears of a shutdown at once.
func (c *Conn) WaitInput(ctx context.Context, d time.Duration) error {
	if c.Buffered() > 0 {
		return nil
	}
	if ctx != c.server.serving {
		stop := context.AfterFunc(ctx, c.poke)
		defer stop()
	}
	deadline := c.until(d)
	c.effort.rested()
	for {
		if !c.beginWait(ctx, deadline) {
			return context.Cause(ctx)
		}
		err := c.fillNow()
		c.endWait()
		if !errors.Is(err, ErrTimeout) {
			return err
		}
		if ctx.Err() == nil && !time.Now().Before(deadline) {
			return ErrTimeout
		}
		// A poke that was meant for an earlier wait: go on.
	}
}

// beginWait sets the deadline of reads unless ctx has ended: whoever ends it either sees waiting and
// moves the deadline, or is seen here.
func (c *Conn) beginWait(ctx context.Context, deadline time.Time) bool {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	c.waiting = true
	c.wire.SetReadDeadline(deadline)
	return true
}

func (c *Conn) endWait() {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	c.waiting = false
}

// poke ends a wait under way: WaitInput, or for the peer's part of a handshake.
func (c *Conn) poke() {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	if c.waiting {
		c.wire.SetReadDeadline(past)
	}
}
