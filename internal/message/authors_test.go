package message

import (
	"slices"
	"testing"

	"candor/internal/mail"
)

func TestAuthors(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		want  []string
	}{
		"address":              {"ann@example.org", []string{"ann@example.org"}},
		"name":                 {"Ann <ann@example.org>", []string{"ann@example.org"}},
		"name with a dot":      {"A. Nn <ann@example.org>", []string{"ann@example.org"}},
		"name of an address":   {`"bob@example.org" <ann@example.org>`, []string{"ann@example.org"}},
		"comment":              {"ann@example.org (not bob@example.org)", []string{"ann@example.org"}},
		"list":                 {"ann@example.org, Bob <bob@example.org>", []string{"ann@example.org", "bob@example.org"}},
		"group":                {"g: ann@example.org, bob@example.org;", []string{"ann@example.org", "bob@example.org"}},
		"quoted":               {`"a b"@example.org`, []string{`"a b"@example.org`}},
		"UTF-8":                {"Jörg <jörg@bücher.example>", []string{"jörg@bücher.example"}},
		"unknown charset":      {"=?x-nobody?q?A?= <ann@example.org>", []string{"ann@example.org"}},
		"encoded name":         {"=?utf-8?q?bob=40example.org?= <ann@example.org>", []string{"ann@example.org"}},
		"Latin-1":              {"J\xf6rg <ann@example.org>", []string{"ann@example.org"}},
		"comma in the name":    {"Doe, J <ann@example.org>", []string{"ann@example.org"}},
		"its own name":         {"ann@example.org <ann@example.org>", []string{"ann@example.org", "ann@example.org"}},
		"other name":           {"bob@example.org <ann@example.org>", []string{"bob@example.org", "ann@example.org"}},
		"open quote":           {`ann@example.org "x <bob@example.org>`, []string{"ann@example.org", "bob@example.org"}},
		"open comment":         {"ann@example.org (<bob@example.org>", []string{"ann@example.org", "bob@example.org"}},
		"open angle":           {"<ann@example.org, bob@example.org", []string{"ann@example.org", "bob@example.org"}},
		"encoded, not a name":  {"ann@example.org, =?utf-8?q?=3Cbob=40example.org?=>", []string{"ann@example.org", "bob@example.org"}},
		"route":                {"<@example.net:bob@example.org>", []string{"@example.net", "bob@example.org"}},
		"two in an angle":      {"<ann@example.org bob@example.org>", []string{"ann@example.org", "bob@example.org"}},
		"no address":           {"Boss", nil},
		"no address, in angle": {"Boss <boss>", nil},
		"empty group":          {"nobody:;", nil},
		"nothing":              {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := Authors(newField([]byte("From: " + c.value + "\r\n")))
			if !slices.Equal(got, c.want) {
				t.Errorf("%q: got %q, want %q", c.value, got, c.want)
			}
		})
	}
}

// FuzzAuthors: a field in which ENVELOPE shows an address names somebody for the check too.
func FuzzAuthors(f *testing.F) {
	f.Add(`ann@example.org "x <bob@example.org>`)
	f.Add("g: ann@example.org, <@a,@b:bob@example.org>;")
	f.Fuzz(func(t *testing.T, value string) {
		field := newField([]byte("From: " + value + "\r\n"))
		if len(Authors(field)) > 0 {
			return
		}
		for _, m := range ParseAddressList(field.Value()) {
			if _, err := mail.ParseAddress(m.Local + "@" + m.Host); err == nil && m.Host != missingHost && m.Local != missingLocal {
				t.Errorf("%q: nobody, but ENVELOPE shows %v", value, m)
			}
		}
	})
}
