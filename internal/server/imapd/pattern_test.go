package imapd

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// matchesSlowly finds octet by octet which places of the name a pattern reaches.
func matchesSlowly(pattern, name string) bool {
	reach := make([]bool, len(name)+1)
	reach[0] = true
	for p := 0; p < len(pattern); p++ {
		switch c := pattern[p]; c {
		case '*', '%':
			for i := 0; i < len(name); i++ {
				if reach[i] && (c == '*' || name[i] != '/') {
					reach[i+1] = true
				}
			}
		default:
			for i := len(name); i > 0; i-- {
				reach[i] = reach[i-1] && name[i-1] == c
			}
			reach[0] = false
		}
	}
	return reach[len(name)]
}

func TestPattern(t *testing.T) {
	long := strings.Repeat("a", 63) + "/" + strings.Repeat("b", 64) + "/" + strings.Repeat("a", 70)
	var m matcher
	for _, c := range []struct{ pattern, name string }{
		{"", ""},
		{"", "a"},
		{"*", ""},
		{"%", ""},
		{"*", "a/b"},
		{"%", "a/b"},
		{"%/%", "a/b"},
		{"%/", "a/b"},
		{"a/%", "a/b"},
		{"%b", "a/b"},
		{"*b", "a/b"},
		{"%*", "a/b/c"},
		{"*%", "a/b/c"},
		{"%%", "a/b"},
		{"%/%/%", "a/b/c"},
		{"%%/%%/c", "a/b/c"},
		{"%/%/%", long},
		{"%a/%b/%a", long},
		{"%/%", long},
		{"*/*", long},
		{"%b/%", long},
		{"*a", long},
		{"*b", long},
		{long, long},
		{long + "%", long},
		{"%" + long, long},
		{"%", strings.Repeat("a", 63)},
		{"%", strings.Repeat("a", 64)},
		{"%", strings.Repeat("a", 65)},
		{"*", strings.Repeat("a", 128)},
		{"%a", strings.Repeat("a", 128)},
	} {
		m.use(c.name)
		if got, want := m.matches(newPattern(c.pattern)), matchesSlowly(c.pattern, c.name); got != want {
			t.Errorf("%q matches %q: got %v, want %v", c.pattern, c.name, got, want)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		pattern, name := randomText(r, "ab/*%", 8), strings.Repeat("a", 60*r.IntN(2))+randomText(r, "ab/", 10)
		m.use(name)
		if got, want := m.matches(newPattern(pattern)), matchesSlowly(pattern, name); got != want {
			t.Fatalf("%q matches %q: got %v, want %v", pattern, name, got, want)
		}
	}
}

func randomText(r *rand.Rand, from string, most int) string {
	b := make([]byte, r.IntN(most+1))
	for i := range b {
		b[i] = from[r.IntN(len(from))]
	}
	return string(b)
}

// BenchmarkPattern holds the worst patterns that LIST takes against as many names as an account can have.
func BenchmarkPattern(b *testing.B) {
	names := make([]string, 10_000)
	for i := range names {
		names[i] = strings.Repeat("a", 999) + string(rune('a'+i%26))
	}
	for what, text := range map[string]string{
		"stars":    strings.Repeat("*a", maxPatterns/2),
		"most":     strings.Repeat("%a", 999) + "%!",
		"percents": strings.Repeat("%", maxPatterns),
	} {
		b.Run(what, func(b *testing.B) {
			var m matcher
			for b.Loop() {
				p := newPattern(text)
				for _, n := range names {
					m.use(n)
					m.matches(p)
				}
			}
		})
	}
}
