package message

import (
	"encoding/base64"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// charset finds an encoding by its MIME name; nil means UTF-8. Text that calls itself ASCII and is not
// is UTF-8 more often than anything else. What is not known is read as windows-1252, in which at
// least the ASCII of most charsets can be found.
func charset(name string) encoding.Encoding {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "", "utf-8", "utf8", "unicode-1-1-utf-8", "us-ascii", "ascii":
		return nil
	case "utf-16": // RFC 2781, section 4.3; the Web's index takes it for little-endian
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	}
	if e, err := htmlindex.Get(name); err == nil && e != encoding.Replacement {
		return e
	}
	if e, err := ianaindex.MIME.Encoding(name); err == nil && e != nil {
		return e
	}
	return charmap.Windows1252
}

// toUTF8 converts b. Octets that are not of the charset become U+FFFD.
func toUTF8(name string, b []byte) string {
	if e := charset(name); e != nil {
		if u, err := e.NewDecoder().Bytes(b); err == nil {
			b = u
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// TextReader returns a reader of a text part's body r as UTF-8: without its transfer encoding and
// with its charset converted. Text in UTF-8 is passed on unchecked.
//
// Errors: mail.Unsupported as Decode says.
func TextReader(p *Part, r io.Reader) (io.Reader, error) {
	d, err := Decode(p.Encoding, r)
	if err != nil {
		return nil, err
	}
	name, _ := p.Param("charset")
	e := charset(name)
	if e == nil {
		return d, nil
	}
	return transform.NewReader(d, e.NewDecoder()), nil
}

// DecodeText decodes the encoded words of an unfolded field value to UTF-8 (RFC 2047). Space between
// two of them is dropped. What is no proper encoded word stays as it is, but for octets that are not
// UTF-8, which become U+FFFD.
func DecodeText(s string) string {
	if !strings.Contains(s, "=?") {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	var out strings.Builder
	var run encodedRun
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		name, content, rest, ok := cutEncodedWord(s[i:])
		if !ok {
			run.end(&out)
			out.WriteString(s[:i+2])
			s = s[i+2:]
			continue
		}
		if strings.Trim(s[:i], " \t") != "" || !run.open {
			run.end(&out)
			out.WriteString(s[:i])
		}
		run.add(&out, name, content)
		s = rest
	}
	run.end(&out)
	out.WriteString(s)
	return strings.ToValidUTF8(out.String(), "\uFFFD")
}

// encodedRun collects adjacent encoded words of one charset, since many programs cut characters
// in two where a word ends.
type encodedRun struct {
	open    bool
	charset string
	octets  []byte
}

func (r *encodedRun) add(out *strings.Builder, name string, octets []byte) {
	if r.open && !strings.EqualFold(r.charset, name) {
		r.end(out)
	}
	r.open, r.charset = true, name
	r.octets = append(r.octets, octets...)
}

func (r *encodedRun) end(out *strings.Builder) {
	if r.open {
		out.WriteString(toUTF8(r.charset, r.octets))
	}
	r.open, r.octets = false, r.octets[:0]
}

// maxEncodedWord is more than RFC 2047, section 2 allows, which is 75, but no more than is met; it
// also keeps the search for ends that are not there short.
const maxEncodedWord = 1024

// cutEncodedWord splits s, which begins with "=?", after the encoded word.
func cutEncodedWord(s string) (name string, octets []byte, rest string, ok bool) {
	near := s[2:min(len(s), maxEncodedWord)]
	name, near, ok1 := strings.Cut(near, "?")
	kind, near, ok2 := strings.Cut(near, "?")
	text, _, ok3 := strings.Cut(near, "?=")
	if !ok1 || !ok2 || !ok3 || name == "" || len(kind) != 1 || strings.ContainsAny(name, " \t") {
		return "", nil, "", false
	}
	rest = s[2+len(name)+1+len(kind)+1+len(text)+2:]
	name, _, _ = strings.Cut(name, "*") // RFC 2231, section 5: a language may follow
	switch kind[0] {
	case 'B', 'b':
		octets, ok = decodeB(text)
	case 'Q', 'q':
		octets, ok = decodeQ(text), true
	}
	return name, octets, rest, ok
}

func decodeB(text string) ([]byte, bool) {
	text = strings.TrimRight(text, "=")
	octets, err := base64.RawStdEncoding.DecodeString(text)
	return octets, err == nil
}

func decodeQ(text string) []byte {
	octets := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '_':
			c = ' '
		case c == '=' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			c = hexValue(text[i+1])<<4 | hexValue(text[i+2])
			i += 2
		}
		octets = append(octets, c)
	}
	return octets
}
