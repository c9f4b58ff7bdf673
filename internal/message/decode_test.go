package message

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"

	"candor/internal/mail"
)

func decoded(t *testing.T, encoding string, r io.Reader) string {
	t.Helper()
	d, err := Decode(encoding, r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDecode(t *testing.T) {
	for _, c := range []struct{ encoding, in, want string }{
		{"7BIT", "a=3D\r\n", "a=3D\r\n"},
		{"8bit", "\xff\r\n", "\xff\r\n"},
		{"Binary", "\x00", "\x00"},
		{"BASE64", "aGVsbG8=\r\n", "hello"},
		{"base64", "a G\r\nV-s\tb*G8", "hello"},
		{"BASE64", "aGk=aGk=", "hihi"},
		{"BASE64", "aGVsbG8gd29ybGQ=", "hello world"},
		{"BASE64", "a", ""},
		{"BASE64", "aA", "h"},
		{"BASE64", "====", ""},
		{"QUOTED-PRINTABLE", "caf=C3=a9 =3D=\r\n.\r\n", "café =.\r\n"},
		{"QUOTED-PRINTABLE", "soft = \t\r\nbreak=\nhere=", "soft breakhere="},
		{"QUOTED-PRINTABLE", "space \t \r\nnext  ", "space\r\nnext  "},
		{"QUOTED-PRINTABLE", "in the \r middle", "in the \r middle"},
		{"QUOTED-PRINTABLE", "=ZZ =4x =4", "=ZZ =4x =4"},
		{"QUOTED-PRINTABLE", "== =\r x =4=41", "== =\r x =4A"},
		{"QUOTED-PRINTABLE", "bare \nfeed", "bare\nfeed"},
	} {
		if got := decoded(t, c.encoding, strings.NewReader(c.in)); got != c.want {
			t.Errorf("Decode(%s, %q) = %q, want %q", c.encoding, c.in, got, c.want)
		}
		if got := decoded(t, c.encoding, iotest.OneByteReader(strings.NewReader(c.in))); got != c.want {
			t.Errorf("Decode(%s, %q) octet by octet = %q, want %q", c.encoding, c.in, got, c.want)
		}
	}
	if _, err := Decode("X-UUENCODE", nil); !mail.IsKind(err, mail.Unsupported) {
		t.Errorf("Decode(X-UUENCODE): %v", err)
	}
}

// FuzzDecode: what the standard library encodes is decoded again; nothing depends on the reads, and
// nothing becomes longer than it was.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("hello = \r\n world\t\r\n"))
	f.Add([]byte("aGk= =\r\n=4"))
	f.Add([]byte(strings.Repeat(" ", maxHeld+10) + "\r\n=" + strings.Repeat("\t", maxHeld+10)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := decoded(t, "BASE64", strings.NewReader(base64.StdEncoding.EncodeToString(b))); got != string(b) {
			t.Fatalf("base64 of %q: got %q", b, got)
		}
		var q bytes.Buffer
		w := quotedprintable.NewWriter(&q)
		w.Binary = true
		w.Write(b)
		w.Close()
		if got := decoded(t, "QUOTED-PRINTABLE", &q); got != string(b) {
			t.Fatalf("quoted-printable of %q: got %q", b, got)
		}
		for _, encoding := range []string{"BASE64", "QUOTED-PRINTABLE"} {
			whole := decoded(t, encoding, bytes.NewReader(b))
			if parts := decoded(t, encoding, iotest.OneByteReader(bytes.NewReader(b))); parts != whole || len(whole) > len(b) {
				t.Fatalf("%s of %q: whole %q, octet by octet %q", encoding, b, whole, parts)
			}
		}
	})
}

func TestDecodeText(t *testing.T) {
	for in, want := range map[string]string{
		"":                                     "",
		"plain":                                "plain",
		"raw \xff":                             "raw \uFFFD",
		"=?utf-8?Q?caf=C3=A9?=":                "café",
		"=?ISO-8859-1?q?caf=E9_=3D?= x":        "café = x",
		"=?utf-8?B?Y2Fmw6k=?=":                 "café",
		"=?utf-8?B?Y2Fmw6k?=":                  "café",
		"a =?utf-8?q?b?= =?utf-8?q?c?= d":      "a bc d",
		"=?utf-8?q?b?=\t =?iso-8859-1?q?=E9?=": "bé",
		"=?utf-8?B?w?= =?utf-8?B?6Q==?=":       "=?utf-8?B?w?= \uFFFD",
		"=?hz-gb-2312?Q?=7E=7B=56=50=4E=44=7E=7D?=": "中文",
		"=?utf-8?Q?=C3?= =?UTF-8?Q?=A9?=":           "é",
		"=?utf-8*en?Q?x?=":                          "x",
		"=?utf-8?X?x?=":                             "=?utf-8?X?x?=",
		"=?utf-8?Q?x":                               "=?utf-8?Q?x",
		"=?=?utf-8?Q?x?=":                           "=?x",
		"=?utf-8?Q?a b?=":                           "a b",
		"=?windows-1251?B?z/Do4uXy?=":               "Привет",
		"=?koi8-r?B?8NLJ18XU?=":                     "Привет",
		"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=":        "日本",
		"=?gb2312?B?1tDOxA==?=":                     "中文",
		"=?x-unknown?Q?abc=80?=":                    "abc€",
		"=?us-ascii?Q?caf=C3=A9?=":                  "café",
	} {
		if got := DecodeText(in); got != want {
			t.Errorf("DecodeText(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzDecodeText(f *testing.F) {
	f.Add("a =?utf-8?q?b?= =?utf-8?B?Y2Fmw6k?= =?x?q??=")
	f.Fuzz(func(t *testing.T, s string) {
		got := DecodeText(s)
		if strings.ToValidUTF8(got, "") != got {
			t.Fatalf("DecodeText(%q) = %q", s, got)
		}
		if !strings.Contains(s, "=?") && got != strings.ToValidUTF8(s, "\uFFFD") {
			t.Fatalf("DecodeText(%q) = %q", s, got)
		}
	})
}

func TestTextReader(t *testing.T) {
	for _, c := range []struct{ charset, encoding, in, want string }{
		{"utf-8", "8BIT", "café", "café"},
		{"", "7BIT", "plain", "plain"},
		{"us-ascii", "8BIT", "café", "café"},
		{"ISO-8859-1", "QUOTED-PRINTABLE", "caf=E9", "café"},
		{"utf-16", "BASE64", "/v8A6Q==", "é"},
		{"iso-2022-jp", "7BIT", "\x1b$BF|K\\\x1b(B", "日本"},
		{"no-such", "8BIT", "caf\xe9", "café"},
	} {
		p := Part{Type: "TEXT", Encoding: c.encoding}
		if c.charset != "" {
			p.Params = []Param{{"charset", c.charset}}
		}
		r, err := TextReader(&p, strings.NewReader(c.in))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); string(got) != c.want || err != nil {
			t.Errorf("%s, %s, %q: got %q, %v; want %q", c.charset, c.encoding, c.in, got, err, c.want)
		}
	}
	if _, err := TextReader(&Part{Encoding: "X"}, nil); !mail.IsKind(err, mail.Unsupported) {
		t.Errorf("encoding X: %v", err)
	}
}

func BenchmarkDecode(b *testing.B) {
	for encoding, line := range map[string]string{
		"BASE64":           strings.Repeat("QUJD", 19) + "\r\n",
		"QUOTED-PRINTABLE": "Ordinary text with a caf=C3=A9 in it, and then some more words at the end.\r\n",
	} {
		b.Run(encoding, func(b *testing.B) {
			in := []byte(strings.Repeat(line, 10_000))
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				r, _ := Decode(encoding, bytes.NewReader(in))
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
