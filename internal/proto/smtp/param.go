package smtp

import (
	"strings"

	"candor/internal/mail"
)

// Parameter is a parameter of MAIL or RCPT that this package does not interpret: of an extension
// that is not offered (RFC 5321, section 4.1.1.11). The keyword is in capitals.
type Parameter struct{ Keyword, Value string }

func (p Parameter) String() string {
	if p.Value == "" {
		return p.Keyword
	}
	return p.Keyword + "=" + p.Value
}

// parseParameters splits what follows a path. A keyword may come once.
func parseParameters(s string) ([]Parameter, error) {
	if s == "" {
		return nil, nil
	}
	if s[0] != ' ' {
		return nil, argument("Text after the path")
	}
	var params []Parameter
	seen := map[string]bool{}
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }) {
		keyword, value, valued := strings.Cut(word, "=")
		keyword = strings.ToUpper(keyword)
		if !isKeyword(keyword) || (valued && !isValue(value)) {
			return nil, argument("%.80q is not a parameter", word)
		}
		if seen[keyword] {
			return nil, argument("Parameter %s given twice", keyword)
		}
		seen[keyword] = true
		params = append(params, Parameter{keyword, value})
	}
	return params, nil
}

func isKeyword(s string) bool {
	if s == "" || s[0] == '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '-' && !alphanumeric(c) {
			return false
		}
	}
	return true
}

// isValue reports whether s is an esmtp-value, as RFC 6531, section 3.3 widens it.
func isValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == '=' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

// decodeXtext undoes the encoding of RFC 3461, section 4.
func decodeXtext(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		high, low := unhex(s[i+1]), unhex(s[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		b.WriteByte(byte(high<<4 | low))
		i += 2
	}
	return b.String(), true
}

// unhex returns the value of a capital hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func encodeXtext(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '+' || c == '=' {
			b.WriteByte('+')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// authParameter reads the AUTH parameter of MAIL, who vouches for the message (RFC 4954, section 5):
// "<>" is nobody.
func authParameter(value string) (mail.ReversePath, error) {
	text, ok := decodeXtext(value)
	if ok && text == "<>" {
		return mail.ReversePath{}, nil
	}
	a, err := mail.ParseAddress(text)
	if !ok || err != nil {
		return mail.ReversePath{}, argument("AUTH=%.80s is not an address", value)
	}
	return mail.ReversePath{Address: a}, nil
}
