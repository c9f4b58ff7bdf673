package message

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// crlf makes the line ends of a test's text those of mail.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// scan scans msg in writes of at most step octets.
func scan(msg string, l Limits, step int) *Attributes {
	s := NewScanner(l)
	for len(msg) > step {
		s.Write([]byte(msg[:step]))
		msg = msg[step:]
	}
	s.Write([]byte(msg))
	return s.Finish()
}

func scanWhole(msg string) *Attributes { return scan(msg, Limits{}, len(msg)+1) }

// outline shows a structure as a reader of MIME would draw it: type, body as text, lines.
func outline(msg string, p *Part, indent string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s/%s %s", indent, p.Type, p.Subtype, p.Encoding)
	for _, q := range p.Params {
		fmt.Fprintf(&b, " %s=%q", q.Name, q.Value)
	}
	fmt.Fprintf(&b, " header %q", msg[p.HeaderOffset:p.BodyOffset])
	if len(p.Children) == 0 {
		fmt.Fprintf(&b, " body %q lines %d", msg[p.BodyOffset:p.BodyOffset+p.BodySize], p.Lines)
	} else {
		fmt.Fprintf(&b, " size %d lines %d", p.BodySize, p.Lines)
	}
	b.WriteByte('\n')
	for i := range p.Children {
		b.WriteString(outline(msg, &p.Children[i], indent+"  "))
	}
	return b.String()
}

func TestScannerStructure(t *testing.T) {
	for _, c := range []struct{ name, msg, want string }{
		{"empty", "", `
TEXT/PLAIN 7BIT charset="us-ascii" header "" body "" lines 0
`},
		{"no blank line", "Subject: x\n", `
TEXT/PLAIN 7BIT charset="us-ascii" header "Subject: x\r\n" body "" lines 0
`},
		{"no header", "\nhello\n", `
TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "hello\r\n" lines 1
`},
		{"last line without end", "Subject: x\n\none\ntwo", `
TEXT/PLAIN 7BIT charset="us-ascii" header "Subject: x\r\n\r\n" body "one\r\ntwo" lines 1
`},
		{"content type that is none", "Content-Type: text\nContent-Transfer-Encoding: 8 bit\n\nx\n", `
TEXT/PLAIN 7BIT charset="us-ascii" header "Content-Type: text\r\nContent-Transfer-Encoding: 8 bit\r\n\r\n" body "x\r\n" lines 1
`},
		{"multipart without boundary", "Content-Type: multipart/mixed\n\n--a\n\nx\n", `
TEXT/PLAIN 7BIT charset="us-ascii" header "Content-Type: multipart/mixed\r\n\r\n" body "--a\r\n\r\nx\r\n" lines 3
`},
		{"multipart without parts", "Content-Type: multipart/mixed; boundary=a\n\nnothing\n", `
MULTIPART/MIXED 7BIT boundary="a" header "Content-Type: multipart/mixed; boundary=a\r\n\r\n" size 9 lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "" body "" lines 0
`},
		{"preamble and epilogue", "Content-Type: multipart/mixed; boundary=\"a b\"\n\npreamble\n--a b\n\none\n\n--a b \t\nContent-Type: text/html\n\ntwo\n--a b--\nepilogue\n--a b\n", `
MULTIPART/MIXED 7BIT boundary="a b" header "Content-Type: multipart/mixed; boundary=\"a b\"\r\n\r\n" size 93 lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "one\r\n" lines 1
  TEXT/HTML 7BIT charset="us-ascii" header "Content-Type: text/html\r\n\r\n" body "two" lines 0
`},
		{"missing final boundary", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\none\n", `
MULTIPART/MIXED 7BIT boundary="a" header "Content-Type: multipart/mixed; boundary=a\r\n\r\n" size 12 lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "one\r\n" lines 1
`},
		{"inner boundary begins like the outer", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=ab\n\n--ab\n\none\n--ab--\n--a\n\ntwo\n--a--\n", `
MULTIPART/MIXED 7BIT boundary="a" header "Content-Type: multipart/mixed; boundary=a\r\n\r\n" size 91 lines 0
  MULTIPART/MIXED 7BIT boundary="ab" header "Content-Type: multipart/mixed; boundary=ab\r\n\r\n" size 19 lines 0
    TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "one" lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "two" lines 0
`},
		{"outer boundary begins like the inner", "Content-Type: multipart/mixed; boundary=ab\n\n--ab\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\none\n--ab\n\ntwo\n--ab--\n", `
MULTIPART/MIXED 7BIT boundary="ab" header "Content-Type: multipart/mixed; boundary=ab\r\n\r\n" size 84 lines 0
  MULTIPART/MIXED 7BIT boundary="a" header "Content-Type: multipart/mixed; boundary=a\r\n\r\n" size 10 lines 0
    TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "one" lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "two" lines 0
`},
		{"boundary that ends in dashes", "Content-Type: multipart/mixed; boundary=a--\n\n--a--\n\none\n--a----\n", `
MULTIPART/MIXED 7BIT boundary="a--" header "Content-Type: multipart/mixed; boundary=a--\r\n\r\n" size 23 lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "one" lines 0
`},
		{"inner multipart not ended", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\none\n--a\n\ntwo\n--a--", `
MULTIPART/MIXED 7BIT boundary="a" header "Content-Type: multipart/mixed; boundary=a\r\n\r\n" size 85 lines 0
  MULTIPART/ALTERNATIVE 7BIT boundary="b" header "Content-Type: multipart/alternative; boundary=b\r\n\r\n" size 10 lines 0
    TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "one" lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "two" lines 0
`},
		{"empty parts", "Content-Type: multipart/mixed; boundary=a\n\n--a\n--a\n\n--a\n\n\n--a--\n", `
MULTIPART/MIXED 7BIT boundary="a" header "Content-Type: multipart/mixed; boundary=a\r\n\r\n" size 28 lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "" body "" lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "" lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "" lines 0
`},
		{"boundary within a header", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/html\n--a--\n", `
MULTIPART/MIXED 7BIT boundary="a" header "Content-Type: multipart/mixed; boundary=a\r\n\r\n" size 37 lines 0
  TEXT/HTML 7BIT charset="us-ascii" header "Content-Type: text/html\r\n" body "" lines 0
`},
		{"digest", "Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: in\n\nbody\n--a\nContent-Type: text/plain\n\nx\n--a--\n", `
MULTIPART/DIGEST 7BIT boundary="a" header "Content-Type: multipart/digest; boundary=a\r\n\r\n" size 71 lines 0
  MESSAGE/RFC822 7BIT header "\r\n" size 19 lines 2
    TEXT/PLAIN 7BIT charset="us-ascii" header "Subject: in\r\n\r\n" body "body" lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "Content-Type: text/plain\r\n\r\n" body "x" lines 0
`},
		{"message within a message", "Content-Type: message/global\n\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\none\n--a--\n", `
MESSAGE/GLOBAL 7BIT header "Content-Type: message/global\r\n\r\n" size 64 lines 6
  MULTIPART/MIXED 7BIT boundary="a" header "Content-Type: multipart/mixed; boundary=a\r\n\r\n" size 19 lines 0
    TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "one" lines 0
`},
		{"message part that is only a header", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n\nSubject: x\n--a--\n", `
MULTIPART/MIXED 7BIT boundary="a" header "Content-Type: multipart/mixed; boundary=a\r\n\r\n" size 56 lines 0
  MESSAGE/RFC822 7BIT header "Content-Type: message/rfc822\r\n\r\n" size 12 lines 1
    TEXT/PLAIN 7BIT charset="us-ascii" header "Subject: x\r\n" body "" lines 0
`},
		{"boundary in pieces", "Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\n\n--ab\n\none\n--ab--\n", `
MULTIPART/MIXED 7BIT boundary*0="a" boundary*1="b" header "Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\r\n\r\n" size 21 lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "\r\n" body "one" lines 0
`},
		{"folded boundary, encoding that is none", "Content-Type: multipart/mixed;\n boundary=\"a\n b\"\n\n--a b\nContent-Transfer-Encoding: ?none\n\none\n--a b--", `
MULTIPART/MIXED 7BIT boundary="a b" header "Content-Type: multipart/mixed;\r\n boundary=\"a\r\n b\"\r\n\r\n" size 55 lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "Content-Transfer-Encoding: ?none\r\n\r\n" body "one" lines 0
`},
		{"delimiter at the very end", "Content-Type: multipart/mixed; boundary=a\n\n--a", `
MULTIPART/MIXED 7BIT boundary="a" header "Content-Type: multipart/mixed; boundary=a\r\n\r\n" size 3 lines 0
  TEXT/PLAIN 7BIT charset="us-ascii" header "" body "" lines 0
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			msg := crlf(c.msg)
			a := scanWhole(msg)
			if got := "\n" + outline(msg, &a.Root, ""); got != c.want {
				t.Errorf("message %q\ngot %s\nwant %s", msg, got, c.want)
			}
			checkInvariants(t, msg, a)
		})
	}
}

// checkInvariants checks what holds for every message, however odd.
func checkInvariants(t *testing.T, msg string, a *Attributes) {
	t.Helper()
	if a.Size != int64(len(msg)) || a.Root.HeaderOffset != 0 || a.Root.BodyOffset+a.Root.BodySize != a.Size {
		t.Fatalf("message %q: root does not cover it: %+v", msg, a.Root)
	}
	checkNested(t, msg, &a.Root, 0, a.Size)
	var b Attributes
	if err := b.Unmarshal(a.Marshal(nil)); err != nil {
		t.Fatalf("message %q: %v", msg, err)
	}
	if d := cmp.Diff(*a, b); d != "" {
		t.Fatalf("message %q: Unmarshal(Marshal) differs:\n%s", msg, d)
	}
	for _, step := range []int{1, 2, 3, 7, 64} {
		if d := cmp.Diff(a, scan(msg, Limits{}, step)); d != "" {
			t.Fatalf("message %q in writes of %d octets differs:\n%s", msg, step, d)
		}
	}
}

func checkNested(t *testing.T, msg string, p *Part, from, to int64) {
	t.Helper()
	end := p.BodyOffset + p.BodySize
	if p.HeaderOffset < from || p.BodyOffset < p.HeaderOffset || p.BodySize < 0 || end > to {
		t.Fatalf("message %q: part %d-%d-%d does not lie within %d-%d", msg, p.HeaderOffset, p.BodyOffset, end, from, to)
	}
	if !p.mayHave(len(p.Children)) || p.isMessage() != (p.Envelope != nil) {
		t.Fatalf("message %q: %s/%s has %d children, envelope %v", msg, p.Type, p.Subtype, len(p.Children), p.Envelope)
	}
	if n := int64(strings.Count(msg[p.BodyOffset:end], "\n")); (p.Type == "TEXT" || p.isMessage()) && n != p.Lines {
		t.Fatalf("message %q: part at %d has %d lines, want %d", msg, p.BodyOffset, p.Lines, n)
	}
	at := p.BodyOffset
	for i := range p.Children {
		c := &p.Children[i]
		checkNested(t, msg, c, at, end)
		at = c.BodyOffset + c.BodySize
	}
}

func TestScannerLimits(t *testing.T) {
	msg := crlf("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n--a\n\ntwo\n--a\n\nthree\n--a--\n")
	a := scan(msg, Limits{Depth: 2}, 10)
	if c := a.Root.Children; len(c) != 3 || c[0].Type != "APPLICATION" || c[0].Subtype != "OCTET-STREAM" || len(c[0].Children) != 0 {
		t.Errorf("depth 2: got\n%s", outline(msg, &a.Root, ""))
	}
	a = scan(msg, Limits{Parts: 4}, 10)
	if c := a.Root.Children; len(c) != 2 || len(c[0].Children) != 1 || msg[c[1].BodyOffset:c[1].BodyOffset+c[1].BodySize] != "two\r\n--a\r\n\r\nthree" {
		t.Errorf("4 parts: got\n%s", outline(msg, &a.Root, ""))
	}
	long := "Subject: kept\r\nX: " + strings.Repeat("x", 100) + "\r\nTo: lost@example.org\r\n\r\nbody"
	for step := 1; step < len(long); step++ {
		a = scan(long, Limits{Header: 64}, step)
		if a.Envelope.Subject != "kept" || a.Envelope.To != nil || a.Root.BodySize != 4 {
			t.Fatalf("header of 64 octets, writes of %d: got %+v", step, a)
		}
	}
}

func TestScannerManyParts(t *testing.T) {
	msg := "Content-Type: multipart/mixed; boundary=a\r\n\r\n" + strings.Repeat("--a\r\nContent-Type: text/plain\r\n\r\nx\r\n", 20_000)
	a := scanWhole(msg)
	if n := len(a.Root.Children); n != 10_000-1 {
		t.Errorf("got %d parts", n)
	}
	deep := strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 20_000)
	a = scanWhole(deep)
	depth := 1
	for p := &a.Root; len(p.Children) > 0; p = &p.Children[0] {
		depth++
	}
	if depth != 100 {
		t.Errorf("got depth %d", depth)
	}
}

func TestEnvelope(t *testing.T) {
	msg := crlf(`Date: Tue,
 01 Sep 2026 10:00:00 +0000
SUBJECT : =?utf-8?q?a?=
	b
Subject: second
From: Ann <ann@example.org>
To: bob@example.org
To: carl@example.org
Cc: friends: dan@example.org, "E. F." <"e f"@[192.0.2.1]>;, eve@example.org
Bcc:
Reply-To: ,
In-Reply-To: <1@x> <2@x>
Message-ID:   <3@x>

text
`)
	ann := []Mailbox{{"Ann", "ann", "example.org"}}
	want := Envelope{
		Date: "Tue, 01 Sep 2026 10:00:00 +0000", Subject: "=?utf-8?q?a?=\tb", InReplyTo: "<1@x> <2@x>", MessageID: "<3@x>",
		From: ann, Sender: ann, ReplyTo: ann,
		To: []Mailbox{{"", "bob", "example.org"}, {"", "carl", "example.org"}},
		Cc: []Mailbox{{"", "friends", ""}, {"", "dan", "example.org"}, {"E. F.", "e f", "[192.0.2.1]"}, {}, {"", "eve", "example.org"}},
	}
	a := scanWhole(msg)
	if d := cmp.Diff(want, a.Envelope); d != "" {
		t.Errorf("envelope (-want +got):\n%s", d)
	}
	checkInvariants(t, msg, a)
}

func TestPartFields(t *testing.T) {
	msg := crlf(`Content-Type: text/plain (comment);
	charset="utf-8" (another); name*0*=us-ascii'en'a%20; NAME*1="b;c\"d"; broken; =x; file=my file.pdf
Content-Type: text/html
Content-Transfer-Encoding: Quoted-Printable
Content-ID: <id@x>
Content-Description: some
 text
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Content-Disposition: attachment; filename="a b.txt"; size=12
Content-Language: en, de-CH (Swiss), fr
Content-Location: http://example.org/
	a

x
`)
	want := Part{
		Type: "TEXT", Subtype: "PLAIN", Encoding: "QUOTED-PRINTABLE",
		Params: []Param{{"charset", "utf-8"}, {"name*0*", "us-ascii'en'a%20"}, {"name*1", `b;c"d`}, {"file", "my"}},
		ID:     "<id@x>", Description: "some text", MD5: "Q2hlY2sgSW50ZWdyaXR5IQ==",
		Disposition: "ATTACHMENT", DispositionArgs: []Param{{"filename", "a b.txt"}, {"size", "12"}},
		Language: []string{"en", "de-CH", "fr"}, Location: "http://example.org/a",
		BodyOffset: int64(len(msg) - 3), BodySize: 3, Lines: 1,
	}
	a := scanWhole(msg)
	if d := cmp.Diff(want, a.Root); d != "" {
		t.Errorf("part (-want +got):\n%s", d)
	}
	checkInvariants(t, msg, a)
}

func TestShift(t *testing.T) {
	trace := "Received: from a\r\n\tby b; date\r\n"
	msg := crlf("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n\nSubject: x\n\nbody\n--a\n\ntwo\n--a--\n")
	if d := cmp.Diff(scanWhole(trace+msg), scanWhole(msg).Shift(int64(len(trace)))); d != "" {
		t.Errorf("shifted (-want +got):\n%s", d)
	}
}

// pieces are what odd messages are made of.
var pieces = []string{
	"\r\n", "\r\n", "\r\n", "\n", "--a", "--b", "--a--", "--b--", "--", "-", "text", " ", "\t", "\r", "--ab", "--aa--",
	"Content-Type: multipart/mixed; boundary=a\r\n", "Content-Type: multipart/digest; boundary=\"b\"\r\n", "Content-Type: multipart/mixed; boundary=ab\r\n",
	"Content-Type: message/rfc822\r\n", "Content-Type: text/html\r\n", "Content-Type: multipart/mixed\r\n", "Subject: x\r\n", "To: a, b:c@d;\r\n",
	"\r\n\r\n--a\r\n", "\r\n\r\n--b\r\n\r\n", "\r\n--a--\r\n",
}

func oddMessage(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(30) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

func TestScannerOddMessages(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		msg := oddMessage(r)
		checkInvariants(t, msg, scanWhole(msg))
	}
}

func FuzzScanner(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(oddMessage(r))
	}
	f.Fuzz(func(t *testing.T, msg string) {
		if len(msg) < 1<<14 {
			checkInvariants(t, msg, scanWhole(msg))
		}
	})
}

func plainMessage() string {
	return crlf(`Return-Path: <ann@example.org>
Received: from mx.example.net (mx.example.net [192.0.2.1])
	by mail.example.org with ESMTPS id abc for <bob@example.org>
	tls TLS_AES_128_GCM_SHA256; Tue, 01 Sep 2026 10:00:00 +0000
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.net; s=s1;
	h=From:To:Subject:Date:Message-ID; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;
	b=` + strings.Repeat("Abcd1234", 40) + `
From: "Ann Example" <ann@example.net>
To: Bob <bob@example.org>, carl@example.org
Subject: Minutes of the meeting of last week
Date: Tue, 01 Sep 2026 10:00:00 +0000
Message-ID: <20260901100000.12345@example.net>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

` + strings.Repeat("The quick brown fox jumps over the lazy dog, and then once more.\n", 48))
}

func BenchmarkScannerSmall(b *testing.B) {
	msg := []byte(plainMessage())
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		s := NewScanner(Limits{})
		s.Write(msg)
		s.Finish()
	}
}

func BenchmarkScannerBase64(b *testing.B) {
	body := strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 60_000)
	msg := []byte("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body + "--a--\r\n")
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		s := NewScanner(Limits{})
		for rest := msg; len(rest) > 0; {
			n := min(32<<10, len(rest))
			s.Write(rest[:n])
			rest = rest[n:]
		}
		s.Finish()
	}
}

func BenchmarkMarshal(b *testing.B) {
	a := scanWhole(plainMessage())
	buf := a.Marshal(nil)
	b.ReportMetric(float64(len(buf)), "octets")
	b.ReportAllocs()
	for b.Loop() {
		buf = a.Marshal(buf[:0])
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	data := scanWhole(plainMessage()).Marshal(nil)
	var a Attributes
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Unmarshal(data); err != nil {
			b.Fatal(err)
		}
	}
}
