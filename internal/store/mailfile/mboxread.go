package mailfile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Messages calls f for each message of a folder in its order. Two messages that are alike but for their flags have
// different keys, by their order. What cannot be read is told to bad. An error of f ends it.
func (m *Mbox) Messages(folder Folder, bad func(*Fault), f func(*Message) error) error {
	file, err := openRegular(m.root, folder.Path)
	if err != nil {
		bad(&Fault{folder.Path, err})
		return nil
	}
	defer file.Close()
	s := newMboxScanner(file, 0)
	if err := s.begin(); err != nil {
		bad(&Fault{folder.Path, err})
		return nil
	}
	alike := map[uint64]uint32{} // messages by digest: 16 octets for each, while the file is read
	for {
		found, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			bad(&Fault{fmt.Sprintf("%s after octet %d", folder.Path, s.off), err})
			return nil
		}
		short := binary.BigEndian.Uint64(found.digest[:])
		message := &Message{
			Place: fmt.Sprintf("%s at octet %d", folder.Path, found.at), Key: mboxKey(found.digest, alike[short]), Weight: s.off - found.at,
			Open: func() (*Content, error) { return m.open(folder.Path, found) },
		}
		alike[short]++
		if err := f(message); err != nil {
			return err
		}
	}
}

func mboxKey(digest [sha256.Size]byte, nth uint32) (key [16]byte) {
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(append([]byte("mbox\x00"), digest[:]...), nth))
	copy(key[:], sum[:])
	return key
}

// open opens a message.
func (m *Mbox) open(file string, found *mboxMessage) (*Content, error) {
	f, err := openRegular(m.root, file)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	var r io.Reader = io.NewSectionReader(f, found.start, found.end-found.start)
	c := &Content{Flags: found.state.flags, Received: found.date}
	if c.Received.IsZero() {
		c.Received = info.ModTime()
	}
	if found.mark != nil {
		c.Received = found.mark.Received
		r = &sized{r: newCRLFReader(&mboxFilter{r: bufio.NewReaderSize(r, filterBuffer), unquote: true}), left: found.mark.Size}
	} else {
		r = newCRLFReader(&mboxFilter{r: bufio.NewReaderSize(r, filterBuffer), unquote: !found.exact, header: true})
	}
	c.ReadCloser = contentOf(r, f)
	return c, nil
}

// sized reads as many octets as it has to, and fails when there are fewer.
type sized struct {
	r    io.Reader
	left int64
}

func (s *sized) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > s.left {
		p = p[:s.left]
	}
	n, err := s.r.Read(p)
	if s.left -= int64(n); s.left > 0 && err == io.EOF {
		return n, fmt.Errorf("the message is cut off: %d octets are missing", s.left)
	}
	return n, err
}

// filterBuffer is how long a run of ">" may be that quotes a line.
const filterBuffer = 16 << 10

// mboxFilter takes the fields of mboxFields out of a header, and the ">" off quoted lines of what follows.
type mboxFilter struct {
	r       *bufio.Reader
	header  bool // what comes is the header
	unquote bool
	skips   bool   // a field that is left out is being read
	midLine bool   // what comes is not the beginning of a line
	left    []byte // to be given out
}

// Read implements io.Reader.
func (f *mboxFilter) Read(p []byte) (int, error) {
	for len(f.left) == 0 {
		line, err := f.r.ReadSlice('\n')
		begins := !f.midLine
		f.midLine = errors.Is(err, bufio.ErrBufferFull)
		if len(line) == 0 {
			return 0, err
		}
		f.left = f.filter(line, begins)
	}
	n := copy(p, f.left)
	f.left = f.left[n:]
	return n, nil
}

// filter returns what is given out of a line, or of the part of a long one.
func (f *mboxFilter) filter(line []byte, begins bool) []byte {
	switch {
	case f.header && begins && isBlank(line):
		f.header, f.skips = false, false
	case f.header && begins && line[0] != ' ' && line[0] != '\t':
		f.skips = mboxField(line) != ""
	case !f.header && begins && f.unquote && isQuoted(line):
		return line[1:]
	}
	if f.skips {
		return nil
	}
	return line
}

// isQuoted reports whether a line is ">From " with any number of ">" (mboxrd; of mboxo, one).
func isQuoted(line []byte) bool {
	return len(line) > 0 && line[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(line, ">"), from)
}
