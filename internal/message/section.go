package message

// Section names a part of a message as FETCH BODY[...] does (RFC 9051, section 6.4.5).
type Section struct {
	Path []int // part numbers; empty: the message
	Kind SectionKind
	// Fields are the names for Fields and FieldsNot.
	Fields []string
}

// SectionKind is the text specifier of a Section.
type SectionKind uint8

// The specifiers.
const (
	Whole SectionKind = iota
	HeaderSection
	HeaderFields
	HeaderFieldsNot
	TextSection
	MIMESection
)

// Range returns where the section lies in the message, in octets: ok is false when there is no such
// part. It serves all kinds but HeaderFields and HeaderFieldsNot, for which it gives the header that
// SelectFields filters.
func (a *Attributes) Range(s Section) (offset, size int64, ok bool) {
	p, ok := a.Part(s.Path)
	if !ok {
		return 0, 0, false
	}
	if len(s.Path) == 0 {
		if s.Kind == Whole {
			return 0, a.Size, true
		}
		return p.messageRange(s.Kind)
	}
	switch s.Kind {
	case Whole:
		return p.BodyOffset, p.BodySize, true
	case MIMESection:
		return p.HeaderOffset, p.BodyOffset - p.HeaderOffset, true
	}
	if !p.isMessage() {
		return 0, 0, false
	}
	return p.Children[0].messageRange(s.Kind)
}

// messageRange returns where the header or text of the message with root p lies.
func (p *Part) messageRange(k SectionKind) (offset, size int64, ok bool) {
	switch k {
	case HeaderSection, HeaderFields, HeaderFieldsNot:
		return p.HeaderOffset, p.BodyOffset - p.HeaderOffset, true
	case TextSection:
		return p.BodyOffset, p.BodySize, true
	}
	return 0, 0, false
}

// Part returns the part with the given path for BINARY and BODYSTRUCTURE. The empty path is the
// root. A message that is not multipart has one part, number 1 (RFC 9051, section 6.4.5).
func (a *Attributes) Part(path []int) (*Part, bool) {
	p := &a.Root
	atRoot := true // p is a message's root, not one of its parts yet
	for _, n := range path {
		if !atRoot && p.isMessage() {
			p, atRoot = &p.Children[0], true
		}
		switch {
		case n >= 1 && n <= len(p.Children) && p.Type == "MULTIPART":
			p = &p.Children[n-1]
		case n == 1 && atRoot && p.Type != "MULTIPART":
		default:
			return nil, false
		}
		atRoot = false
	}
	return p, true
}

// SelectFields returns the header fields of header named (or, with not, not named) by fields, byte
// for byte, with the final blank line.
func SelectFields(header []byte, fields []string, not bool) []byte {
	out := make([]byte, 0, len(header)+4)
	for f := range Header(header).Fields() {
		if f.named(fields) == not {
			continue
		}
		out = append(out, f.Raw...)
	}
	if n := len(out); n > 0 && out[n-1] != '\n' {
		out = append(out, "\r\n"...)
	}
	return append(out, "\r\n"...)
}
