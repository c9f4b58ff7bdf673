package message

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"candor/internal/mail"
)

func TestReadHeader(t *testing.T) {
	long := "Subject: x\r\nX-Long: " + strings.Repeat("long ", 3000) + "\r\n\r\n"
	for _, c := range []struct{ name, header, body string }{
		{"ordinary", "Subject: x\r\nTo: y\r\n\r\n", "body\r\n\r\nmore\r\n"},
		{"no body", "Subject: x\r\n\r\n", ""},
		{"no blank line", "Subject: x\r\n", ""},
		{"no header", "\r\n", "body\r\n"},
		{"bare line feeds", "Subject: x\n\n", "body\n\n"},
		{"empty", "", ""},
		{"long", long, strings.Repeat("body\r\n", 3000)},
		{"carriage return in a line", "Subject: x\r\n\r\r\nTo: y\r\n\r\n", "body"},
	} {
		for name, r := range map[string]io.Reader{
			"whole":          strings.NewReader(c.header + c.body),
			"octet by octet": iotest.OneByteReader(strings.NewReader(c.header + c.body)),
			"with EOF":       iotest.DataErrReader(strings.NewReader(c.header + c.body)),
		} {
			h, rest, err := ReadHeader(r, len(c.header))
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, name, err)
				continue
			}
			body, err := io.ReadAll(rest)
			if string(h) != c.header || string(body) != c.body || err != nil {
				t.Errorf("%s, %s: got header %.80q, body %.80q, %v", c.name, name, h, body, err)
			}
		}
	}
}

func TestReadHeaderErrors(t *testing.T) {
	for _, msg := range []string{"Subject: x\r\n\r\nbody", "Subject: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"} {
		if _, _, err := ReadHeader(strings.NewReader(msg), 13); !mail.IsKind(err, mail.TooBig) {
			t.Errorf("%q with a limit of 13: got %v", msg, err)
		}
	}
	broken := errors.New("broken")
	if _, _, err := ReadHeader(io.MultiReader(strings.NewReader("Subject: x\r\n"), iotest.ErrReader(broken)), 100); !errors.Is(err, broken) {
		t.Errorf("broken reader: got %v", err)
	}
}

func TestRemoveField(t *testing.T) {
	for _, c := range []struct {
		in, want string
		n        int
	}{
		{"A: 1\r\ncandor-TRANSPORT: v=1;\r\n\tstate=local\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n", 1},
		{"Candor-Transport : v=1\r\nCandor-Transport:\r\n\r\n", "\r\n", 2},
		{"A: 1\r\nCandor-Transport: v=1", "A: 1\r\n", 1},
		{"A: 1\nX Candor-Transport: v=1\nCandor-Transports: 2\n\n", "A: 1\nX Candor-Transport: v=1\nCandor-Transports: 2\n\n", 0},
		{"A: 1\r\n\r\nCandor-Transport: in the body\r\n", "A: 1\r\n\r\nCandor-Transport: in the body\r\n", 0},
		{" state=local\r\n\tmore\r\nA: 1\r\n\r\n", "A: 1\r\n\r\n", 0},
		{"", "", 0},
	} {
		got, n := Header(c.in).RemoveField(CandorTransportName)
		if string(got) != c.want || n != c.n {
			t.Errorf("RemoveField from %q: got %q, %d; want %q, %d", c.in, got, n, c.want, c.n)
		}
	}
}

// TestRemoveCandorTransport: what a careless program would take for the field goes as well, and nothing else.
func TestRemoveCandorTransport(t *testing.T) {
	for _, c := range []struct {
		in, want string
		n        int
	}{
		{"candor-TRANSPORT \t: v=1\r\n\tstate=local\r\nA: 1\r\n\r\n", "A: 1\r\n\r\n", 1},
		{"A: 1\r\nCandor-Transport\r\n : v=1\r\n\r\n", "A: 1\r\n\r\n", 1},
		{"A: 1\r\n\x00Candor\xe2\x80\x8b-Transport\xc2\xa0: v=1\r\n\r\n", "A: 1\r\n\r\n", 1},
		{"A: 1\rCandor-Transport: v=1\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n", 1},
		{"A: 1\rX\r\r\n y\rCandor-Transport: v=1\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n", 1},
		{"Subject: the\r\n Candor-Transport: field\rX: y\r\n\r\n", "Subject: the\r\n Candor-Transport: field\rX: y\r\n\r\n", 0},
		{"A: 1\r\n\r\nCandor-Transport: in the body\r\n", "A: 1\r\n\r\nCandor-Transport: in the body\r\n", 0},
	} {
		got, n := Header(c.in).RemoveCandorTransport()
		if string(got) != c.want || n != c.n {
			t.Errorf("from %q: got %q, %d; want %q, %d", c.in, got, n, c.want, c.n)
		}
	}
}

func TestHeaderGet(t *testing.T) {
	h := Header("Received: a\r\n\tby b\r\nno field\r\nRECEIVED\t: c\r\n folded: not a field\r\nSubject:\r\n =?utf-8?q?caf=C3=A9?=\r\n =?utf-8?q?_noir?=\x00\r\n\r\nReceived: body\r\n")
	if n := h.Count("received"); n != 2 {
		t.Errorf("Count = %d, want 2", n)
	}
	if v, ok := h.Get("Received"); !ok || v != "a\tby b" {
		t.Errorf("Get(Received) = %q, %t", v, ok)
	}
	if v, ok := h.Get("folded"); ok {
		t.Errorf("Get(folded) = %q", v)
	}
	for f := range h.Fields() {
		if f.Is("subject") && f.Decoded() != "café noir" {
			t.Errorf("Decoded = %q", f.Decoded())
		}
	}
}

// FuzzHeader: the fields are the header without its blank line, and a field that is removed is gone.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("A: 1\r\nB: 2\r\n c\r\n\r\nbody"), "b")
	f.Add([]byte("A : 1\n\tx\r\r\n:\n"), "a")
	f.Fuzz(func(t *testing.T, raw []byte, name string) {
		h, rest, err := ReadHeader(bytes.NewReader(raw), len(raw))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(rest)
		if !bytes.Equal(append(bytes.Clone(h), body...), raw) {
			t.Fatalf("%q: header %q and body %q", raw, h, body)
		}
		var all []byte
		for field := range h.Fields() {
			all = append(all, field.Raw...)
			if v := field.Value(); strings.ContainsAny(v, "\r\n\x00") {
				t.Fatalf("%q: value %q", raw, v)
			}
		}
		if blank := h[len(all):]; !bytes.HasPrefix(h, all) || len(blank) > 0 && string(blank) != "\n" && string(blank) != "\r\n" {
			t.Fatalf("%q: fields %q and %q", raw, all, blank)
		}
		removed, n := h.RemoveField(name)
		if n != h.Count(name) || removed.Count(name) != 0 || len(removed) > 0 && bytes.IndexByte([]byte(" \t"), removed[0]) >= 0 {
			t.Fatalf("%q: removed %d of %q, left %q", raw, n, name, removed)
		}
	})
}
