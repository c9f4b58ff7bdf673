package message

import "strings"

// What stands for the missing half of an address. It cannot be empty: RFC 9051, section 7.5.2 gives
// an empty host and an empty mailbox another meaning.
const (
	missingLocal = "MISSING_MAILBOX"
	missingHost  = "MISSING_DOMAIN"
)

// ParseAddressList parses the value of an address field (RFC 5322, section 3.4), unfolded, as
// ENVELOPE shows it: local parts without quotes, display names not decoded. It takes the obsolete
// forms and makes the best of what is no address; it never fails.
func ParseAddressList(value string) []Mailbox { return appendMailboxes(nil, value) }

func appendMailboxes(dst []Mailbox, value string) []Mailbox {
	c := cursor{value}
	var few [8]word
	inGroup := false
	// done says that the entry has an address already. More words before the next comma mean
	// nothing, but a second address must not hide there: it becomes an entry.
	done := false
	for {
		w := c.words(few[:0])
		stop := byte(0)
		if c.rest != "" {
			stop = c.rest[0]
			c.rest = c.rest[1:]
		}
		switch stop {
		case '<':
			dst = append(dst, c.angle(w))
			done = true
			continue
		case '@':
			dst = append(dst, c.bare(w))
			done = true
			continue
		case '>':
			if !done && !w.empty() {
				dst = append(dst, w.nameless())
				done = true
			}
			continue
		case ':':
			if !inGroup && !done {
				inGroup = true
				dst = append(dst, Mailbox{Local: orMissing(w.phrase(), missingLocal)})
			}
		case ',', ';', 0:
			if done {
				first(&dst[len(dst)-1].Name, strings.TrimSpace(w.comment))
			} else if !w.empty() {
				dst = append(dst, w.nameless())
			}
		}
		done = false
		if inGroup && (stop == ';' || stop == 0) {
			inGroup = false
			dst = append(dst, Mailbox{})
		}
		if stop == 0 {
			return dst
		}
	}
}

// words is a run of atoms, dots and quoted strings: a phrase or a local part, nobody knows before
// the character after it.
type words struct {
	list    []word
	comment string // the last comment met
}

type word struct {
	text  string
	space bool // white space or a comment comes before it
}

func (w words) empty() bool { return len(w.list) == 0 }

// words reads words up to one of the specials that mean something in an address, or to the end. It
// appends them to list.
func (c *cursor) words(list []word) words {
	comment := ""
	for space := false; c.rest != ""; {
		switch c.rest[0] {
		case ' ', '\t':
			space = true
			c.rest = c.rest[1:]
		case '(':
			space = true
			comment, c.rest = cutComment(c.rest)
		case '"':
			var text string
			text, c.rest = cutQuoted(c.rest)
			list = append(list, word{text, space})
			space = false
		case '<', '>', '@', ':', ',', ';':
			return words{list, comment}
		case ')', '[', ']', '\\':
			// No address has these here: they are skipped, and part words.
			space = true
			c.rest = c.rest[1:]
		default:
			list = append(list, word{c.atom(), space})
			space = false
		}
	}
	return words{list, comment}
}

// atom reads up to white space or a special other than the dot.
func (c *cursor) atom() string {
	n := 0
	for n < len(c.rest) && !isAtomEnd[c.rest[n]] {
		n++
	}
	a := c.rest[:n]
	c.rest = c.rest[n:]
	return a
}

var isAtomEnd = func() (t [256]bool) {
	for _, c := range " \t()<>[]:;@\\,\"" {
		t[c] = true
	}
	return t
}()

// phrase returns the words with single spaces where space was.
func (w words) phrase() string { return join(w.list, " ") }

// local returns the words as a local part: spaces around its dots are obsolete, and not part of it.
func local(list []word) string { return join(list, "") }

func join(list []word, space string) string {
	if len(list) == 0 {
		return ""
	}
	if len(list) == 1 {
		return list[0].text
	}
	var b strings.Builder
	for i, x := range list {
		if i > 0 && x.space {
			b.WriteString(space)
		}
		b.WriteString(x.text)
	}
	return b.String()
}

// name returns the display name: the phrase, else the comment, where people wrote it before there
// were display names.
func (w words) name() string {
	if w.empty() {
		return strings.TrimSpace(w.comment)
	}
	return w.phrase()
}

// nameless makes an entry of words without an address: one is a local part, several are a name.
func (w words) nameless() Mailbox {
	if len(w.list) == 1 {
		return Mailbox{strings.TrimSpace(w.comment), orMissing(w.list[0].text, missingLocal), missingHost}
	}
	return Mailbox{w.phrase(), missingLocal, missingHost}
}

// bare reads the domain after local-part "@". Words that white space parts from the local part are a
// name whose angle brackets were forgotten.
func (c *cursor) bare(w words) Mailbox {
	start := len(w.list) - 1
	for start > 0 && (!w.list[start].space || joinsDot(w.list[start-1], w.list[start])) {
		start--
	}
	start = max(start, 0)
	host := c.domain(&w.comment)
	name := words{w.list[:start], w.comment}
	m := Mailbox{name.name(), orMissing(local(w.list[start:]), missingLocal), orMissing(host, missingHost)}
	if c.take('<') {
		// "a@example.org <a@example.org>": an address where a name belongs, unquoted.
		inner := c.angle(words{})
		inner.Name = strings.TrimSpace(m.Local + "@" + m.Host)
		return inner
	}
	return m
}

// joinsDot reports whether white space between a and b is the obsolete kind around a dot.
func joinsDot(a, b word) bool {
	return strings.HasSuffix(a.text, ".") || strings.HasPrefix(b.text, ".")
}

// angle reads what comes after "<" of an angle-addr.
func (c *cursor) angle(w words) Mailbox {
	var few [4]word
	in := c.words(few[:0])
	for in.empty() && strings.HasPrefix(c.rest, "@") {
		// A route (RFC 5322, section 4.4): domains up to a colon. Without one it is an address
		// that lacks its local part.
		if !c.skipRoute() {
			break
		}
		in = c.words(few[:0])
	}
	for c.take(':') { // "<mailto:ann@example.org>"
		in = c.words(few[:0])
	}
	host := ""
	if c.take('@') {
		host = c.domain(&in.comment)
	}
	c.take('>')
	return Mailbox{w.name(), orMissing(local(in.list), missingLocal), orMissing(host, missingHost)}
}

// maxRoute bounds the search for the end of a route, so that a list of routes that do not end takes
// no quadratic time.
const maxRoute = 1000

// skipRoute skips an obsolete route with its colon, if there is one before the angle closes.
func (c *cursor) skipRoute() bool {
	near := c.rest[:min(len(c.rest), maxRoute)]
	colon := strings.IndexByte(near, ':')
	if colon < 0 || strings.IndexByte(near[:colon], '>') >= 0 {
		return false
	}
	c.rest = c.rest[colon+1:]
	return true
}

// domain reads a domain or an address literal, without the white space and comments within it.
func (c *cursor) domain(comment *string) string {
	var parts []word
	var few [4]word
	parts = few[:0]
	for c.rest != "" {
		switch c.rest[0] {
		case ' ', '\t':
			c.rest = c.rest[1:]
		case '(':
			*comment, c.rest = cutComment(c.rest)
		case '[':
			end := strings.IndexByte(c.rest, ']') + 1
			if end == 0 {
				end = len(c.rest)
			}
			parts = append(parts, word{c.rest[:end], false})
			c.rest = c.rest[end:]
		default:
			// A second word that no dot joins is not part of the domain.
			a := c.peekAtom()
			if a == "" || len(parts) > 0 && !joinsDot(parts[len(parts)-1], word{a, false}) {
				return local(parts)
			}
			parts = append(parts, word{c.atom(), false})
		}
	}
	return local(parts)
}

func (c *cursor) peekAtom() string {
	d := *c
	return d.atom()
}

func orMissing(s, missing string) string {
	if s == "" {
		return missing
	}
	return s
}
