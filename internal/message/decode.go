package message

import (
	"io"
	"strings"

	"candor/internal/mail"
)

// Decode returns a reader of the part's body r without its content transfer encoding.
//
// Decoding is tolerant, as RFC 2045, section 6 advises: octets that do not belong are skipped or
// passed on, and no content is an error. Errors: mail.Unsupported for an encoding that is not
// known (RFC 3516 UNKNOWN-CTE).
func Decode(encoding string, r io.Reader) (io.Reader, error) {
	switch strings.ToUpper(encoding) {
	case "", "7BIT", "8BIT", "BINARY":
		return r, nil
	case "BASE64":
		return &decodingReader{r: r, codec: new(base64Decoder)}, nil
	case "QUOTED-PRINTABLE":
		return &decodingReader{r: r, codec: new(quotedDecoder)}, nil
	}
	return nil, mail.Errorf(mail.Unsupported, "transfer encoding %.40q is not known", encoding)
}

// decodingReader reads r through a codec whose output is never longer than its input plus what
// it holds back.
type decodingReader struct {
	r     io.Reader
	codec interface {
		// decode appends the decoding of src to dst.
		decode(dst, src []byte) []byte
		// flush appends what was held back, at the end.
		flush(dst []byte) []byte
	}
	in  [4096]byte
	out []byte // decoded, not yet read
	buf []byte
	err error
}

func (d *decodingReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		n, err := d.r.Read(d.in[:])
		d.buf = d.codec.decode(d.buf[:0], d.in[:n])
		if err != nil {
			d.buf = d.codec.flush(d.buf)
			d.err = err
		}
		d.out = d.buf
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// base64Decoder decodes base64 and ignores all that is not of its alphabet (RFC 2045, section 6.8).
// Padding ends a quantum, after which another encoding may follow.
type base64Decoder struct {
	bits  uint32
	count int // of characters in bits: 0 to 3
}

// base64Value is the value of a character, or one of the two marks.
var base64Value = func() (t [256]byte) {
	for i := range t {
		t[i] = base64Skip
	}
	for i, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		t[c] = byte(i)
	}
	t['='] = base64Pad
	return t
}()

const (
	base64Skip = 0x80
	base64Pad  = 0x81
)

func (d *base64Decoder) decode(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		if d.count == 0 && len(src)-i >= 4 {
			a, b, c, e := base64Value[src[i]], base64Value[src[i+1]], base64Value[src[i+2]], base64Value[src[i+3]]
			if (a|b|c|e)&base64Skip == 0 {
				v := uint32(a)<<18 | uint32(b)<<12 | uint32(c)<<6 | uint32(e)
				dst = append(dst, byte(v>>16), byte(v>>8), byte(v))
				i += 4
				continue
			}
		}
		dst = d.octet(dst, base64Value[src[i]])
		i++
	}
	return dst
}

func (d *base64Decoder) octet(dst []byte, v byte) []byte {
	switch v {
	case base64Skip:
		return dst
	case base64Pad:
		return d.flush(dst)
	}
	d.bits = d.bits<<6 | uint32(v)
	if d.count++; d.count == 4 {
		dst = append(dst, byte(d.bits>>16), byte(d.bits>>8), byte(d.bits))
		d.bits, d.count = 0, 0
	}
	return dst
}

// flush ends a quantum: two characters make one octet, three make two.
func (d *base64Decoder) flush(dst []byte) []byte {
	switch d.count {
	case 2:
		dst = append(dst, byte(d.bits>>4))
	case 3:
		dst = append(dst, byte(d.bits>>10), byte(d.bits>>2))
	}
	d.bits, d.count = 0, 0
	return dst
}

// quotedDecoder decodes quoted-printable (RFC 2045, section 6.7). White space at the end of a line
// was added on the way and is dropped; "=" with anything but two digits or a line end after it is
// passed on as it is.
type quotedDecoder struct {
	held []byte // white space, or an escape that is not complete
}

// maxHeld bounds the white space held back.
const maxHeld = 1024

func (d *quotedDecoder) decode(dst, src []byte) []byte {
	for len(src) > 0 {
		if len(d.held) == 0 {
			n := plainRun(src)
			dst = append(dst, src[:n]...)
			src = src[n:]
		}
		if len(src) > 0 {
			dst = d.octet(dst, src[0])
			src = src[1:]
		}
	}
	return dst
}

// quotedSpecial tells the octets whose meaning may depend on those after them.
var quotedSpecial = [256]bool{'=': true, ' ': true, '\t': true, '\r': true}

// plainRun returns how many octets of src stand for themselves, as far as src alone shows.
func plainRun(src []byte) int {
	for i := 0; i < len(src); i++ {
		c := src[i]
		if !quotedSpecial[c] {
			continue
		}
		last := i+1 == len(src)
		switch {
		case last || c == '=':
			return i
		case c == '\r' && src[i+1] == '\n':
		case c != '\r' && src[i+1] != '\n' && !quotedSpecial[src[i+1]]:
		default:
			return i
		}
	}
	return len(src)
}

func (d *quotedDecoder) octet(dst []byte, c byte) []byte {
	if len(d.held) > 0 && d.held[0] == '=' {
		return d.escape(dst, c)
	}
	switch c {
	case '=':
		dst = d.flush(dst)
		d.held = append(d.held, c)
		return dst
	case ' ', '\t', '\r':
		if len(d.held) >= maxHeld {
			dst = d.flush(dst)
		}
		d.held = append(d.held, c)
		return dst
	case '\n':
		if n := len(d.held); n > 0 && d.held[n-1] == '\r' {
			dst = append(dst, '\r')
		}
		d.held = d.held[:0]
		return append(dst, c)
	}
	return append(d.flush(dst), c)
}

// escape goes on with an escape that was begun.
func (d *quotedDecoder) escape(dst []byte, c byte) []byte {
	switch {
	case c == '\n' && softBreak(d.held):
		d.held = d.held[:0]
		return dst
	case (c == ' ' || c == '\t' || c == '\r') && softBreak(d.held) && len(d.held) < maxHeld:
		d.held = append(d.held, c)
		return dst
	case len(d.held) == 1 && isHex(c):
		d.held = append(d.held, c)
		return dst
	case len(d.held) == 2 && isHex(d.held[1]) && isHex(c):
		dst = append(dst, hexValue(d.held[1])<<4|hexValue(c))
		d.held = d.held[:0]
		return dst
	}
	return d.octet(d.flush(dst), c)
}

// softBreak reports whether held is "=" and white space only: escape holds nothing else but one digit.
func softBreak(held []byte) bool { return len(held) == 1 || !isHex(held[1]) }

func (d *quotedDecoder) flush(dst []byte) []byte {
	dst = append(dst, d.held...)
	d.held = d.held[:0]
	return dst
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f'
}

func hexValue(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
