package imapd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// appending is an APPEND with the literal that is still to come.
type appending struct {
	imap.Append
	literal imap.Literal
}

// errNUL is the refusal of content that IMAP cannot give back (RFC 3516, section 4.4).
var errNUL = errors.New("message holds NUL")

// append stores a message, which streams from the connection into the store. What can be refused is
// refused before a synchronising literal is asked for. RFC 9051, section 6.3.12; RFC 4315; RFC 7889.
func (s *session) append(ctx context.Context, a appending) (imap.Response, error) {
	info, r, err := s.mayAppend(ctx, a)
	if err != nil || r.Condition != imap.OK {
		return r, s.refuseLiteral(a.literal, err)
	}
	if a.literal.Sync {
		if err := s.goAhead("+ Ready for literal data\r\n"); err != nil {
			return imap.Response{}, lost(err)
		}
	}
	m, err := s.receive(ctx)
	if err := s.endMessage(err); errors.Is(err, errNUL) {
		return imap.Response{Condition: imap.No, Code: "UNKNOWN-CTE", Text: "Message holds NUL octets"}, nil
	} else if err != nil {
		return imap.Response{}, err
	}
	m.Flags, m.Received = a.Flags, a.Received
	if m.Received.IsZero() {
		m.Received = time.Now()
	}
	uids, err := s.account.Append(ctx, info.ID, []mailbox.Message{m}, nil)
	if mail.IsKind(err, mail.NotFound) {
		return tryCreate(), nil
	}
	if err != nil {
		return imap.Response{}, err
	}
	s.server.stats.appended.Add(1)
	return imap.Response{Code: fmt.Sprintf("APPENDUID %d %d", info.UIDValidity, uids[0])}, nil
}

// mayAppend finds the target and says what is wrong with the request, message unseen.
func (s *session) mayAppend(ctx context.Context, a appending) (mailbox.Info, imap.Response, error) {
	if err := checkFlags(a.Flags); err != nil {
		return mailbox.Info{}, imap.Response{}, err
	}
	switch {
	case a.literal.Size > s.server.limits.Message:
		return mailbox.Info{}, imap.Response{}, mail.Errorf(mail.TooBig, "Message is too big")
	case a.literal.Size == 0:
		return mailbox.Info{}, imap.Response{Condition: imap.No, Text: "Message is empty"}, nil
	}
	info, err := s.lookup(ctx, a.Mailbox)
	if mail.IsKind(err, mail.NotFound) {
		return info, tryCreate(), nil
	}
	return info, imap.Response{}, err
}

// refuseLiteral reads past the literal of a refused APPEND, if it comes without being asked for,
// and returns cause.
func (s *session) refuseLiteral(lit imap.Literal, cause error) error {
	if lit.Sync {
		return cause
	}
	return s.skipMessage(lit.Size, cause)
}

// skipMessage reads past a message that nobody wants and returns cause. One far over the limit, or
// any of some length from a stranger, ends the connection, as RFC 7888, section 4 allows.
func (s *session) skipMessage(size int64, cause error) error {
	limit := 4 * s.server.limits.Message
	if s.account == nil {
		limit = s.server.limits.StrangerLiterals
	}
	if size > limit {
		return lost(imap.ErrFlood)
	}
	return s.endMessage(cause)
}

// endMessage reads to the end of the command, past what is left of the message. It returns cause
// unless that is nil or the connection is lost.
func (s *session) endMessage(cause error) error {
	if isLost(cause) {
		return cause
	}
	s.conn.DemandRate()
	err := s.reader.EndMessage(s.server.limits.Line)
	s.conn.EndRate()
	if err != nil && !understood(err) {
		return lost(err)
	}
	if cause != nil {
		return cause
	}
	return err
}

// copyBuffers are for content on its way between the connection and the store.
var copyBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// receive streams the message into a new blob and looks at its structure meanwhile.
func (s *session) receive(ctx context.Context) (mailbox.Message, error) {
	blob, err := s.server.mailboxes.NewBody(ctx)
	if err != nil {
		return mailbox.Message{}, err
	}
	defer blob.Discard()
	l := &s.server.limits
	scanner := message.NewScanner(message.Limits{Header: l.Header, Depth: l.Depth, Parts: l.Parts})
	in := lineEnds{w: io.MultiWriter(blob, scanner)}
	buf := copyBuffers.Get().(*[64 << 10]byte)
	defer copyBuffers.Put(buf)
	s.conn.DemandRate()
	defer s.conn.EndRate()
	for src := s.reader.Message(); ; {
		n, err := src.Read(buf[:])
		if n > 0 {
			if err := in.write(buf[:n]); err != nil {
				return mailbox.Message{}, err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return mailbox.Message{}, lost(err)
		}
	}
	id, err := blob.Finish()
	if err != nil {
		return mailbox.Message{}, err
	}
	return mailbox.Message{Blob: id, BlobSize: in.size, Attributes: scanner.Finish()}, nil
}

// lineEnds makes bare LF CRLF (specification, section 2.8) and refuses NUL.
type lineEnds struct {
	w    io.Writer
	size int64
	last byte
}

func (l *lineEnds) write(p []byte) error {
	if bytes.IndexByte(p, 0) >= 0 {
		return errNUL
	}
	for len(p) > 0 {
		n := l.untilBare(p)
		if err := l.put(p[:n]); err != nil {
			return err
		}
		if p = p[n:]; len(p) > 0 {
			if err := l.put([]byte{'\r'}); err != nil {
				return err
			}
			if err := l.put(p[:1]); err != nil {
				return err
			}
			p = p[1:]
		}
	}
	return nil
}

func (l *lineEnds) put(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	l.last = p[len(p)-1]
	l.size += int64(len(p))
	_, err := l.w.Write(p)
	return err
}

// untilBare returns how many octets come before the first bare LF.
func (l *lineEnds) untilBare(p []byte) int {
	for i := 0; ; i++ {
		n := bytes.IndexByte(p[i:], '\n')
		if n < 0 {
			return len(p)
		}
		i += n
		if i == 0 && l.last != '\r' || i > 0 && p[i-1] != '\r' {
			return i
		}
	}
}
