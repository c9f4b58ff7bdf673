package mailfile

import (
	"bytes"
	"io"
)

// crlfReader gives lines that end in a bare LF the end CRLF, and fails at NUL.
type crlfReader struct {
	r    io.Reader
	buf  []byte
	left []byte // of buf, not given out yet
	last byte   // given out
	err  error
}

func newCRLFReader(r io.Reader) *crlfReader {
	return &crlfReader{r: r, buf: make([]byte, 32<<10)}
}

// Read implements io.Reader.
func (c *crlfReader) Read(p []byte) (int, error) {
	if len(c.left) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		n, err := c.r.Read(c.buf)
		c.left, c.err = c.buf[:n], err
		if bytes.IndexByte(c.left, 0) >= 0 {
			c.left, c.err = nil, errNUL
			return 0, errNUL
		}
	}
	n := 0
	for len(c.left) > 0 && n < len(p) {
		if c.left[0] == '\n' && c.last != '\r' {
			p[n], c.last = '\r', '\r'
			n++
			continue
		}
		// Up to a LF that has to be looked at, which may be the first octet when its CR is there.
		end := bytes.IndexByte(c.left[1:], '\n') + 1
		if end == 0 {
			end = len(c.left)
		}
		m := copy(p[n:], c.left[:end])
		c.last = c.left[m-1]
		c.left, n = c.left[m:], n+m
	}
	return n, nil
}

// lfWriter makes CRLF LF. What could then not be told from another end of a line is left as it is: CR CR LF.
type lfWriter struct {
	w       io.Writer
	pending int // CRs that came last: 0, 1 or 2 for more
	size    int64
	bare    bool // a LF without CR was seen, which an import cannot tell from one that had it
	out     []byte
}

// Write implements io.Writer.
func (l *lfWriter) Write(p []byte) (int, error) {
	l.out = l.out[:0]
	for _, c := range p {
		switch {
		case c == '\r' && l.pending == 0:
			l.pending = 1
			continue
		case c == '\r':
			l.out, l.pending = append(l.out, '\r'), 2
			continue
		case c == '\n' && l.pending == 1:
		case c == '\n' && l.pending == 0:
			l.bare = true
		case l.pending > 0:
			l.out = append(l.out, '\r')
		}
		l.out, l.pending = append(l.out, c), 0
	}
	return len(p), l.put()
}

// Close writes a CR that was held back.
func (l *lfWriter) Close() error {
	l.out = l.out[:0]
	if l.pending > 0 {
		l.out, l.pending = append(l.out, '\r'), 0
	}
	return l.put()
}

func (l *lfWriter) put() error {
	n, err := l.w.Write(l.out)
	l.size += int64(n)
	return err
}

// contentOf joins a reader and what it reads from.
func contentOf(r io.Reader, c io.Closer) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{r, c}
}
