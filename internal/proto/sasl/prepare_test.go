package sasl

import (
	"testing"

	"candor/internal/mail"
)

// TestPrepare has the examples of RFC 8265, section 4.3.
func TestPrepare(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		ok             bool
	}{
		{"spaces are kept", "correct horse battery staple", "correct horse battery staple", true},
		{"case is kept", "Correct Horse Battery Staple", "Correct Horse Battery Staple", true},
		{"symbols", "πßå", "πßå", true},
		{"symbol", "Jack of ♦s", "Jack of ♦s", true},
		{"ogham space", "foo\u1680bar", "foo bar", true},
		{"composed", "e\u0301", "é", true},
		{"fullwidth is kept", "ａ", "ａ", true},
		{"empty", "", "", false},
		{"tab", "my cat is a \tby", "", false},
		{"newline", "a\nb", "", false},
		{"not UTF-8", "\xff", "", false},
	} {
		in := []byte(c.in)
		got, err := Prepare(in)
		if string(got) != c.want || (err == nil) != c.ok || err != nil && !mail.IsKind(err, mail.Syntax) {
			t.Errorf("%s: Prepare(%q) = %q, %v; want %q", c.name, c.in, got, err, c.want)
		}
		clear(got)
		if string(in) != c.in {
			t.Errorf("%s: wiping the result wiped the password given", c.name)
		}
	}
}
