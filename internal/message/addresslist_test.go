package message

import (
	"math/rand/v2"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseAddressList(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Mailbox
	}{
		{"", nil},
		{" , ,, ", nil},
		{"user@domain", []Mailbox{{"", "user", "domain"}}},
		{"<user@domain>", []Mailbox{{"", "user", "domain"}}},
		{"foo bar <user@domain>", []Mailbox{{"foo bar", "user", "domain"}}},
		{"\"foo bar\" <user@domain>", []Mailbox{{"foo bar", "user", "domain"}}},
		{`"a \"b\", c" <user@domain>`, []Mailbox{{`a "b", c`, "user", "domain"}}},
		{"John Q. Public <user@domain>", []Mailbox{{"John Q. Public", "user", "domain"}}},
		{`"J." "Doe" x<user@domain>`, []Mailbox{{"J. Doe x", "user", "domain"}}},
		{"=?utf-8?q?J=C3=B6rg?= <user@domain>", []Mailbox{{"=?utf-8?q?J=C3=B6rg?=", "user", "domain"}}},
		{"Jörg <jörg@bücher.example>", []Mailbox{{"Jörg", "jörg", "bücher.example"}}},
		{"user@domain (Real (nested) Name)", []Mailbox{{"Real (nested) Name", "user", "domain"}}},
		{"user (c) @ (d) domain (Name)", []Mailbox{{"Name", "user", "domain"}}},
		{"<user@domain> (Name)", []Mailbox{{"Name", "user", "domain"}}},
		{"first . last @ sub . domain", []Mailbox{{"", "first.last", "sub.domain"}}},
		{`"quoted local"@domain`, []Mailbox{{"", "quoted local", "domain"}}},
		{`"a\"b".c@domain`, []Mailbox{{"", `a"b.c`, "domain"}}},
		{"user@[192.0.2.1]", []Mailbox{{"", "user", "[192.0.2.1]"}}},
		{"<user@[IPv6:2001:db8::1]>", []Mailbox{{"", "user", "[IPv6:2001:db8::1]"}}},
		{"<@route:user@domain>", []Mailbox{{"", "user", "domain"}}},
		{"hello <@route ,@route2:user@domain>", []Mailbox{{"hello", "user", "domain"}}},
		{"a@b, c@d,e@f", []Mailbox{{"", "a", "b"}, {"", "c", "d"}, {"", "e", "f"}}},

		{"group: a@b, <c@d>;", []Mailbox{{"", "group", ""}, {"", "a", "b"}, {"", "c", "d"}, {}}},
		{"undisclosed recipients:;", []Mailbox{{"", "undisclosed recipients", ""}, {}}},
		{"\"a group\":a@b; , c@d", []Mailbox{{"", "a group", ""}, {"", "a", "b"}, {}, {"", "c", "d"}}},
		{"one:;two:a@b;", []Mailbox{{"", "one", ""}, {}, {"", "two", ""}, {"", "a", "b"}, {}}},
		{"open: a@b", []Mailbox{{"", "open", ""}, {"", "a", "b"}, {}}},
		{"outer: inner: a@b;;", []Mailbox{{"", "outer", ""}, {"", "a", "b"}, {}}},

		// What is no address, as other servers show it.
		{"user", []Mailbox{{"", "user", "MISSING_DOMAIN"}}},
		{"hello <user>", []Mailbox{{"hello", "user", "MISSING_DOMAIN"}}},
		{"user@", []Mailbox{{"", "user", "MISSING_DOMAIN"}}},
		{"@domain", []Mailbox{{"", "MISSING_MAILBOX", "domain"}}},
		{"<@domain>", []Mailbox{{"", "MISSING_MAILBOX", "domain"}}},
		{"<>", []Mailbox{{"", "MISSING_MAILBOX", "MISSING_DOMAIN"}}},
		{"just some words", []Mailbox{{"just some words", "MISSING_MAILBOX", "MISSING_DOMAIN"}}},
		{"user (Name)", []Mailbox{{"Name", "user", "MISSING_DOMAIN"}}},
		{"Ann Example ann@example.org", []Mailbox{{"Ann Example", "ann", "example.org"}}},
		{"a@example.org <b@example.org>", []Mailbox{{"a@example.org", "b", "example.org"}}},
		{"Name <user@domain", []Mailbox{{"Name", "user", "domain"}}},
		{"Name <user@domain, b@c", []Mailbox{{"Name", "user", "domain"}, {"", "b", "c"}}},
		{"user@domain>, b@c", []Mailbox{{"", "user", "domain"}, {"", "b", "c"}}},
		{`"never closed <a@b>, c@d`, []Mailbox{{"", "never closed <a@b>, c@d", "MISSING_DOMAIN"}}},
		{"(never closed a@b", nil},
		{"<user> words, <b@c>", []Mailbox{{"", "user", "MISSING_DOMAIN"}, {"", "b", "c"}}},
		{"<mailto:a@b>", []Mailbox{{"", "a", "b"}}},
		{"user>, <b@c>", []Mailbox{{"", "user", "MISSING_DOMAIN"}, {"", "b", "c"}}},
		{"<a@b> words", []Mailbox{{"", "a", "b"}}},

		// A second address does not hide behind the first.
		{"a@b c@d", []Mailbox{{"", "a", "b"}, {"", "c", "d"}}},
		{"<a@b> (x) c@d", []Mailbox{{"", "a", "b"}, {"x", "c", "d"}}},
		{"<a@b> C <c@d>", []Mailbox{{"", "a", "b"}, {"C", "c", "d"}}},
		{"<a@b c@d>", []Mailbox{{"", "a", "b"}, {"", "c", "d"}}},
		{"a@b@c", []Mailbox{{"", "a", "b"}, {"", "MISSING_MAILBOX", "c"}}},
		{":a@b;", []Mailbox{{"", "MISSING_MAILBOX", ""}, {"", "a", "b"}, {}}},
		{"; a@b", []Mailbox{{"", "a", "b"}}},
	} {
		if d := cmp.Diff(c.want, ParseAddressList(c.in)); d != "" {
			t.Errorf("ParseAddressList(%q) (-want +got):\n%s", c.in, d)
		}
	}
}

// TestParseAddressListLikeStandard compares with the standard library, which is stricter, on lists
// that both take.
func TestParseAddressListLikeStandard(t *testing.T) {
	pieces := []string{"a", "b.c", "@", "@", "d.example", ", ", ", ", "<", ">", `"x y"`, "(c)", " ", "Name ", "ü"}
	r := rand.New(rand.NewPCG(5, 6))
	compared := 0
	for range 60_000 {
		var b strings.Builder
		for range 1 + r.IntN(12) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		want, err := netmail.ParseAddressList(b.String())
		if err != nil {
			continue
		}
		compared++
		got := ParseAddressList(b.String())
		if len(got) != len(want) {
			t.Fatalf("%q: got %q, want %q", b.String(), got, want)
		}
		for i, w := range want {
			if address := got[i].Local + "@" + got[i].Host; address != w.Address {
				t.Errorf("%q: got %q, want %q", b.String(), address, w.Address)
			}
			if !strings.Contains(b.String(), "(") && got[i].Name != strings.Join(strings.Fields(w.Name), " ") {
				t.Errorf("%q: got name %q, want %q", b.String(), got[i].Name, w.Name)
			}
		}
	}
	if compared < 200 {
		t.Errorf("only %d lists were addresses", compared)
	}
}

// TestHostileLists: nothing takes quadratic time.
func TestHostileLists(t *testing.T) {
	start := time.Now()
	for _, piece := range []string{"<@", "<", "@", "(", "\"", "\\", ",", ":", ";", "a ", "a.", "a@b ", "<a", "<@a,", "[", "a@[", "(\\", "=?", "=?a?q?", "x;a=\"", "x;a=("} {
		value := strings.Repeat(piece, defaultHeader/len(piece))
		ParseAddressList(value)
		parseContentType("text/plain" + value)
		parseLanguages(value)
		DecodeText(value)
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("took %s", d)
	}
}

// FuzzAddressList: groups are well formed, and every entry has what ENVELOPE needs.
func FuzzAddressList(f *testing.F) {
	f.Add(`Ann <ann@example.org>, "B. C." <@a,@b:b@[192.0.2.1]> (x), g: d@e, f;, h`)
	f.Fuzz(func(t *testing.T, s string) {
		inGroup := false
		for _, m := range ParseAddressList(s) {
			switch {
			case m == Mailbox{}:
				if !inGroup {
					t.Fatalf("%q: a group ends that did not begin", s)
				}
				inGroup = false
			case m.Host == "":
				if inGroup {
					t.Fatalf("%q: a group within a group", s)
				}
				inGroup = true
			case m.Local == "":
				t.Fatalf("%q: %+v", s, m)
			}
		}
		if inGroup {
			t.Fatalf("%q: a group does not end", s)
		}
	})
}
