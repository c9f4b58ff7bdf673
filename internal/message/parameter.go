package message

import "strings"

// parseContentType parses a Content-Type value. One that has no type and subtype yields nothing, so
// that the default applies (RFC 2045, section 5.2).
func parseContentType(v string) (kind, subtype string, params []Param) {
	c := cursor{v}
	kind = c.token()
	c.skipComments()
	if kind == "" || !c.take('/') {
		return "", "", nil
	}
	c.skipComments()
	subtype = c.token()
	if subtype == "" {
		return "", "", nil
	}
	return strings.ToUpper(kind), strings.ToUpper(subtype), c.params()
}

// parseDisposition parses a Content-Disposition value (RFC 2183).
func parseDisposition(v string) (disposition string, args []Param) {
	c := cursor{v}
	disposition = c.token()
	if disposition == "" {
		return "", nil
	}
	return strings.ToUpper(disposition), c.params()
}

// parseEncoding parses a Content-Transfer-Encoding value. A token followed by other text, such as
// "8 bit", names no encoding; then the default applies.
func parseEncoding(v string) string {
	c := cursor{v}
	e := c.token()
	c.skipComments()
	if c.rest != "" && c.rest[0] != ';' {
		return ""
	}
	return strings.ToUpper(e)
}

// parseLanguages parses a Content-Language value (RFC 3282).
func parseLanguages(v string) []string {
	var all []string
	for c := (cursor{v}); c.rest != ""; {
		if tag := c.token(); tag != "" {
			all = append(all, tag)
		}
		c.skipTo(",")
		c.take(',')
	}
	return all
}

// cursor reads a structured field value from the left.
type cursor struct{ rest string }

// take skips b if it comes next.
func (c *cursor) take(b byte) bool {
	if c.rest == "" || c.rest[0] != b {
		return false
	}
	c.rest = c.rest[1:]
	return true
}

// skipComments skips white space and comments. A comment that has no end is all of the rest.
func (c *cursor) skipComments() {
	for c.rest != "" {
		switch c.rest[0] {
		case ' ', '\t':
			c.rest = c.rest[1:]
		case '(':
			_, c.rest = cutComment(c.rest)
		default:
			return
		}
	}
}

// cutComment splits s, which begins with "(", after the comment and returns the comment's text.
func cutComment(s string) (text, rest string) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return unescape(s[1:i]), s[i+1:]
			}
		}
	}
	return unescape(s[1:]), ""
}

// cutQuoted splits s, which begins with a quotation mark, after the quoted string and returns its
// text. One that has no end is all of the rest.
func cutQuoted(s string) (text, rest string) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return unescape(s[1:i]), s[i+1:]
		}
	}
	return unescape(s[1:]), ""
}

// unescape takes the backslashes of quoted pairs out.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isToken tells the characters of a token (RFC 2045, section 5.1).
var isToken = func() (t [256]bool) {
	for c := '!'; c <= '~'; c++ {
		t[c] = !strings.ContainsRune(`()<>@,;:\"/[]?=`, c)
	}
	return t
}()

// token reads a token after white space and comments; empty when there is none.
func (c *cursor) token() string {
	c.skipComments()
	n := 0
	for n < len(c.rest) && isToken[c.rest[n]] {
		n++
	}
	t := c.rest[:n]
	c.rest = c.rest[n:]
	return t
}

// skipTo skips to one of the octets in stops, over quoted strings and comments, or to the end.
func (c *cursor) skipTo(stops string) {
	for c.rest != "" && strings.IndexByte(stops, c.rest[0]) < 0 {
		switch c.rest[0] {
		case '"':
			_, c.rest = cutQuoted(c.rest)
		case '(':
			_, c.rest = cutComment(c.rest)
		default:
			c.rest = c.rest[1:]
		}
	}
}

// params reads ";" attribute "=" value as often as it comes. What is neither is skipped. Values
// stay as written, RFC 2231 forms included.
func (c *cursor) params() []Param {
	var all []Param
	for {
		c.skipTo(";")
		if !c.take(';') {
			return all
		}
		name := c.token()
		c.skipComments()
		if name == "" || !c.take('=') {
			continue
		}
		c.skipComments()
		all = append(all, Param{strings.ToLower(name), c.paramValue()})
	}
}

// paramValue reads a quoted string, or up to white space or ";": unquoted values hold all manner of
// octets that a token may not.
func (c *cursor) paramValue() string {
	if strings.HasPrefix(c.rest, `"`) {
		var v string
		v, c.rest = cutQuoted(c.rest)
		return v
	}
	n := strings.IndexAny(c.rest, " \t;(")
	if n < 0 {
		n = len(c.rest)
	}
	v := c.rest[:n]
	c.rest = c.rest[n:]
	return v
}
