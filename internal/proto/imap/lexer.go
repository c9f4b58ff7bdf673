package imap

import (
	"math"
	"strings"
	"unicode/utf8"

	"candor/internal/mail"
)

// lexer reads the tokens of RFC 9051, section 9. The first error sticks: from then on every method
// returns a zero value, so that a parser looks at err once, at its end and in its loops.
type lexer struct {
	b   []byte // what is left
	err error
}

func (l *lexer) fail(format string, args ...any) {
	if l.err == nil {
		l.err = mail.Errorf(mail.Syntax, format, args...)
	}
	l.b = nil
}

// peek returns the next octet, or 0 at the end.
func (l *lexer) peek() byte {
	if len(l.b) == 0 {
		return 0
	}
	return l.b[0]
}

func (l *lexer) accept(c byte) bool {
	if l.peek() != c {
		return false
	}
	l.b = l.b[1:]
	return true
}

func (l *lexer) expect(c byte) {
	if l.err == nil && !l.accept(c) {
		l.fail("%q expected", c)
	}
}

func (l *lexer) space() {
	if l.err == nil && !l.accept(' ') {
		l.fail("argument expected")
	}
}

// end demands that nothing is left.
func (l *lexer) end() {
	if l.err == nil && len(l.b) > 0 {
		l.fail("too many arguments")
	}
}

// The character classes of RFC 9051, section 9.
const (
	atomClass    = 1 << iota // ATOM-CHAR
	astringClass             // ASTRING-CHAR
	listClass                // list-char
	tagClass                 // tag
	digitClass               // DIGIT
	sectionClass             // of a section-spec's words
)

var classes = func() (t [256]uint8) {
	for c := byte('!'); c <= '~'; c++ {
		if strings.IndexByte(`(){%*"\]`, c) < 0 {
			t[c] |= atomClass | astringClass | listClass
			if c != '+' {
				t[c] |= tagClass
			}
		}
		if c >= '0' && c <= '9' {
			t[c] |= digitClass | sectionClass
		}
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '.' {
			t[c] |= sectionClass
		}
	}
	t[']'] |= astringClass | listClass | tagClass
	t['%'] |= listClass
	t['*'] |= listClass
	return t
}()

func isTagChar(c byte) bool { return classes[c]&tagClass != 0 }

// take returns the octets of class that come next; none is an error.
func (l *lexer) take(class uint8, what string) []byte {
	n := 0
	for n < len(l.b) && classes[l.b[n]]&class != 0 {
		n++
	}
	if n == 0 {
		l.fail("%s expected", what)
		return nil
	}
	t := l.b[:n]
	l.b = l.b[n:]
	return t
}

func (l *lexer) atom() string { return string(l.take(atomClass, "atom")) }

// name reads an atom whose case does not matter and returns it in capitals.
func (l *lexer) name() string { return upper(l.take(atomClass, "name")) }

// word consumes w, in any case, when it comes next and is a whole atom.
func (l *lexer) word(w string) bool {
	if len(l.b) < len(w) || !strings.EqualFold(string(l.b[:len(w)]), w) {
		return false
	}
	if len(l.b) > len(w) && classes[l.b[len(w)]]&atomClass != 0 {
		return false
	}
	l.b = l.b[len(w):]
	return true
}

// astring reads an atom or string. It is UTF-8 (RFC 9051, section 9, UTF8-2) or, in a literal, any octets.
func (l *lexer) astring() string {
	switch l.peek() {
	case '"', '{':
		return l.str()
	}
	return string(l.take(astringClass, "string"))
}

// listMailbox reads the pattern of LIST.
func (l *lexer) listMailbox() string {
	switch l.peek() {
	case '"', '{':
		return l.str()
	}
	return string(l.take(listClass, "mailbox pattern"))
}

// str reads a quoted string or literal.
func (l *lexer) str() string {
	if l.peek() == '"' {
		return l.quoted()
	}
	return string(l.literal())
}

// nstring reads a string or NIL, which is not ok.
func (l *lexer) nstring() (s string, ok bool) {
	if l.word("NIL") {
		return "", false
	}
	return l.str(), true
}

func (l *lexer) quoted() string {
	l.expect('"')
	for i := 0; i < len(l.b); i++ {
		switch l.b[i] {
		case '"':
			s := string(l.b[:i])
			l.b = l.b[i+1:]
			return l.utf8(s)
		case '\\':
			return l.escaped(i)
		case '\r', '\n', 0:
			l.fail("string is not closed")
			return ""
		}
	}
	l.fail("string is not closed")
	return ""
}

// escaped reads a quoted string whose first backslash is at i.
func (l *lexer) escaped(i int) string {
	var s strings.Builder
	s.Write(l.b[:i])
	for ; i < len(l.b); i++ {
		switch c := l.b[i]; c {
		case '"':
			l.b = l.b[i+1:]
			return l.utf8(s.String())
		case '\r', '\n', 0:
			l.fail("string is not closed")
			return ""
		case '\\':
			if i++; i == len(l.b) || l.b[i] != '"' && l.b[i] != '\\' {
				l.fail("only \\\\ and \\\" may be quoted")
				return ""
			}
			s.WriteByte(l.b[i])
		default:
			s.WriteByte(c)
		}
	}
	l.fail("string is not closed")
	return ""
}

func (l *lexer) utf8(s string) string {
	if !utf8.ValidString(s) {
		l.fail("string is not UTF-8")
		return ""
	}
	return s
}

// literal reads a literal whose octets follow in the text.
func (l *lexer) literal() []byte {
	l.expect('{')
	n := l.number64()
	l.accept('+')
	l.expect('}')
	l.expect('\r')
	l.expect('\n')
	if l.err != nil {
		return nil
	}
	if n > uint64(len(l.b)) {
		l.fail("literal is not complete")
		return nil
	}
	s := l.b[:n]
	l.b = l.b[n:]
	return s
}

func (l *lexer) number64() uint64 {
	var n uint64
	for _, d := range l.take(digitClass, "number") {
		if n > (math.MaxInt64-9)/10 {
			l.fail("number is too great")
			return 0
		}
		n = n*10 + uint64(d-'0')
	}
	return n
}

func (l *lexer) number() uint32 {
	n := l.number64()
	if n > math.MaxUint32 {
		l.fail("number is too great")
		return 0
	}
	return uint32(n)
}

// nzNumber reads a number that is not zero and does not begin with one.
func (l *lexer) nzNumber() uint32 {
	if l.peek() == '0' {
		l.fail("number must not begin with 0")
	}
	return l.number()
}

// list reads "(" item *(SP item) ")"; it may be empty.
func (l *lexer) list(item func()) {
	l.expect('(')
	if l.accept(')') {
		return
	}
	for l.err == nil {
		item()
		if l.accept(')') {
			return
		}
		l.space()
	}
}

// flag reads a flag or keyword. A backslash with an atom is accepted whatever the atom, as flag-extension.
func (l *lexer) flag() string {
	if l.accept('\\') {
		return canonicalFlag(`\` + l.atom())
	}
	return l.atom()
}

// flags reads a flag list.
func (l *lexer) flags() []string {
	flags := []string{}
	l.list(func() { flags = append(flags, l.flag()) })
	return flags
}

// canonicalFlag gives a system flag the case of RFC 9051, section 2.3.2.
func canonicalFlag(f string) string {
	for _, s := range [...]string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`, `\Recent`} {
		if strings.EqualFold(s, f) {
			return s
		}
	}
	return f
}
