package listen

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	smallBuffer = 4 << 10  // for commands
	largeBuffer = 64 << 10 // for content, and the longest line
	// maxDropped is how much of an endless line is read before the connection counts as broken.
	maxDropped = 1 << 20
	// lineHead is how much is kept of a line that is too long.
	lineHead = 256
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// reader is the reading side of a Conn. buf is nil while nothing is buffered;
// buf[start:end] is unread.
type reader struct {
	memory *Budget // for large buffers
	small  *[smallBuffer]byte
	large  *[largeBuffer]byte
	buf    []byte
	start  int
	end    int

	timeout time.Duration
	busy    bool // the last fill was a whole buffer: use a large one
	wipe    bool // secrets of a login may be in buf: clear it before it goes back
	rate    rate
	err     error // met behind the octets that are buffered

	first     bool // nothing has been read yet, in this layer: what comes may be another protocol
	firstLine bool // likewise for lines
	anyLine   bool // at any time

	one        [1]byte
	got        int
	gotErr     error
	tryReading func(fd uintptr) bool
}

func (r *reader) init(memory *Budget) {
	r.memory = memory
	r.first, r.firstLine = true, true
	r.tryReading = r.readIfReady
}

// take gets a buffer, of the size that the last fill suggests if there is memory for it.
func (r *reader) take() {
	if r.busy && r.memory.TryTake(largeBuffer) {
		r.large = largeBuffers.Get().(*[largeBuffer]byte)
		r.buf = r.large[:]
		return
	}
	r.small = smallBuffers.Get().(*[smallBuffer]byte)
	r.buf = r.small[:]
}

// release gives the buffer back.
func (r *reader) release() {
	if r.buf == nil {
		return
	}
	if r.wipe {
		clear(r.buf[:r.end])
		r.wipe = false
	}
	if r.small != nil {
		smallBuffers.Put(r.small)
	}
	if r.large != nil {
		largeBuffers.Put(r.large)
		r.memory.Give(largeBuffer)
	}
	r.small, r.large, r.buf, r.start, r.end = nil, nil, nil, 0, 0
}

// room makes space behind buf[start:end]: by moving it to the front, or into a large buffer.
// Errors: ErrLineTooLong when a large buffer is full; ErrNoMemory when there is none for one.
func (r *reader) room() error {
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		if r.wipe {
			clear(r.buf[r.end-r.start : r.end])
		}
		r.start, r.end = 0, r.end-r.start
	}
	if r.end < len(r.buf) {
		return nil
	}
	if r.large != nil {
		return ErrLineTooLong
	}
	if r.memory.Take(context.Background(), largeBuffer) != nil {
		return ErrNoMemory
	}
	old, oldBuf := r.small, r.buf
	r.large = largeBuffers.Get().(*[largeBuffer]byte)
	r.buf = r.large[:]
	copy(r.buf, oldBuf)
	if r.wipe {
		clear(oldBuf)
	}
	r.small = nil
	smallBuffers.Put(old)
	return nil
}

// Buffered tells how many octets are here already.
func (c *Conn) Buffered() int { return c.end - c.start }

// fill reads more behind what is buffered, waiting until deadline at most.
func (c *Conn) fill(deadline time.Time) error {
	c.wire.SetReadDeadline(deadline)
	c.Pause()
	return c.fillNow()
}

// fillNow is fill under the deadline that is set. It blocks without a buffer when nothing is buffered.
func (c *Conn) fillNow() error {
	if c.Buffered() == 0 {
		c.release()
	} else if err := c.room(); err != nil {
		return err
	}
	if err := c.err; err != nil {
		return err
	}
	n, err := c.readMore()
	if n > 0 {
		c.err = c.translate(err)
		return c.filled(n)
	}
	return c.translate(err)
}

func (c *Conn) readMore() (int, error) {
	if c.tls != nil {
		return c.readTLS()
	}
	return c.readPlain()
}

// filled accounts for n new octets.
func (c *Conn) filled(n int) error {
	if c.listener.Service.authenticates() && !c.isAuthenticated.Load() {
		c.wipe = true
	}
	c.busy = c.end == len(c.buf)
	c.rate.count(n)
	c.Spend(c.server.work, n)
	if c.first {
		return c.inspect()
	}
	return nil
}

// readPlain reads from the socket, taking a buffer only when there is something to read.
func (c *Conn) readPlain() (int, error) {
	c.got, c.gotErr = 0, nil
	if err := c.wire.raw.Read(c.tryReading); err != nil {
		return 0, err
	}
	return c.got, c.gotErr
}

// readIfReady is readPlain's attempt; false means that nothing is there yet.
func (r *reader) readIfReady(fd uintptr) bool {
	had := r.buf != nil
	if !had {
		r.take()
	}
	n, err := ignoringEINTR(func() (int, error) { return unix.Read(int(fd), r.buf[r.end:]) })
	switch {
	case errors.Is(err, unix.EAGAIN):
		if !had {
			r.release()
		}
		return false
	case err != nil:
		r.gotErr = os.NewSyscallError("read", err)
	case n == 0:
		r.gotErr = io.EOF
	default:
		r.got = n
		r.end += n
	}
	if !had && r.end == 0 {
		r.release()
	}
	return true
}

func ignoringEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// readTLS waits with a buffer of one octet, and fetches what TLS has decrypted besides when it comes.
func (c *Conn) readTLS() (int, error) {
	before := c.end
	if c.buf == nil {
		if n, err := c.tls.Read(c.one[:]); n == 0 {
			return 0, err
		}
		c.take()
		c.buf[0] = c.one[0]
		c.one[0] = 0
		c.end = 1
	} else {
		n, err := c.tls.Read(c.buf[c.end:])
		c.end += n
		if err != nil {
			return n, err
		}
	}
	err := c.drainTLS()
	return c.end - before, err
}

// drainTLS takes the whole records that TLS has read from the socket already, so that commands
// sent together are answered together.
func (c *Conn) drainTLS() error {
	c.wire.sealed = true
	defer func() { c.wire.sealed = false }()
	for c.end < len(c.buf) {
		n, err := c.tls.Read(c.buf[c.end:])
		c.end += n
		if errors.Is(err, error(notNow{})) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// translate turns the end of a deadline and of the socket into the package's errors.
func (c *Conn) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case c.aborted.Load() || errors.Is(err, net.ErrClosed):
		return ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrTimeout
	}
	return err
}

// until is the moment at which a wait of d ends: earlier when the time to authenticate, or the window
// of the least rate, ends before.
func (c *Conn) until(d time.Duration) time.Time {
	now := time.Now()
	end := now.Add(d)
	if d <= 0 {
		end = now.Add(defaultTimeout)
	}
	if limit := c.strangerLimit(); !limit.IsZero() && limit.Before(end) {
		end = limit
	}
	return c.rate.cap(end)
}

// defaultTimeout holds for a door that has set none: no wait is without an end.
const defaultTimeout = 5 * time.Minute

// strangerLimit is when a connection that has not shown itself is given up; zero if it has.
func (c *Conn) strangerLimit() time.Time {
	l := c.door.limits
	switch {
	case c.isAuthenticated.Load():
	case c.listener.Service.authenticates():
		return c.opened.Add(l.Authenticate + c.excused)
	case !c.completed.Load():
		return c.opened.Add(l.FirstCommand)
	}
	return time.Time{}
}

// ReadLine returns the next line with its line end, valid until the next read. A line is at most
// limit octets: a longer one is read to its end, dropped but for its first octets, of which a tag
// can be told, and ErrLineTooLong returned with them.
//
// Errors: ErrTimeout, ErrWrongProtocol, io.EOF (also within a line), ErrClosed, ErrNoMemory.
func (c *Conn) ReadLine(limit int) ([]byte, error) {
	if c.anyLine {
		c.completed.Store(true) // the door has come back for another
	}
	limit = min(limit, largeBuffer)
	var deadline time.Time
	for searched := 0; ; {
		if i := bytes.IndexByte(c.buf[c.start+searched:c.end], '\n'); i >= 0 {
			return c.takeLine(searched+i+1, limit)
		}
		if searched = c.Buffered(); searched >= limit {
			head := bytes.Clone(c.buf[c.start:min(c.start+lineHead, c.end)])
			return head, c.dropLine(deadline)
		}
		if deadline.IsZero() {
			deadline = c.until(c.reader.timeout)
		}
		if err := c.fill(deadline); err != nil {
			return nil, err
		}
	}
}

// takeLine takes n octets, which end in LF.
func (c *Conn) takeLine(n, limit int) ([]byte, error) {
	line := c.buf[c.start : c.start+n]
	c.start += n
	c.anyLine = true
	if n > limit {
		return line[:min(n, lineHead)], ErrLineTooLong
	}
	if c.firstLine {
		c.firstLine = false
		if err := c.inspectLine(line); err != nil {
			return nil, err
		}
	}
	return line, nil
}

// dropLine reads to the end of a line that is too long.
func (c *Conn) dropLine(deadline time.Time) error {
	if deadline.IsZero() {
		deadline = c.until(c.reader.timeout)
	}
	for dropped := 0; dropped < maxDropped; {
		if i := bytes.IndexByte(c.buf[c.start:c.end], '\n'); i >= 0 {
			c.start += i + 1
			return ErrLineTooLong
		}
		dropped += c.Buffered()
		c.start = c.end
		if err := c.fill(deadline); err != nil {
			return err
		}
	}
	c.err = ErrLineTooLong
	return ErrLineTooLong
}

// Read reads content: literals, DATA. What the buffer does not hold goes straight into a large p.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.Buffered() == 0 && len(p) >= smallBuffer && !c.first && c.err == nil {
		return c.readStraight(p)
	}
	b, err := c.Peek()
	n := copy(p, b)
	c.Discard(n)
	return n, err
}

func (c *Conn) readStraight(p []byte) (int, error) {
	c.release()
	if err := c.rate.check(time.Now()); err != nil {
		return 0, err
	}
	c.wire.SetReadDeadline(c.until(c.reader.timeout))
	c.Pause()
	var n int
	var err error
	if c.tls != nil {
		n, err = c.tls.Read(p)
	} else {
		n, err = c.wire.Read(p)
	}
	c.rate.count(n)
	c.Spend(c.server.work, n)
	if n > 0 {
		c.err = c.translate(err)
		return n, nil
	}
	return 0, c.rate.explain(c.translate(err))
}

// Peek returns what is buffered, valid until the next read; it reads if nothing is. The buffer has
// 64 KiB at most.
func (c *Conn) Peek() ([]byte, error) {
	for c.Buffered() == 0 {
		if err := c.rate.check(time.Now()); err != nil {
			return nil, err
		}
		if err := c.fill(c.until(c.reader.timeout)); err != nil {
			return nil, c.rate.explain(err)
		}
	}
	return c.buf[c.start:c.end], nil
}

// Discard drops n octets of what Peek showed.
func (c *Conn) Discard(n int) { c.start += n }
