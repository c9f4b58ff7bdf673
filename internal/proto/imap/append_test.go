package imap

import (
	"slices"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/mailtest"
	"candor/internal/message"
)

// TestCodeForKinds asks for the response to every kind, so that a new kind cannot be forgotten.
func TestCodeForKinds(t *testing.T) {
	for k, row := range mailtest.ErrorTable(t) {
		r := CodeFor(mail.Errorf(k, "text"))
		if got, want := string(r.Append(nil, "a")), "a "+row.IMAP+" text\r\n"; got != want {
			t.Errorf("%s: got %q; docs/errors.md says %q", k, got, want)
		}
	}
	if r := CodeFor(mail.Errorf(mail.NotFound, "no \r\n%s", "x")); string(r.Append(nil, "a")) != "a NO [NONEXISTENT] no ??x\r\n" {
		t.Errorf("got %q", r.Append(nil, "a"))
	}
}

func TestAppendString(t *testing.T) {
	for _, c := range []struct {
		in   string
		utf8 bool
		want string
	}{
		{"", false, `""`},
		{"a b", false, `"a b"`},
		{`a"\`, false, `"a\"\\"`},
		{"a\r\nb", false, "{4}\r\na\r\nb"},
		{"ü", false, "{2}\r\nü"},
		{"ü", true, `"ü"`},
		{"\xff", true, "{1}\r\n\xff"},
		{"a\x00b", false, `"ab"`},
	} {
		if got := string(AppendString(nil, c.in, c.utf8)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"b\\\xff\r\n", true)
	f.Fuzz(func(t *testing.T, s string, utf8 bool) {
		l := lexer{b: AppendString(nil, s, utf8)}
		if got := l.str(); l.err != nil || len(l.b) > 0 || got != strings.ReplaceAll(s, "\x00", "") {
			t.Fatalf("%q is read as %q, %v", s, got, l.err)
		}
		l = lexer{b: AppendAstring(nil, s)}
		if got := l.astring(); l.err != nil || len(l.b) > 0 || got != strings.ReplaceAll(s, "\x00", "") {
			t.Fatalf("%q as astring is read as %q, %v", s, got, l.err)
		}
	})
}

func TestAppendNumbers(t *testing.T) {
	for _, c := range []struct {
		in   []uint32
		want string
	}{{nil, ""}, {[]uint32{1}, "1"}, {[]uint32{1, 2}, "1:2"}, {[]uint32{1, 3, 4, 5, 9}, "1,3:5,9"}} {
		if got := string(AppendNumbers(nil, c.in)); got != c.want {
			t.Errorf("%v: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestAppendDateTime(t *testing.T) {
	at := time.Date(1994, 2, 7, 21, 52, 25, 0, time.FixedZone("", -8*3600))
	wire := AppendDateTime(nil, at)
	if string(wire) != `" 7-Feb-1994 21:52:25 -0800"` {
		t.Errorf("got %s", wire)
	}
	l := lexer{b: wire}
	if got := l.dateTime(); l.err != nil || !got.Equal(at) {
		t.Errorf("read as %v, %v", got, l.err)
	}
}

func TestAppendStructure(t *testing.T) {
	text := message.Part{Type: "TEXT", Subtype: "PLAIN", Params: []message.Param{{Name: "charset", Value: "utf-8"}}, Encoding: "7BIT", BodySize: 12, Lines: 1}
	inner := message.Part{Type: "MESSAGE", Subtype: "RFC822", Encoding: "7BIT", BodySize: 99, Lines: 7, Envelope: &message.Envelope{Subject: "in"}, Children: []message.Part{text}}
	global := inner
	global.Subtype = "GLOBAL"
	deep := message.Part{Type: "MESSAGE", Subtype: "RFC822", Encoding: "7BIT", BodySize: 9, Lines: 1}
	file := message.Part{
		Type: "IMAGE", Subtype: "PNG", ID: "<i>", Description: "d", Encoding: "BASE64", BodySize: 8, MD5: "m", Disposition: "ATTACHMENT",
		DispositionArgs: []message.Param{{Name: "filename", Value: "ü.png"}}, Language: []string{"de", "en"}, Location: "loc",
	}
	const textWire = `("TEXT" "PLAIN" ("charset" "utf-8") NIL NIL "7BIT" 12 1 NIL NIL NIL NIL)`
	const envelope = `(NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL)`
	for name, c := range map[string]struct {
		part  message.Part
		style Style
		want  string
	}{
		"text":            {text, Rev1, textWire},
		"message":         {inner, Rev1, `("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 99 ` + envelope + " " + textWire + ` 7 NIL NIL NIL NIL)`},
		"global in rev1":  {global, Rev1, `("MESSAGE" "GLOBAL" NIL NIL NIL "7BIT" 99 NIL NIL NIL NIL)`},
		"global in rev2":  {global, Rev2, `("MESSAGE" "GLOBAL" NIL NIL NIL "7BIT" 99 ` + envelope + " " + textWire + ` 7 NIL NIL NIL NIL)`},
		"too deep":        {deep, Rev1, `("APPLICATION" "OCTET-STREAM" NIL NIL NIL "7BIT" 9 NIL NIL NIL NIL)`},
		"multipart":       {message.Part{Type: "MULTIPART", Subtype: "MIXED", Children: []message.Part{text, text}}, Rev1, "(" + textWire + textWire + ` "MIXED" NIL NIL NIL NIL)`},
		"empty multipart": {message.Part{Type: "MULTIPART", Subtype: "MIXED"}, Rev1, "(" + emptyPart + ` "MIXED" NIL NIL NIL NIL)`},
		"file in rev1":    {file, Rev1, `("IMAGE" "PNG" NIL "<i>" "d" "BASE64" 8 "m" ("ATTACHMENT" ("filename" {6}` + "\r\n" + `ü.png)) ("de" "en") "loc")`},
		"file in rev2":    {file, Rev2, `("IMAGE" "PNG" NIL "<i>" "d" "BASE64" 8 "m" ("ATTACHMENT" ("filename" "ü.png")) ("de" "en") "loc")`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(AppendBodyStructure(nil, &c.part, c.style)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAppendEnvelope(t *testing.T) {
	e := message.Envelope{
		Date: "Mon, 7 Feb 1994 21:52:25 -0800", Subject: `a "b"`, MessageID: "<1@x>", Blank: message.BlankInReplyTo,
		From: []message.Mailbox{{Name: "Ann", Local: "ann", Host: "x"}},
		To:   []message.Mailbox{{Local: "group"}, {Local: "bob", Host: "y"}, {}},
	}
	const want = `("Mon, 7 Feb 1994 21:52:25 -0800" "a \"b\"" (("Ann" NIL "ann" "x")) NIL NIL ((NIL NIL "group" NIL)(NIL NIL "bob" "y")(NIL NIL NIL NIL)) NIL NIL "" "<1@x>")`
	if got := string(AppendEnvelope(nil, &e, Rev1)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := testing.AllocsPerRun(100, func() { AppendEnvelope(make([]byte, 0, 512), &e, Rev1) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzStructure renders the structure of any message; what comes out must be one balanced list.
func FuzzStructure(f *testing.F) {
	f.Add("Subject: a\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nTo: g: a@b;\r\n\r\n--x--\r\n")
	f.Add("Content-Type: text/plain; charset=\"\xff\\\"\"\r\nContent-Disposition: inline; filename=\"\r\n\"\r\n\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		scanner := message.NewScanner(message.Limits{Depth: 20, Parts: 100})
		scanner.Write([]byte(s))
		a := scanner.Finish()
		for _, style := range []Style{Rev1, Rev2} {
			for _, wire := range [][]byte{AppendEnvelope(nil, &a.Envelope, style), AppendBody(nil, &a.Root, style), AppendBodyStructure(nil, &a.Root, style)} {
				l := lexer{b: slices.Clone(wire)}
				l.anything()
				if l.end(); l.err != nil {
					t.Fatalf("%q: %v", wire, l.err)
				}
			}
		}
	})
}

// anything reads a list of lists, strings, numbers and NIL.
func (l *lexer) anything() {
	switch c := l.peek(); {
	case c == '(':
		l.expect('(')
		for l.err == nil && !l.accept(')') {
			l.accept(' ')
			l.anything()
		}
	case c == '"' || c == '{':
		l.str()
	case digit(c):
		l.number64()
	default:
		if !l.word("NIL") {
			l.fail("nothing known at %.20q", l.b)
		}
	}
}

func BenchmarkAppendEnvelope(b *testing.B) {
	e := message.Envelope{
		Date: "Mon, 7 Feb 1994 21:52:25 -0800", Subject: "a subject of usual length", MessageID: "<1234567890@mail.example.org>",
		From: []message.Mailbox{{Name: "Ann Example", Local: "ann", Host: "example.org"}}, To: []message.Mailbox{{Local: "bob", Host: "example.org"}},
	}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendEnvelope(buf[:0], &e, Rev1)
	}
}
