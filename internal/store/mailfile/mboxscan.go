package mailfile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"time"
)

// mboxMessage is a message that was found in an mbox.
type mboxMessage struct {
	at         int64     // offset of its From_ line
	date       time.Time // of that line; zero: it has none
	start, end int64     // of what follows it
	state      mboxState
	// exact: Content-Length told where it ends, and so no line was quoted.
	exact  bool
	mark   *mark // of an export
	digest [sha256.Size]byte
}

// mboxFile is what a scanner reads.
type mboxFile interface {
	io.Reader
	io.ReaderAt
}

// mboxScanner finds the messages of an mbox. A message begins at the start and after each empty line that a From_
// line follows, but not within the octets that a Content-Length counts, if it counts right.
type mboxScanner struct {
	f       mboxFile
	r       *bufio.Reader
	off     int64 // of what is read next
	midLine bool  // the last piece did not end its line

	from     bool // the From_ line of the next message has been read
	fromAt   int64
	fromDate time.Time
	fromHash [sha256.Size]byte
}

var errNoMbox = errors.New("it is no mbox: it does not begin with a From_ line")

// maxFieldValue bounds what is kept of a field in mboxFields.
const maxFieldValue = 64 << 10

func newMboxScanner(f mboxFile, off int64) *mboxScanner {
	return &mboxScanner{f: f, r: bufio.NewReaderSize(f, 64<<10), off: off}
}

// piece reads a line or, of a long one, a part. begins: of a line.
func (s *mboxScanner) piece() (p []byte, begins bool, err error) {
	begins = !s.midLine
	p, err = s.r.ReadSlice('\n')
	s.off += int64(len(p))
	s.midLine = errors.Is(err, bufio.ErrBufferFull)
	if s.midLine || err == io.EOF && len(p) > 0 {
		err = nil
	}
	return p, begins, err
}

func isBlank(line []byte) bool { return len(bytes.TrimRight(line, "\r\n")) == 0 && len(line) > 0 }

// begin reads the first From_ line, after empty lines at most.
func (s *mboxScanner) begin() error {
	for {
		line, _, err := s.piece()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case isBlank(line):
			continue
		case !s.isFrom(line):
			return errNoMbox
		}
		return nil
	}
}

// isFrom takes a line that is a From_ line.
func (s *mboxScanner) isFrom(line []byte) bool {
	date, ok := parseFrom(line)
	if ok {
		s.from, s.fromAt, s.fromDate, s.fromHash = true, s.off-int64(len(line)), date, sha256.Sum256(line)
	}
	return ok
}

// next returns the next message. Errors: io.EOF, those of the file.
func (s *mboxScanner) next() (*mboxMessage, error) {
	if !s.from {
		return nil, io.EOF
	}
	s.from = false
	m := &mboxMessage{at: s.fromAt, date: s.fromDate, start: s.off, end: s.off, state: mboxState{length: -1}}
	sum := sha256.New()
	sum.Write(s.fromHash[:])
	more, err := s.header(m, sum)
	if err == nil && more {
		err = s.body(m, sum)
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	sum.Sum(m.digest[:0])
	return m, nil
}

// header reads the header. more: a body follows.
func (s *mboxScanner) header(m *mboxMessage, sum hash.Hash) (more bool, err error) {
	name, value := "", []byte(nil)
	take := func() {
		if name != "" {
			m.state.take(name, string(value))
		}
		name, value = "", value[:0]
	}
	defer take()
	for lines := 0; ; {
		p, begins, err := s.piece()
		if err != nil {
			return false, err
		}
		if begins {
			lines++
		}
		switch own := m.mark == nil || lines <= markLines; {
		case begins && lines == 1 && isMark(p, m):
			continue
		case begins && isBlank(p):
			sum.Write(p)
			m.end = s.off
			return true, nil
		case begins && (!own || p[0] != ' ' && p[0] != '\t'):
			take()
			if own {
				name = mboxField(p)
			}
			if name != "" {
				p = p[bytes.IndexByte(p, ':')+1:]
			}
		}
		if name == "" {
			sum.Write(p)
		} else if len(value)+len(p) <= maxFieldValue {
			value = append(value, p...)
		}
		if m.end = s.off; m.mark != nil && lines <= markLines {
			m.start = s.off
		}
	}
}

func isMark(line []byte, m *mboxMessage) bool {
	mark, ok := parseMark(line)
	if ok {
		m.mark = &mark
	}
	return ok
}

// body reads up to the next From_ line.
func (s *mboxScanner) body(m *mboxMessage, sum hash.Hash) error {
	if m.mark == nil && s.counts(m.state.length) {
		if _, err := io.CopyN(sum, s.r, m.state.length); err != nil {
			return err
		}
		s.off += m.state.length
		m.end, m.exact = s.off, true
		return s.begin()
	}
	blank, held := true, []byte(nil) // an empty line belongs to the body if no From_ line follows
	for {
		p, begins, err := s.piece()
		if err != nil {
			return err
		}
		if begins && blank && s.isFrom(p) {
			return nil
		}
		sum.Write(held)
		m.end, held = s.off, held[:0]
		if blank = begins && isBlank(p); !blank {
			sum.Write(p)
			continue
		}
		held = append(held, p...)
		m.end -= int64(len(p))
	}
}

// counts reports whether a body of n octets is followed by a From_ line or the end.
func (s *mboxScanner) counts(n int64) bool {
	if n < 0 {
		return false
	}
	b := make([]byte, 512)
	got, err := s.f.ReadAt(b, s.off+n)
	if err != nil && err != io.EOF {
		return false
	}
	b = b[:got]
	if got == 0 { // the end, if the file is that long
		one := make([]byte, 1)
		got, _ := s.f.ReadAt(one, s.off+n-1)
		return n == 0 || got == 1
	}
	for len(b) > 0 && (b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	if len(b) == 0 {
		return err == io.EOF
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	_, ok := parseFrom(line)
	return ok
}
