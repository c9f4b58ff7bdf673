package pop3d

import (
	"bytes"
	"context"
	"io"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/mailbox"
)

// maxHeader is the longest header that is put into US-ASCII, in octets.
const maxHeader = 1 << 20

// enableUTF8 lets messages come as they are for the rest of the session. RFC 6856, section 2.1.
func (s *session) enableUTF8(_ context.Context, args arguments) (reply, error) {
	if err := args.none(); err != nil {
		return reply{}, err
	}
	s.utf8 = true
	return ok("UTF8 enabled"), nil
}

// utf8Capability says under TLS that user names may hold UTF-8, too. RFC 6856, section 2.
func (s *session) utf8Capability() string {
	if s.mayLogIn() {
		return "UTF8 USER"
	}
	return "UTF8"
}

// content is what is sent of a message.
type content struct {
	mailbox.Body
	header   message.Header // in the place of so many octets
	replaces int64
}

// open opens message n. A client that has not said UTF8 gets a header with 8-bit octets in US-ASCII, as
// good as that can be (RFC 6856, section 2.1; RFC 6858).
func (s *session) open(ctx context.Context, n int) (*content, error) {
	body, err := s.body(ctx, n)
	if err != nil || s.utf8 {
		return &content{Body: body}, err
	}
	h, _, err := message.ReadHeader(io.NewSectionReader(body, 0, body.Size()), maxHeader)
	tooBig := mail.IsKind(err, mail.TooBig)
	if tooBig && asciiHeader(body) {
		return &content{Body: body}, nil
	}
	if err != nil {
		body.Close()
		if !tooBig {
			return nil, err
		}
		return nil, mail.Wrap(mail.Unsupported, err, "[UTF8] the header cannot be put into US-ASCII")
	}
	c := &content{Body: body}
	if ascii := message.Downgrade(h); !bytes.Equal(ascii, h) {
		c.header, c.replaces = ascii, int64(len(h))
	}
	return c, nil
}

// asciiHeader reports whether the header of a message, or all of one without a blank line, is US-ASCII.
func asciiHeader(body mailbox.Body) bool {
	var header message.HeaderWatch
	r, buf := io.NewSectionReader(body, 0, body.Size()), make([]byte, 32<<10)
	for !header.Ended && !header.EightBit {
		n, err := r.Read(buf)
		header.See(buf[:n])
		if err != nil {
			return err == io.EOF && !header.EightBit
		}
	}
	return !header.EightBit
}

// Size returns the number of octets that WriteTo writes.
func (c *content) Size() int64 { return c.Body.Size() - c.replaces + int64(len(c.header)) }

// WriteTo writes the message.
func (c *content) WriteTo(w io.Writer) (int64, error) {
	if c.replaces == 0 {
		return c.Body.WriteTo(w)
	}
	n, err := w.Write(c.header)
	if err != nil {
		return int64(n), err
	}
	rest, err := io.Copy(w, io.NewSectionReader(c.Body, c.replaces, c.Body.Size()-c.replaces))
	return int64(n) + rest, err
}
