package message

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPreview(t *testing.T) {
	t.Parallel()
	const alternative = "Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>rich</p>\r\n--x\r\nContent-Type: text/plain\r\n\r\n"
	for name, c := range map[string]struct{ in, want string }{
		"plain":              {"Subject: x\r\n\r\nHello,\r\n\r\n  world\t!\r\n", "Hello, world !"},
		"empty":              {"Subject: x\r\n\r\n \r\n", ""},
		"no body":            {"Subject: x\r\n", ""},
		"quotation":          {"A: b\r\n\r\n> said\r\n>> before\r\nyes\r\n", "yes"},
		"signature":          {"A: b\r\n\r\nyes\r\n-- \r\nAnn\r\n", "yes"},
		"charset":            {"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n", "Grüße"},
		"base64":             {"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n", "hello"},
		"not UTF-8":          {"A: b\r\n\r\na\xffb\r\n", "a\uFFFDb"},
		"controls":           {"A: b\r\n\r\na\x1b[1mb\u200bc\u00add\r\n", "a [1mbcd"},
		"unknown encoding":   {"Content-Transfer-Encoding: x-odd\r\n\r\nabc\r\n", ""},
		"image":              {"Content-Type: image/png\r\n\r\nabc\r\n", ""},
		"encrypted":          {"Content-Type: multipart/encrypted; boundary=x\r\n\r\n--x\r\n\r\nabc\r\n--x--\r\n", ""},
		"attached text":      {"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Disposition: attachment\r\n\r\nno\r\n--x\r\n\r\nyes\r\n--x--\r\n", "yes"},
		"plain alternative":  {alternative + "plain\r\n--x--\r\n", "plain"},
		"empty alternative":  {alternative + "\r\n--x--\r\n", "rich"},
		"html":               {"Content-Type: text/html\r\n\r\n<!-- no --><head><title>no</title><style>no{}</style></head><body>H<b>e</b>llo&nbsp;&amp;<br>wo&shy;rld<div>you", "Hello & world you"},
		"html quotation":     {"Content-Type: text/html\r\n\r\nyes<blockquote>no<blockquote>no</blockquote>no</blockquote>.", "yes."},
		"html without a end": {"Content-Type: text/html\r\n\r\n<head><title>no<body>", ""},
		"html cut":           {"Content-Type: text/html\r\n\r\nyes<a href=\"" + strings.Repeat("x", 1000), "yes"},
		"long":               {"A: b\r\n\r\n" + strings.Repeat("ü", 300), strings.Repeat("ü", 200)},
		"long words":         {"A: b\r\n\r\n" + strings.Repeat("ab ", 300), strings.TrimSpace(strings.Repeat("ab ", 67))[:200]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Preview(scanText(c.in), strings.NewReader(c.in)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func FuzzPreview(f *testing.F) {
	f.Add("Content-Type: text/html\r\n\r\n<p>a<style>b</style>&amp;")
	f.Add("Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x--\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		p := Preview(scanText(in), strings.NewReader(in))
		if n := utf8.RuneCountInString(p); n > maxPreview || !utf8.ValidString(p) || strings.ContainsAny(p, "\r\n\x00") {
			t.Errorf("%d characters: %q", n, p)
		}
	})
}
