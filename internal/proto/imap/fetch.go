package imap

import (
	"strconv"
	"strings"

	"candor/internal/message"
)

// FetchItems is a set of FETCH data items that need no section.
type FetchItems uint16

// The items.
const (
	FetchUID FetchItems = 1 << iota
	FetchFlags
	FetchInternalDate
	FetchSize
	FetchEnvelope
	FetchBody
	FetchBodyStructure
	FetchModSeq
	FetchEmailID  // RFC 8474
	FetchThreadID //
	FetchSaveDate // RFC 8514
	FetchPreview  // RFC 8970
)

// The macros of RFC 9051, section 6.4.5.
const (
	macroFast = FetchFlags | FetchInternalDate | FetchSize
	macroAll  = macroFast | FetchEnvelope
	macroFull = macroAll | FetchBody
)

// Fetch is FETCH or UID FETCH.
type Fetch struct {
	Set    NumSet
	Items  FetchItems
	Bodies []BodyItem
	// ChangedSince leaves out messages not changed after it (RFC 7162, section 3.1.4.1); nil: none.
	ChangedSince *uint64
	// Vanished asks, with ChangedSince, for the messages that are gone (RFC 7162, section 3.2.6).
	Vanished bool
	// Page leaves out messages by their place in Set; nil: none.
	Page *Page
}

// BodyKind is what a BodyItem asks for.
type BodyKind uint8

// The kinds.
const (
	Body       BodyKind = iota // octets of the message
	Binary                     // octets of a part without its transfer encoding
	BinarySize                 // how many these are
)

// BodyItem is a FETCH data item that names octets of a message.
type BodyItem struct {
	Kind    BodyKind
	Section message.Section
	Peek    bool
	// Partial is the range asked for; nil: all.
	Partial *Partial
	// Label is the item's name in the response, such as "BODY[1.MIME]<0>".
	Label string
}

// Partial is a range of octets. Size is not zero.
type Partial struct{ Offset, Size int64 }

// maxPath is the deepest part number that is taken: no message is shown deeper (specification, section 2.10).
const maxPath = 100

func parseFetch(l *lexer) any {
	f := l.fetch()
	if f.Vanished || f.Page != nil {
		l.fail("VANISHED and PARTIAL go with UID FETCH alone")
	}
	return f
}

func parseUIDFetch(l *lexer) any { return l.fetch() }

func (l *lexer) fetch() Fetch {
	var f Fetch
	l.space()
	f.Set = l.numSet()
	l.space()
	if l.peek() == '(' {
		l.list(func() { f.item(l) })
		if f.Items == 0 && len(f.Bodies) == 0 {
			l.fail("data item expected")
		}
	} else if !f.macro(l) {
		f.item(l)
	}
	if l.accept(' ') {
		l.list(func() { f.modifier(l) })
	}
	if f.Vanished && f.ChangedSince == nil {
		l.fail("VANISHED needs CHANGEDSINCE")
	}
	return f
}

func (f *Fetch) macro(l *lexer) bool {
	switch {
	case l.word("ALL"):
		f.Items = macroAll
	case l.word("FAST"):
		f.Items = macroFast
	case l.word("FULL"):
		f.Items = macroFull
	default:
		return false
	}
	return true
}

func (f *Fetch) modifier(l *lexer) {
	switch m := l.name(); m {
	case "CHANGEDSINCE":
		l.space()
		n := l.number64()
		f.ChangedSince = &n
		f.Items |= FetchModSeq
	case "VANISHED":
		f.Vanished = true
	case "PARTIAL":
		f.Page = l.page()
	default:
		l.fail("unknown modifier %.40s", m)
	}
}

// item reads one data item. The atoms end before "[", which introduces a section.
func (f *Fetch) item(l *lexer) {
	switch name := l.itemName(); name {
	case "UID":
		f.Items |= FetchUID
	case "FLAGS":
		f.Items |= FetchFlags
	case "INTERNALDATE":
		f.Items |= FetchInternalDate
	case "RFC822.SIZE":
		f.Items |= FetchSize
	case "ENVELOPE":
		f.Items |= FetchEnvelope
	case "BODYSTRUCTURE":
		f.Items |= FetchBodyStructure
	case "MODSEQ":
		f.Items |= FetchModSeq
	case "EMAILID":
		f.Items |= FetchEmailID
	case "THREADID":
		f.Items |= FetchThreadID
	case "SAVEDATE":
		f.Items |= FetchSaveDate
	case "PREVIEW":
		f.Items |= FetchPreview
		l.lazy()
	case "RFC822":
		f.Bodies = append(f.Bodies, BodyItem{Label: name})
	case "RFC822.HEADER":
		f.Bodies = append(f.Bodies, BodyItem{Label: name, Peek: true, Section: message.Section{Kind: message.HeaderSection}})
	case "RFC822.TEXT":
		f.Bodies = append(f.Bodies, BodyItem{Label: name, Section: message.Section{Kind: message.TextSection}})
	case "BODY":
		if l.peek() != '[' {
			f.Items |= FetchBody
			return
		}
		f.Bodies = append(f.Bodies, l.bodyItem(Body, false))
	case "BODY.PEEK":
		f.Bodies = append(f.Bodies, l.bodyItem(Body, true))
	case "BINARY":
		f.Bodies = append(f.Bodies, l.bodyItem(Binary, false))
	case "BINARY.PEEK":
		f.Bodies = append(f.Bodies, l.bodyItem(Binary, true))
	case "BINARY.SIZE":
		f.Bodies = append(f.Bodies, l.bodyItem(BinarySize, true))
	default:
		l.fail("unknown data item %.40s", name)
	}
}

// lazy reads the modifier LAZY of PREVIEW, if it is there (RFC 8970, section 4.1). A preview takes little
// enough time to be made at once.
func (l *lexer) lazy() {
	const modifier = " (LAZY)"
	if len(l.b) >= len(modifier) && upper(l.b[:len(modifier)]) == modifier {
		l.b = l.b[len(modifier):]
	}
}

func (l *lexer) itemName() string {
	n := 0
	for n < len(l.b) && classes[l.b[n]]&atomClass != 0 && l.b[n] != '[' {
		n++
	}
	if n == 0 {
		l.fail("data item expected")
		return ""
	}
	name := upper(l.b[:n])
	l.b = l.b[n:]
	return name
}

func (l *lexer) bodyItem(kind BodyKind, peek bool) BodyItem {
	item := BodyItem{Kind: kind, Peek: peek}
	l.expect('[')
	item.Section = l.section(kind)
	l.expect(']')
	if kind != BinarySize && l.accept('<') {
		item.Partial = l.partial()
	}
	item.Label = item.label()
	return item
}

func (l *lexer) partial() *Partial {
	p := Partial{Offset: int64(l.number64())}
	l.expect('.')
	p.Size = int64(l.number64())
	if l.err == nil && p.Size == 0 {
		l.fail("partial range is empty")
	}
	l.expect('>')
	return &p
}

// section reads a section-spec; for BINARY only part numbers are allowed.
func (l *lexer) section(kind BodyKind) message.Section {
	var s message.Section
	for digit(l.peek()) {
		s.Path = append(s.Path, int(l.nzNumber()))
		if len(s.Path) > maxPath {
			l.fail("part number is too deep")
		}
		if !l.accept('.') {
			return s
		}
	}
	if l.peek() == ']' && len(s.Path) == 0 {
		return s
	}
	if kind != Body {
		l.fail("part number expected")
		return s
	}
	switch w := upper(l.take(sectionClass, "section")); w {
	case "HEADER":
		s.Kind = message.HeaderSection
	case "TEXT":
		s.Kind = message.TextSection
	case "MIME":
		s.Kind = message.MIMESection
		if len(s.Path) == 0 {
			l.fail("MIME needs a part number")
		}
	case "HEADER.FIELDS":
		s.Kind, s.Fields = message.HeaderFields, l.fieldNames()
	case "HEADER.FIELDS.NOT":
		s.Kind, s.Fields = message.HeaderFieldsNot, l.fieldNames()
	default:
		l.fail("unknown section %.40s", w)
	}
	return s
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func (l *lexer) fieldNames() []string {
	var names []string
	l.space()
	l.list(func() { names = append(names, l.astring()) })
	if len(names) == 0 {
		l.fail("field name expected")
	}
	return names
}

// label writes the item's name in the response, where ".PEEK" and the size asked for are left out.
func (b *BodyItem) label() string {
	name := [...]string{"BODY", "BINARY", "BINARY.SIZE"}[b.Kind]
	s := name + "[" + sectionString(b.Section) + "]"
	if b.Partial != nil {
		s += "<" + strconv.FormatInt(b.Partial.Offset, 10) + ">"
	}
	return s
}

func sectionString(s message.Section) string {
	var b strings.Builder
	for i, n := range s.Path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.Itoa(n))
	}
	kind := [...]string{"", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME"}[s.Kind]
	if len(s.Path) > 0 && kind != "" {
		b.WriteByte('.')
	}
	b.WriteString(kind)
	if len(s.Fields) > 0 {
		b.WriteString(" (")
		for i, f := range s.Fields {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.Write(AppendAstring(nil, f))
		}
		b.WriteByte(')')
	}
	return b.String()
}
