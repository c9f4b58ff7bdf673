package mailbox

import (
	"bytes"
	"context"
	"io"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"candor/internal/message"
)

// finderBuffer is how much text a finder reads at a time.
const finderBuffer = 16 << 10

// finder finds one text in others without regard to case. It is not to be used concurrently.
type finder struct {
	pattern []byte // folded
	read    []byte // as it was read
	window  []byte // folded: what has not been compared, and the end of what has
}

func newFinder(text string) *finder {
	pattern, _ := appendFolded(nil, []byte(text), true)
	return &finder{pattern: pattern}
}

func (f *finder) inString(s string) bool {
	f.window, _ = appendFolded(f.window[:0], []byte(s), true)
	return bytes.Contains(f.window, f.pattern)
}

// inHeader looks in each field, name and decoded value.
func (f *finder) inHeader(h message.Header) bool {
	for field := range h.Fields() {
		if f.inString(string(field.Name) + ": " + field.Decoded()) {
			return true
		}
	}
	return false
}

// in looks in all of r, also across the borders of what is read at a time.
func (f *finder) in(ctx context.Context, r io.Reader) (bool, error) {
	if f.read == nil {
		f.read = make([]byte, finderBuffer)
	}
	f.window = f.window[:0]
	held := 0 // octets at the start of read: a character that is not complete
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := r.Read(f.read[held:])
		n += held
		var used int
		f.window, used = appendFolded(f.window, f.read[:n], err != nil)
		if bytes.Contains(f.window, f.pattern) {
			return true, nil
		}
		keep := min(len(f.window), max(0, len(f.pattern)-1))
		f.window = f.window[:copy(f.window, f.window[len(f.window)-keep:])]
		held = copy(f.read, f.read[used:n])
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// appendFolded appends p with its case folded after the manner of i;unicode-casemap (RFC 5051): decomposed, in
// title case. Unless end is true, an incomplete character at the end of p is left; used tells
// how much was not. Each character is folded by itself, so that it does not matter where p was cut.
func appendFolded(dst, p []byte, end bool) (_ []byte, used int) {
	for used < len(p) {
		c := p[used]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			dst = append(dst, c)
			used++
			continue
		}
		if !end && !utf8.FullRune(p[used:]) {
			return dst, used
		}
		r, size := utf8.DecodeRune(p[used:])
		dst = appendFoldedRune(dst, r, p[used:used+size])
		used += size
	}
	return dst, used
}

// appendFoldedRune appends r, which is encoded as p.
func appendFoldedRune(dst []byte, r rune, p []byte) []byte {
	decomposed := norm.NFKD.Properties(p).Decomposition()
	if len(decomposed) == 0 {
		return utf8.AppendRune(dst, unicode.ToTitle(r))
	}
	for len(decomposed) > 0 {
		r, size := utf8.DecodeRune(decomposed)
		dst = utf8.AppendRune(dst, unicode.ToTitle(r))
		decomposed = decomposed[size:]
	}
	return dst
}
