package imapd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"candor/internal/message"
	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// The refusals of what a message holds.
var (
	// errNUL: IMAP cannot give it back (RFC 3516, section 4.4).
	errNUL = refused{Condition: imap.No, Code: "UNKNOWN-CTE", Text: "Message holds NUL octets"}
	// errEightBit: RFC 9755, section 3.
	errEightBit = refused{Condition: imap.No, Code: "CANNOT", Text: "Message header is not US-ASCII: ENABLE UTF8=ACCEPT first"}
)

// copyBuffers are for content on its way between the connection and the store.
var copyBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// receive streams a message into the store. One that is sent as literal8 may have parts with the
// transfer encoding BINARY; if they hold what a literal cannot, it is kept with these parts in base64.
func (s *session) receive(ctx context.Context, lit imap.Literal) (mailbox.Message, error) {
	s.conn.DemandRate()
	defer s.conn.EndRate()
	in, err := s.newIncoming(ctx)
	if err != nil {
		return mailbox.Message{}, err
	}
	defer in.blob.Discard()
	in.raw = lit.Binary
	if err := in.copy(s.reader.Message()); err != nil {
		return mailbox.Message{}, err
	}
	m, err := in.finish()
	if err != nil || !in.unclean {
		return m, err
	}
	return s.encodeBinary(ctx, m)
}

// encodeBinary stores a message anew without what a literal cannot hold.
func (s *session) encodeBinary(ctx context.Context, m mailbox.Message) (mailbox.Message, error) {
	body, err := s.server.mailboxes.OpenBlob(ctx, m.Blob)
	if err != nil {
		return mailbox.Message{}, err
	}
	defer body.Close()
	in, err := s.newIncoming(ctx)
	if err != nil {
		return mailbox.Message{}, err
	}
	defer in.blob.Discard()
	if err := message.EncodeBinary(in, body, m.Attributes); err != nil {
		return mailbox.Message{}, err
	}
	return in.finish()
}

// incoming is a message on its way into the store, whose structure is looked at meanwhile. It makes bare
// LF CRLF (specification, section 2.8) and refuses NUL.
type incoming struct {
	blob    mailbox.BodyWriter
	scanner *message.Scanner
	header  message.HeaderWatch
	ascii   bool // refuses an 8-bit header
	raw     bool // notes in unclean what it would change or refuse, and leaves it
	unclean bool
	memory  error // why there was none for the structure
	size    int64
	last    byte
}

func (s *session) newIncoming(ctx context.Context) (*incoming, error) {
	blob, err := s.server.mailboxes.NewBody(ctx)
	if err != nil {
		return nil, err
	}
	in := &incoming{blob: blob, ascii: !s.utf8()}
	in.scanner = message.NewScanner(s.structureLimits(ctx, &in.memory))
	return in, nil
}

func (in *incoming) copy(r io.Reader) error {
	buf := copyBuffers.Get().(*[64 << 10]byte)
	defer copyBuffers.Put(buf)
	for {
		n, err := r.Read(buf[:])
		if n > 0 {
			if _, err := in.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return lost(err)
		}
	}
}

func (in *incoming) finish() (mailbox.Message, error) {
	id, err := in.blob.Finish()
	return mailbox.Message{Blob: id, BlobSize: in.size, Attributes: in.scanner.Finish()}, err
}

// Write is an io.Writer's.
func (in *incoming) Write(p []byte) (int, error) {
	nul := bytes.IndexByte(p, 0) >= 0
	if in.raw {
		in.unclean = in.unclean || nul || in.untilBare(p) < len(p)
		return len(p), in.put(p)
	}
	if nul {
		return 0, errNUL
	}
	for rest := p; len(rest) > 0; {
		n := in.untilBare(rest)
		if err := in.put(rest[:n]); err != nil {
			return 0, err
		}
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
		if err := in.put([]byte("\r\n")); err != nil {
			return 0, err
		}
		rest = rest[1:]
	}
	return len(p), nil
}

func (in *incoming) put(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if in.header.See(p); in.ascii && in.header.EightBit {
		return errEightBit
	}
	in.last = p[len(p)-1]
	in.size += int64(len(p))
	in.scanner.Write(p)
	if in.memory != nil {
		return in.memory
	}
	_, err := in.blob.Write(p)
	return err
}

// untilBare returns how many octets come before the first bare LF.
func (in *incoming) untilBare(p []byte) int {
	for i := 0; ; i++ {
		n := bytes.IndexByte(p[i:], '\n')
		if n < 0 {
			return len(p)
		}
		i += n
		if i == 0 && in.last != '\r' || i > 0 && p[i-1] != '\r' {
			return i
		}
	}
}
