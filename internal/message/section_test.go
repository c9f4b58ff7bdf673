package message

import "testing"

// nested is the example of RFC 9051, section 6.4.5: parts 1, 2, 3 (a message) and 4 (multipart).
var nested = crlf(`Subject: outer
Content-Type: multipart/mixed; boundary=a

--a

one
--a
Content-Type: application/octet-stream

two
--a
Content-Type: message/rfc822
X-MIME: 3

Subject: inner
Content-Type: multipart/mixed; boundary=b

--b

three.one
--b
Content-Type: message/rfc822

Subject: innermost

three.two
--b--
--a
Content-Type: multipart/alternative; boundary=c
X-MIME: 4

--c

four.one
--c
Content-Type: text/html

four.two
--c--
--a--
`)

func TestRange(t *testing.T) {
	plain := "Subject: x\r\n\r\nhello\r\n"
	attached := "Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nhello\r\n"
	const none = "NONE"
	for _, c := range []struct {
		msg  string
		path []int
		kind SectionKind
		want string
	}{
		{plain, nil, Whole, plain},
		{plain, nil, HeaderSection, "Subject: x\r\n\r\n"},
		{plain, nil, HeaderFields, "Subject: x\r\n\r\n"},
		{plain, nil, TextSection, "hello\r\n"},
		{plain, nil, MIMESection, none},
		{plain, []int{1}, Whole, "hello\r\n"},
		{plain, []int{1}, MIMESection, "Subject: x\r\n\r\n"},
		{plain, []int{1}, HeaderSection, none},
		{plain, []int{1}, TextSection, none},
		{plain, []int{1, 1}, Whole, none},
		{plain, []int{0}, Whole, none},
		{plain, []int{2}, Whole, none},

		{attached, []int{1}, Whole, "Subject: y\r\n\r\nhello\r\n"},
		{attached, []int{1}, HeaderSection, "Subject: y\r\n\r\n"},
		{attached, []int{1}, TextSection, "hello\r\n"},
		{attached, []int{1, 1}, Whole, "hello\r\n"},
		{attached, []int{1, 1, 1}, Whole, none},

		{nested, []int{1}, Whole, "one"},
		{nested, []int{1}, MIMESection, "\r\n"},
		{nested, []int{2}, MIMESection, "Content-Type: application/octet-stream\r\n\r\n"},
		{nested, []int{2}, HeaderFieldsNot, none},
		{nested, []int{3}, MIMESection, "Content-Type: message/rfc822\r\nX-MIME: 3\r\n\r\n"},
		{nested, []int{3}, HeaderSection, "Subject: inner\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"},
		{nested, []int{3, 1}, Whole, "three.one"},
		{nested, []int{3, 2}, HeaderSection, "Subject: innermost\r\n\r\n"},
		{nested, []int{3, 2}, TextSection, "three.two"},
		{nested, []int{3, 2, 1}, Whole, "three.two"},
		{nested, []int{3, 2, 1}, MIMESection, "Subject: innermost\r\n\r\n"},
		{nested, []int{3, 3}, Whole, none},
		{nested, []int{4}, MIMESection, "Content-Type: multipart/alternative; boundary=c\r\nX-MIME: 4\r\n\r\n"},
		{nested, []int{4}, TextSection, none},
		{nested, []int{4, 2}, Whole, "four.two"},
		{nested, []int{5}, Whole, none},
	} {
		a := scanWhole(c.msg)
		offset, size, ok := a.Range(Section{Path: c.path, Kind: c.kind})
		got := none
		if ok {
			got = c.msg[offset : offset+size]
		}
		if got != c.want {
			t.Errorf("message %.30q, path %v, kind %d: got %q, want %q", c.msg, c.path, c.kind, got, c.want)
		}
	}
}

func TestSelectFields(t *testing.T) {
	header := "Subject: x\r\nTo: a,\r\n\tb\r\nno field\r\nSUBJECT : y\r\nX-Last: z\r\n\r\n"
	for _, c := range []struct {
		header string
		fields []string
		not    bool
		want   string
	}{
		{header, []string{"subject"}, false, "Subject: x\r\nSUBJECT : y\r\n\r\n"},
		{header, []string{"TO", "x-last"}, false, "To: a,\r\n\tb\r\nX-Last: z\r\n\r\n"},
		{header, []string{"subject", "x-last"}, true, "To: a,\r\n\tb\r\nno field\r\n\r\n"},
		{header, []string{"none"}, false, "\r\n"},
		{header, nil, true, header},
		{"Subject: cut", []string{"subject"}, false, "Subject: cut\r\n\r\n"},
		{"", []string{"subject"}, true, "\r\n"},
	} {
		if got := string(SelectFields([]byte(c.header), c.fields, c.not)); got != c.want {
			t.Errorf("SelectFields(%q, %q, %t) = %q, want %q", c.header, c.fields, c.not, got, c.want)
		}
	}
}

func BenchmarkSelectFields(b *testing.B) {
	header := []byte(plainMessage())
	fields := []string{"From", "To", "Cc", "Subject", "Date", "Message-ID", "References", "In-Reply-To"}
	b.ReportAllocs()
	for b.Loop() {
		SelectFields(header, fields, false)
	}
}
