package smtp

import (
	"bytes"
	"errors"
	"io"
)

// Source is a buffer that fills from a connection. Peek shows what is there, at least one octet, and
// reads when nothing is; what it shows stays valid until the next call. Discard takes octets away
// that Peek has shown.
type Source interface {
	Peek() ([]byte, error)
	Discard(n int)
}

// DataReader reads the content that follows DATA, without the dots that the client added. Only
// CRLF.CRLF ends it (RFC 5321, section 4.1.1.4): a server that takes anything else for the end can be
// made to see a message within a message.
type DataReader struct {
	src   Source
	ends  *LineEnds
	used  int // octets of the source that the last piece stood for
	state dataState
}

// dataState is what the octets before the next one were.
type dataState uint8

const (
	atStart dataState = iota // the start, or CRLF
	inLine
	afterCR
	afterDot   // the start or CRLF, then a dot, which is not content
	afterDotCR // and CR
	atEnd
)

// NewDataReader returns a reader of one message from src, whose line ends become those of ends.
func NewDataReader(src Source, ends *LineEnds) *DataReader {
	return &DataReader{src: src, ends: ends}
}

// Next returns the next piece of content, which is valid until the next call, and io.EOF once the
// end was read. Nothing beyond the end is taken from the source.
//
// Errors: io.ErrUnexpectedEOF when the source ends before, and those of the source.
func (d *DataReader) Next() ([]byte, error) {
	for {
		if chunk := d.ends.pull(); chunk != nil {
			return chunk, nil
		}
		d.src.Discard(d.used)
		d.used = 0
		if d.state == atEnd {
			return nil, io.EOF
		}
		buf, err := d.src.Peek()
		if err != nil {
			return nil, unexpected(err)
		}
		piece, n := d.unstuff(buf)
		d.used = n
		d.ends.push(piece)
	}
}

// unexpected makes the end of the source, which is an ordinary one nowhere in content, an error.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unstuff returns the next octets of content and how many of src they stand for.
func (d *DataReader) unstuff(src []byte) (content []byte, n int) {
	switch d.state {
	case atStart:
		if src[0] == '.' {
			d.state = afterDot
			return nil, 1
		}
	case afterCR:
		if src[0] == '\n' {
			d.state = atStart
			return src[:1], 1
		}
	case afterDot:
		if src[0] == '\r' {
			d.state = afterDotCR
			return nil, 1
		}
	case afterDotCR:
		if src[0] == '\n' {
			d.state = atEnd
			return nil, 1
		}
		// The dot was alone on a line that CR ended: an end of DATA to some.
		d.ends.bare = true
		d.state = afterCR
		return crlf[:1], 0
	}
	return d.lines(src)
}

var lineDotStart = []byte("\r\n.")

// lines returns all content up to the next dot that begins a line.
func (d *DataReader) lines(src []byte) (content []byte, n int) {
	if i := bytes.Index(src, lineDotStart); i >= 0 {
		d.state = afterDot
		return src[:i+2], i + 3
	}
	switch {
	case bytes.HasSuffix(src, crlf):
		d.state = atStart
	case src[len(src)-1] == '\r':
		d.state = afterCR
	default:
		d.state = inLine
	}
	return src, len(src)
}

// ChunkReader reads one chunk of BDAT, which is counted and never searched (RFC 3030, section 2).
type ChunkReader struct {
	src  Source
	ends *LineEnds
	left int64
	used int
}

// NewChunkReader returns a reader of size octets from src. ends is that of the message, through all
// of its chunks; after the last one the caller adds what ends.Finish returns.
func NewChunkReader(src Source, size int64, ends *LineEnds) *ChunkReader {
	return &ChunkReader{src: src, ends: ends, left: size}
}

// Next is as for DataReader.
func (c *ChunkReader) Next() ([]byte, error) {
	for {
		if chunk := c.ends.pull(); chunk != nil {
			return chunk, nil
		}
		c.src.Discard(c.used)
		c.used = 0
		if c.left == 0 {
			return nil, io.EOF
		}
		buf, err := c.src.Peek()
		if err != nil {
			return nil, unexpected(err)
		}
		c.used = int(min(int64(len(buf)), c.left))
		c.left -= int64(c.used)
		c.ends.push(buf[:c.used])
	}
}
