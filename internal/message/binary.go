package message

import (
	"encoding/base64"
	"io"

	"candor/internal/mail"
)

// maxBinaryHeader is the longest header of a binary part, in octets.
const maxBinaryHeader = 256 << 10

// EncodeBinary writes the message src, which has the attributes a, to dst with each part that has the transfer
// encoding BINARY in base64, and all else as it is. Nothing is lost by it (RFC 3516, section 4.4).
//
// Errors: mail.TooBig, for a header; those of src and dst.
func EncodeBinary(dst io.Writer, src io.ReaderAt, a *Attributes) error {
	e := binaryEncoder{dst: dst, src: src}
	if err := e.part(&a.Root); err != nil {
		return err
	}
	return e.upTo(a.Size)
}

// binaryEncoder has written what lies before at.
type binaryEncoder struct {
	dst io.Writer
	src io.ReaderAt
	at  int64
}

func (e *binaryEncoder) upTo(offset int64) error {
	_, err := io.Copy(e.dst, io.NewSectionReader(e.src, e.at, offset-e.at))
	e.at = offset
	return err
}

func (e *binaryEncoder) part(p *Part) error {
	for i := range p.Children {
		if err := e.part(&p.Children[i]); err != nil {
			return err
		}
	}
	if len(p.Children) > 0 || p.Encoding != "BINARY" {
		return nil
	}
	if err := e.upTo(p.HeaderOffset); err != nil {
		return err
	}
	if err := e.header(p.BodyOffset - p.HeaderOffset); err != nil {
		return err
	}
	e.at = p.BodyOffset + p.BodySize
	return e.body(io.NewSectionReader(e.src, p.BodyOffset, p.BodySize))
}

// header writes the next size octets, a header, with another Content-Transfer-Encoding.
func (e *binaryEncoder) header(size int64) error {
	if size > maxBinaryHeader {
		return mail.Errorf(mail.TooBig, "Header of a part is too long")
	}
	h := make(Header, size)
	if _, err := io.ReadFull(io.NewSectionReader(e.src, e.at, size), h); err != nil {
		return err
	}
	out, rest := make([]byte, 0, size+8), h
	for f := range h.Fields() {
		rest = rest[len(f.Raw):]
		if f.Is("Content-Transfer-Encoding") {
			out = append(out, "Content-Transfer-Encoding: base64\r\n"...)
			continue
		}
		out = append(out, f.Raw...)
	}
	_, err := e.dst.Write(append(out, rest...))
	return err
}

// body writes r in base64, 76 characters a line (RFC 2045, section 6.8).
func (e *binaryEncoder) body(r io.Reader) error {
	const line, lines = 57, 256
	in := make([]byte, line*lines)
	out := make([]byte, 0, (76+2)*lines)
	for {
		n, err := io.ReadFull(r, in)
		out = out[:0]
		for p := in[:n]; len(p) > 0; p = p[min(line, len(p)):] {
			out = base64.StdEncoding.AppendEncode(out, p[:min(line, len(p))])
			out = append(out, "\r\n"...)
		}
		if _, err := e.dst.Write(out); err != nil {
			return err
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
