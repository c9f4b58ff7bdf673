package listen

import (
	"sync"
	"time"
)

// outBuffer is the plaintext of one TLS record, so that a flush is one record and one write.
const outBuffer = 16 << 10

var outBuffers = sync.Pool{New: func() any { return new([outBuffer]byte) }}

// writer is the writing side of a Conn. out is nil while nothing waits.
type writer struct {
	out     *[outBuffer]byte
	used    int
	timeout time.Duration
	werr    error // sticky: after a failed write nothing can follow
}

// Write writes to the buffer; what does not fit goes out.
func (c *Conn) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if c.werr != nil {
			return written, c.werr
		}
		var n int
		if c.used == 0 && len(p) >= outBuffer {
			n = len(p) - len(p)%outBuffer
			c.Spend(c.server.work, n)
			c.send(p[:n])
		} else {
			n = c.put(p)
		}
		written += n
		p = p[n:]
	}
	return written, c.werr
}

// put copies what fits and flushes a full buffer.
func (c *Conn) put(p []byte) int {
	c.hold()
	n := copy(c.out[c.used:], p)
	if c.used += n; c.used == outBuffer {
		c.Spend(c.server.work, outBuffer)
		c.Flush()
	}
	return n
}

// WriteString is Write for a string.
func (c *Conn) WriteString(s string) (int, error) {
	written := 0
	for len(s) > 0 {
		if c.werr != nil {
			return written, c.werr
		}
		c.hold()
		n := copy(c.out[c.used:], s)
		if c.used += n; c.used == outBuffer {
			c.Flush()
		}
		written += n
		s = s[n:]
	}
	return written, c.werr
}

func (c *Conn) hold() {
	if c.out == nil {
		c.out = outBuffers.Get().(*[outBuffer]byte)
	}
}

// Flush sends what was written and gives the buffer back.
func (c *Conn) Flush() error {
	if c.used > 0 && c.werr == nil {
		c.send(c.out[:c.used])
	}
	c.dropOutput()
	return c.werr
}

// send writes to TLS or the socket.
func (c *Conn) send(p []byte) {
	d := c.writer.timeout
	if d <= 0 {
		d = defaultTimeout
	}
	c.wire.SetWriteDeadline(time.Now().Add(d))
	var err error
	if c.tls != nil {
		_, err = c.tls.Write(p)
	} else {
		_, err = c.wire.Write(p)
	}
	c.werr = c.translate(err)
}

func (c *Conn) dropOutput() {
	if c.out != nil {
		outBuffers.Put(c.out)
		c.out, c.used = nil, 0
	}
}

// releaseAll gives every buffer back; the connection is over.
func (c *Conn) releaseAll() {
	c.release()
	c.dropOutput()
}
