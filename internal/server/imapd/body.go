package imapd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// maxHeader is how much of a header is searched for fields (specification, section 2.10), in octets.
const maxHeader = 256 << 10

// pieceEffort is what a piece costs besides its own octets, in octets that take as long to move.
const pieceEffort = 256

// isWhole reports whether an item asks for the message as it is, for which no attributes are needed.
func isWhole(item *imap.BodyItem) bool {
	return item.Kind != imap.BinarySize && len(item.Section.Path) == 0 && item.Section.Kind == message.Whole
}

// piece is where a body item lies in the message. encoding is to be taken off it.
type piece struct {
	offset, size int64
	encoding     string
	decoded      int64 // size without the encoding, for BINARY
	nul          bool  // there is NUL in it then
	absent       bool
}

// tellBodies sends the response for one message, which begins with text, or nothing if the message
// is gone by now or cannot be decoded.
func (f *fetching) tellBodies(ctx context.Context, text []byte, uid mailbox.UID, r *mailbox.Record) error {
	body, err := f.s.selected.box.OpenBody(ctx, uid)
	if mail.IsKind(err, mail.Expunged) {
		f.missing = true
		return nil
	}
	if err != nil {
		return err
	}
	defer body.Close()
	if err := f.locate(ctx, body, r); mail.IsKind(err, mail.Unsupported) {
		f.unknown = true
		return nil
	} else if err != nil {
		return err
	}
	text = separated(text)
	for i := range f.Bodies {
		f.s.conn.Spend(ctx, pieceEffort)
		f.s.send(append(append(text, f.Bodies[i].Label...), ' '))
		if err := f.s.sendPiece(body, &f.Bodies[i], f.pieces[i]); err != nil {
			// The response is half written: nothing sensible can follow it.
			return lost(err)
		}
		text = append(f.s.scratch, ' ')
	}
	f.s.conn.WriteString(")\r\n")
	return f.s.broken
}

// appendPreview appends PREVIEW (RFC 8970).
func (f *fetching) appendPreview(ctx context.Context, b []byte, r *mailbox.Record) ([]byte, error) {
	a, err := f.s.attributes(ctx, r)
	if err != nil {
		return b, err
	}
	body, err := f.s.selected.box.OpenBody(ctx, r.UID)
	if err != nil {
		return b, err
	}
	defer body.Close()
	return imap.AppendString(append(separated(b), "PREVIEW "...), message.Preview(a, body), f.s.utf8()), nil
}

// locate finds the pieces of a message that f.Bodies ask for.
func (f *fetching) locate(ctx context.Context, body mailbox.Body, r *mailbox.Record) error {
	f.pieces = f.pieces[:0]
	var a *message.Attributes
	if f.partial {
		var err error
		if a, err = f.s.attributes(ctx, r); err != nil {
			return err
		}
	}
	for i := range f.Bodies {
		p := piece{size: body.Size()}
		if !isWhole(&f.Bodies[i]) {
			p = locate(a, &f.Bodies[i])
		}
		if k := f.Bodies[i].Section.Kind; k == message.HeaderFields || k == message.HeaderFieldsNot {
			if err := f.s.reserveHeader(ctx, min(p.size, maxHeader)); err != nil {
				return err
			}
		}
		if err := p.measure(body, &f.Bodies[i]); err != nil {
			return err
		}
		f.pieces = append(f.pieces, p)
	}
	return nil
}

// locate finds an item in the message.
func locate(a *message.Attributes, item *imap.BodyItem) piece {
	if item.Kind == imap.Body || len(item.Section.Path) == 0 {
		offset, size, ok := a.Range(item.Section)
		return piece{offset: offset, size: size, absent: !ok}
	}
	part, ok := a.Part(item.Section.Path)
	if !ok {
		return piece{absent: true}
	}
	p := piece{offset: part.BodyOffset, size: part.BodySize, encoding: part.Encoding}
	if part.Type == "MULTIPART" || part.Type == "MESSAGE" && len(part.Children) > 0 {
		p.encoding = "" // what encloses parts has no encoding of its own (RFC 2045, section 6.4)
	}
	return p
}

// sendPiece sends the value of an item.
func (s *session) sendPiece(body mailbox.Body, item *imap.BodyItem, p piece) error {
	switch {
	case p.absent && item.Kind == imap.BinarySize:
		s.conn.WriteString("0")
		return nil
	case p.absent:
		s.conn.WriteString("NIL")
		return nil
	case item.Kind != imap.Body:
		return s.sendBinary(body, item, p)
	case item.Section.Kind == message.HeaderFields || item.Section.Kind == message.HeaderFieldsNot:
		return s.sendFields(body, item, p)
	}
	offset, size := clip(item.Partial, p.size)
	s.send(imap.AppendLiteralMark(s.scratch, size))
	if offset == 0 && size == body.Size() {
		_, err := body.WriteTo(s.conn)
		return err
	}
	return s.copyRange(io.NewSectionReader(body, p.offset+offset, size), size)
}

// clip returns which part of size octets a partial range means (RFC 9051, section 6.4.5).
func clip(p *imap.Partial, size int64) (offset, n int64) {
	if p == nil {
		return 0, size
	}
	offset = min(p.Offset, size)
	return offset, min(p.Size, size-offset)
}

// copyRange sends exactly n octets of r.
func (s *session) copyRange(r io.Reader, n int64) error {
	buf := copyBuffers.Get().(*[64 << 10]byte)
	defer copyBuffers.Put(buf)
	for n > 0 {
		got, err := r.Read(buf[:min(n, int64(len(buf)))])
		if got > 0 {
			n -= int64(got)
			if _, err := s.conn.Write(buf[:got]); err != nil {
				return err
			}
		}
		if err != nil && n > 0 {
			return err
		}
	}
	return nil
}

// sendFields sends the header fields asked for.
func (s *session) sendFields(body mailbox.Body, item *imap.BodyItem, p piece) error {
	header := make([]byte, min(p.size, maxHeader))
	if _, err := body.ReadAt(header, p.offset); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	fields := message.SelectFields(header, item.Section.Fields, item.Section.Kind == message.HeaderFieldsNot)
	offset, size := clip(item.Partial, int64(len(fields)))
	s.send(imap.AppendLiteralMark(s.scratch, size))
	s.conn.Write(fields[offset : offset+size])
	return nil
}

// measure decodes a BINARY item to know its length, which must be told first: the part is decoded
// twice rather than held (RFC 3516, section 4.2). Errors: Unsupported.
func (p *piece) measure(body mailbox.Body, item *imap.BodyItem) error {
	if p.decoded = p.size; item.Kind == imap.Body || p.absent || p.encoding == "" {
		return nil
	}
	r, err := p.decode(body)
	if err != nil {
		return err
	}
	var m measure
	_, err = io.Copy(&m, r)
	p.decoded, p.nul = m.size, m.nul
	return err
}

// measure counts octets and looks for NUL.
type measure struct {
	size int64
	nul  bool
}

func (m *measure) Write(p []byte) (int, error) {
	m.size += int64(len(p))
	m.nul = m.nul || bytes.IndexByte(p, 0) >= 0
	return len(p), nil
}

// decode reads the piece without its transfer encoding.
func (p *piece) decode(body mailbox.Body) (io.Reader, error) {
	r := io.NewSectionReader(body, p.offset, p.size)
	if p.encoding == "" {
		return r, nil
	}
	return message.Decode(p.encoding, r)
}

// sendBinary sends a part without its transfer encoding, or how long that is. Only what holds NUL goes as
// literal8 (RFC 3516, section 4.3).
func (s *session) sendBinary(body mailbox.Body, item *imap.BodyItem, p piece) error {
	if item.Kind == imap.BinarySize {
		s.send(strconv.AppendInt(s.scratch, p.decoded, 10))
		return nil
	}
	r, err := p.decode(body)
	if err != nil {
		return err
	}
	offset, size := clip(item.Partial, p.decoded)
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		return err
	}
	mark := s.scratch
	if p.nul {
		mark = append(mark, '~')
	}
	s.send(imap.AppendLiteralMark(mark, size))
	return s.copyRange(r, size)
}
