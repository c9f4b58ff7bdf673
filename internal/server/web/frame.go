package web

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Messages travel between a command and the server in frames: a head as JSON on a line, then the content in
// pieces, each after its length (4 octets, big-endian). A piece of length 0 ends the content; cut off instead of
// it says that the content could not be read to its end, and is followed by the reason as JSON on a line.
const (
	maxPiece = 64 << 10
	maxHead  = 64 << 10
	cutOff   = 1<<32 - 1
)

// errCutOff wraps the reason why the sender could not read a content to its end.
var errCutOff = errors.New("the content was cut off")

// frameWriter writes frames.
type frameWriter struct {
	w   *bufio.Writer
	buf []byte
}

func newFrameWriter(w io.Writer) *frameWriter {
	return &frameWriter{bufio.NewWriterSize(w, maxPiece+4), make([]byte, maxPiece)}
}

// write writes a frame. A failure of content goes to the reader of the frame; the error is that of the connection.
func (f *frameWriter) write(head any, content io.Reader) error {
	if err := f.line(head); err != nil {
		return err
	}
	for {
		n, err := io.ReadFull(content, f.buf)
		if n > 0 {
			f.length(uint32(n))
			if _, err := f.w.Write(f.buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF, err == io.ErrUnexpectedEOF:
			f.length(0)
			return nil
		case err != nil:
			f.length(cutOff)
			return f.line(err.Error())
		}
	}
}

// length writes a length; the buffered writer keeps an error for the next write.
func (f *frameWriter) length(n uint32) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	_, _ = f.w.Write(b[:])
}

func (f *frameWriter) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = f.w.Write(append(b, '\n'))
	return err
}

func (f *frameWriter) flush() error { return f.w.Flush() }

// frameReader reads frames. The content of one must be read before the next; what is left of it is skipped.
type frameReader struct {
	r       *bufio.Reader
	content *frameContent
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, maxHead)}
}

// next reads a head into v and returns the content, whose errors wrap errCutOff when the sender cut it off.
// io.EOF: no frame follows.
func (f *frameReader) next(v any) (io.Reader, error) {
	if f.content != nil {
		if _, err := io.Copy(io.Discard, f.content); err != nil && !errors.Is(err, errCutOff) {
			return nil, err
		}
		f.content = nil
	}
	if _, err := f.r.Peek(1); err != nil {
		return nil, err
	}
	if err := f.line(v); err != nil {
		return nil, err
	}
	f.content = &frameContent{f: f}
	return f.content, nil
}

func (f *frameReader) line(v any) error {
	line, err := f.r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("reading the head of a message: %w", noEOF(err))
	}
	return json.Unmarshal(line, v)
}

// frameContent is the content of the frame being read.
type frameContent struct {
	f    *frameReader
	left uint32
	err  error
}

func (c *frameContent) Read(p []byte) (int, error) {
	if c.err == nil && c.left == 0 {
		c.err = c.piece()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.f.r.Read(p[:min(len(p), int(c.left))])
	c.left -= uint32(n)
	if err != nil {
		c.err = noEOF(err)
	}
	return n, c.err
}

// piece begins the next piece.
func (c *frameContent) piece() error {
	var b [4]byte
	if _, err := io.ReadFull(c.f.r, b[:]); err != nil {
		return noEOF(err)
	}
	switch c.left = binary.BigEndian.Uint32(b[:]); {
	case c.left == 0:
		return io.EOF
	case c.left == cutOff:
		c.left = 0
		var reason string
		if err := c.f.line(&reason); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s", errCutOff, reason)
	case c.left > maxPiece:
		return fmt.Errorf("a piece of %d octets is longer than %d", c.left, maxPiece)
	}
	return nil
}

// noEOF makes an end in the midst of a frame an error that no reader takes for the frame's end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
