package message

import (
	"bufio"
	"io"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	// maxPreview is the length of a preview in characters (RFC 8970, section 3.3).
	maxPreview = 200
	// maxPreviewRead is how much of a part is read for it, in octets: mail in HTML may begin with long styles.
	maxPreviewRead = 128 << 10
	// maxPreviewParts is how many parts are tried.
	maxPreviewParts = 8
)

// Preview returns the beginning of a message's text for people: at most 200 characters of UTF-8 on one line, of
// the first part that shows any, without markup, quotations and what cannot be seen. It is empty when there is
// nothing to show. a are the attributes of body, of which a bounded part is read. RFC 8970, section 3.
func Preview(a *Attributes, body io.ReaderAt) string {
	for i, p := range appendReadable(nil, &a.Root) {
		if i == maxPreviewParts {
			break
		}
		if s := previewPart(p, body); s != "" {
			return s
		}
	}
	return ""
}

// appendReadable appends the parts that a person would read, in the order in which to try them: within
// multipart/alternative plain text first. What is encrypted, attached or forwarded as a message has none.
func appendReadable(dst []*Part, p *Part) []*Part {
	if p.Disposition == "ATTACHMENT" {
		return dst
	}
	switch p.Type {
	case "TEXT":
		if p.Subtype == "PLAIN" || p.Subtype == "HTML" {
			dst = append(dst, p)
		}
	case "MULTIPART":
		if p.Subtype == "ENCRYPTED" {
			return dst
		}
		first := len(dst)
		for i := range p.Children {
			dst = appendReadable(dst, &p.Children[i])
		}
		if p.Subtype == "ALTERNATIVE" {
			plainFirst(dst[first:])
		}
	}
	return dst
}

func plainFirst(parts []*Part) {
	for i, p := range parts {
		if p.Subtype == "PLAIN" {
			copy(parts[1:i+1], parts[:i])
			parts[0] = p
			return
		}
	}
}

func previewPart(p *Part, body io.ReaderAt) string {
	text, err := TextReader(p, io.NewSectionReader(body, p.BodyOffset, min(p.BodySize, maxPreviewRead)))
	if err != nil {
		return ""
	}
	var line previewLine
	if p.Subtype == "HTML" {
		line.addHTML(text)
	} else {
		line.addPlain(text)
	}
	return line.text.String()
}

// previewLine is a preview in the making.
type previewLine struct {
	text  strings.Builder
	count int  // of characters
	space bool // white space goes before the next character
}

// full reports whether there is no room left.
func (l *previewLine) full() bool { return l.count >= maxPreview }

func (l *previewLine) add(s string) {
	for _, r := range s {
		switch {
		case l.full():
			return
		case unicode.IsSpace(r) || unicode.IsControl(r):
			l.space = l.count > 0
			continue
		case invisible(r):
			continue
		}
		if l.space {
			l.space = false
			l.text.WriteByte(' ')
			if l.count++; l.full() {
				return
			}
		}
		l.text.WriteRune(r) // U+FFFD for what is no UTF-8
		l.count++
	}
}

// invisible tells the characters with which senders fill up the previews that others make.
func invisible(r rune) bool {
	return unicode.Is(unicode.Cf, r) || r == '\u034F' || r == '\u115F' || r == '\u1160' || r == '\u17B4' || r == '\u17B5'
}

// addPlain adds plain text up to the signature, but for quoted lines.
func (l *previewLine) addPlain(r io.Reader) {
	for lines := bufio.NewReader(r); !l.full(); {
		s, err := lines.ReadString('\n')
		if strings.TrimRight(s, "\r\n") == "-- " {
			return
		}
		if !strings.HasPrefix(s, ">") {
			l.add(s)
			l.add(" ")
		}
		if err != nil {
			return
		}
	}
}

// unread are the elements whose text is not shown, or is that of others.
var unread = map[atom.Atom]bool{
	atom.Head: true, atom.Title: true, atom.Style: true, atom.Script: true, atom.Template: true, atom.Noscript: true,
	atom.Blockquote: true,
}

// inline are the elements that do not part words.
var inline = map[atom.Atom]bool{
	atom.A: true, atom.B: true, atom.I: true, atom.U: true, atom.S: true, atom.Em: true, atom.Strong: true, atom.Span: true,
	atom.Font: true, atom.Sub: true, atom.Sup: true, atom.Small: true, atom.Big: true, atom.Code: true, atom.Tt: true, atom.Wbr: true,
}

func (l *previewLine) addHTML(r io.Reader) {
	z := html.NewTokenizer(r)
	z.SetMaxBuf(maxPreviewRead)
	var within atom.Atom // the element that is not read
	depth := 0           // of it in itself
	for !l.full() {
		kind := z.Next()
		if kind == html.ErrorToken {
			return
		}
		if kind == html.TextToken {
			if depth == 0 {
				l.add(string(z.Text()))
			}
			continue
		}
		name, _ := z.TagName()
		tag := atom.Lookup(name)
		switch {
		case depth == 0 && kind == html.StartTagToken && unread[tag]:
			within, depth = tag, 1
		case depth > 0 && tag == atom.Body: // the head was not closed
			depth = 0
		case depth > 0 && tag == within && kind == html.StartTagToken:
			depth++
		case depth > 0 && tag == within && kind == html.EndTagToken:
			depth--
		case depth == 0 && !inline[tag]:
			l.add(" ")
		}
	}
}
