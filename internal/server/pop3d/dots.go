package pop3d

import (
	"bytes"
	"errors"
	"io"
)

// stuffer writes lines of a multi-line reply: it puts a dot before each line that begins with one
// (RFC 1939, section 3). It copies nothing.
type stuffer struct {
	to        io.Writer
	lineStart bool
}

var dot = []byte(".")

func (w *stuffer) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	written := 0
	if w.lineStart && p[0] == '.' {
		if _, err := w.to.Write(dot); err != nil {
			return 0, err
		}
	}
	for {
		rest := p[written:]
		i := bytes.Index(rest, []byte("\n."))
		if i < 0 {
			n, err := w.to.Write(rest)
			w.lineStart = p[len(p)-1] == '\n'
			return written + n, err
		}
		n, err := w.to.Write(rest[:i+1])
		if written += n; err != nil {
			return written, err
		}
		if _, err := w.to.Write(dot); err != nil {
			return written, err
		}
	}
}

// finish completes the last line.
func (w *stuffer) finish() error {
	if w.lineStart {
		return nil
	}
	_, err := io.WriteString(w.to, "\r\n")
	return err
}

// errEnough ends a copy through a topWriter.
var errEnough = errors.New("pop3d: enough lines")

// topWriter passes on the header, the blank line and so many lines of the body, then fails with errEnough.
type topWriter struct {
	to        io.Writer
	left      int // lines of the body
	inBody    bool
	lineStart bool
}

func (w *topWriter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		if w.inBody && w.left == 0 {
			_, err := w.to.Write(p[:done])
			return done, errors.Join(errEnough, err)
		}
		done += w.line(p[done:])
	}
	return w.to.Write(p)
}

// line returns the length of the line at the start of p, or of what there is of it.
func (w *topWriter) line(p []byte) int {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		// A "\r" alone may be the first half of the blank line.
		w.lineStart = w.lineStart && string(p) == "\r"
		return len(p)
	}
	switch {
	case w.inBody:
		w.left--
	case w.lineStart && (i == 0 || i == 1 && p[0] == '\r'):
		w.inBody = true
	}
	w.lineStart = true
	return i + 1
}
