package mailbox

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
)

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"inbox/x", "Caf\u0065\u0301", "a//b", "日本", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := parseName(s)
		if err != nil {
			return
		}
		if again, err := parseName(name); again != name || err != nil {
			t.Errorf("parseName(%q) = %q, which becomes %q, %v", s, name, again, err)
		}
		if len(name) > maxName || strings.HasPrefix(strings.ToUpper(name), "INBOX/") && !strings.HasPrefix(name, "INBOX/") {
			t.Errorf("parseName(%q) = %q", s, name)
		}
	})
}

// However a text is cut, the same is found in it.
func FuzzFinder(f *testing.F) {
	f.Add("Ünï", "xünï—y")
	f.Add("fi", "\xef\xac")
	f.Add("A\u030a", "\xc3\xa5\xff\xe2\x84")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		folded, _ := appendFolded(nil, []byte(pattern), true)
		whole, _ := appendFolded(nil, []byte(text), true)
		want := bytes.Contains(whole, folded)
		got, err := newFinder(pattern).in(t.Context(), iotest.OneByteReader(strings.NewReader(text)))
		if err != nil || got != want {
			t.Errorf("%q in %q: found %t, %v; want %t", pattern, text, got, err, want)
		}
	})
}
