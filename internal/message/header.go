package message

import (
	"bytes"
	"io"
	"iter"
	"strings"

	"candor/internal/mail"
)

// Header is a header block, byte for byte, with the blank line that ends it where there is one.
type Header []byte

// HeaderField is one field of a Header. Raw is all of it with its line ends. Name is as written;
// it is empty for a line that is no field, which is kept but means nothing.
type HeaderField struct {
	Name []byte
	Raw  []byte
}

// Fields yields the fields from the top, without the blank line.
func (h Header) Fields() iter.Seq[HeaderField] {
	return func(yield func(HeaderField) bool) {
		for rest := h; len(rest) > 0; {
			n := fieldLength(rest)
			if n == 0 || !yield(newField(rest[:n:n])) {
				return
			}
			rest = rest[n:]
		}
	}
}

// fieldLength returns the length of the field that begins h, with its continuation lines; 0 for
// the blank line.
func fieldLength(h []byte) int {
	if h[0] == '\n' || h[0] == '\r' && len(h) > 1 && h[1] == '\n' {
		return 0
	}
	for n := 0; ; {
		i := bytes.IndexByte(h[n:], '\n')
		if i < 0 {
			return len(h)
		}
		n += i + 1
		if n == len(h) || h[n] != ' ' && h[n] != '\t' {
			return n
		}
	}
}

// newField finds the name. White space before the colon is obsolete but allowed (RFC 5322, section 4.5).
func newField(raw []byte) HeaderField {
	colon := bytes.IndexByte(raw, ':')
	if colon <= 0 {
		return HeaderField{Raw: raw}
	}
	name := bytes.TrimRight(raw[:colon], " \t")
	for _, c := range name {
		if c <= ' ' || c == 0x7f {
			return HeaderField{Raw: raw}
		}
	}
	return HeaderField{Name: name, Raw: raw}
}

// Is reports whether the field has the given name, in any case.
func (f HeaderField) Is(name string) bool {
	return len(f.Name) == len(name) && strings.EqualFold(string(f.Name), name)
}

func (f HeaderField) named(names []string) bool {
	for _, n := range names {
		if f.Is(n) {
			return true
		}
	}
	return false
}

// value returns what follows the colon, still folded.
func (f HeaderField) value() []byte {
	return f.Raw[bytes.IndexByte(f.Raw, ':')+1:]
}

// Value returns the field's value: unfolded, without white space at its ends, not decoded.
func (f HeaderField) Value() string {
	return string(appendUnfolded(nil, f.value()))
}

// Decoded returns the field's value as UTF-8, with its encoded words decoded (RFC 2047).
func (f HeaderField) Decoded() string { return DecodeText(f.Value()) }

// appendUnfolded appends v without line ends, NUL, and white space at its ends. No octet that
// could end a line is left, so the result may be shown in a reply.
func appendUnfolded(dst, v []byte) []byte {
	v = bytes.Trim(v, " \t\r\n\x00")
	for {
		i := bytes.IndexAny(v, "\r\n\x00")
		if i < 0 {
			return append(dst, v...)
		}
		dst = append(dst, v[:i]...)
		v = v[i+1:]
	}
}

// Get returns the value of the first field with the given name; ok is false when there is none.
func (h Header) Get(name string) (value string, ok bool) {
	for f := range h.Fields() {
		if f.Is(name) {
			return f.Value(), true
		}
	}
	return "", false
}

// Count returns how many fields have the given name. The number of Received fields is the number
// of hops, by which loops are found (RFC 5321, section 6.3).
func (h Header) Count(name string) int {
	n := 0
	for f := range h.Fields() {
		if f.Is(name) {
			n++
		}
	}
	return n
}

// RemoveField returns the header without the fields of the given name and how many they were. A
// first line that begins with white space goes too: it would continue, and so forge, whatever trace
// field is put on top. All other octets stay as they are; h is not changed.
func (h Header) RemoveField(name string) (Header, int) {
	return h.remove(func(f HeaderField) bool { return f.Is(name) })
}

// remove is RemoveField for the fields that match.
func (h Header) remove(matches func(HeaderField) bool) (Header, int) {
	n := 0
	for f := range h.Fields() {
		if matches(f) {
			n++
		}
	}
	orphan := len(h) > 0 && (h[0] == ' ' || h[0] == '\t')
	if n == 0 && !orphan {
		return h, 0
	}
	kept := make(Header, 0, len(h))
	rest := h
	for f := range h.Fields() {
		rest = rest[len(f.Raw):]
		if !orphan && !matches(f) {
			kept = append(kept, f.Raw...)
		}
		orphan = false
	}
	return append(kept, rest...), n
}

// ReadHeader reads the header from the top of a message and returns it with a reader of the rest.
// A message without a blank line is all header.
//
// Errors: mail.TooBig when the header is larger than limit octets; those of r.
func ReadHeader(r io.Reader, limit int) (Header, io.Reader, error) {
	const step = 4096
	buf := make([]byte, 0, step)
	for searched := 0; ; {
		if cap(buf)-len(buf) < step/2 {
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		end, found := headerEnd(buf, searched)
		if found && end <= limit {
			return Header(buf[:end:end]), io.MultiReader(bytes.NewReader(buf[end:]), r), nil
		}
		if found || len(buf) > limit {
			return nil, nil, mail.Errorf(mail.TooBig, "header is larger than %d octets", limit)
		}
		if err == io.EOF {
			return Header(buf), bytes.NewReader(nil), nil
		}
		if err != nil {
			return nil, nil, err
		}
		searched = end
	}
}

// headerEnd returns the offset after the blank line, which is looked for from the start of the line
// at from on; when it is not there yet, the offset from which to go on.
func headerEnd(buf []byte, from int) (end int, found bool) {
	for {
		line := buf[from:]
		i := bytes.IndexByte(line, '\n')
		if i < 0 {
			return from, false
		}
		from += i + 1
		if i == 0 || i == 1 && line[0] == '\r' {
			return from, true
		}
	}
}
