package sasl

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"candor/internal/mail"
)

func TestDecodeInitial(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty response", "=", ""},
		{"plain of the specification", "AGFsaWNlQGV4YW1wbGUudGVzdABjb3JyZWN0LWhvcnNl", "\x00alice@example.test\x00correct-horse"},
		{"padding", "YQ==", "a"},
	} {
		got, err := DecodeInitial([]byte(c.in))
		if err != nil || got == nil || string(got) != c.want {
			t.Errorf("%s: DecodeInitial(%q) = %q, %v; want %q", c.name, c.in, got, err, c.want)
		}
		if back := EncodeInitial(got); back != c.in {
			t.Errorf("%s: EncodeInitial(%q) = %q, want %q", c.name, got, back, c.in)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"missing padding":    "YQ",
		"padding bits set":   "YR==",
		"line end within":    "YWFh\r\nYWFh",
		"line feed at end":   "YWFh\n",
		"space":              "YW Fh",
		"url alphabet":       "-_-_",
		"padding in front":   "=YQ=",
		"equals as response": "=",
		"data after padding": "YQ==YQ==",
		"too long":           strings.Repeat("YWFh", maxBearer/3+1),
	} {
		if got, err := DecodeResponse([]byte(in)); !mail.IsKind(err, mail.Syntax) {
			t.Errorf("%s: DecodeResponse(%.40q) = %q, %v; want a syntax error", name, in, got, err)
		}
	}
	if _, err := DecodeInitial(nil); !mail.IsKind(err, mail.Syntax) {
		t.Errorf("DecodeInitial of nothing: %v, want a syntax error", err)
	}
}

func TestDecodeResponse(t *testing.T) {
	if got, err := DecodeResponse(nil); err != nil || got == nil || len(got) != 0 {
		t.Errorf("an empty line = %#v, %v; want an empty response that is not nil", got, err)
	}
	if _, err := DecodeResponse([]byte("*")); !errors.Is(err, ErrCancelled) || !mail.IsKind(err, mail.Syntax) {
		t.Errorf("\"*\" = %v, want ErrCancelled", err)
	}
}

func FuzzDecodeResponse(f *testing.F) {
	for _, s := range []string{"", "*", "=", "YQ==", "AGEAYg==", "YR==", "YQ\n=="} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got, err := DecodeResponse(line)
		if err != nil {
			return
		}
		if got == nil || Encode(got) != string(line) {
			t.Errorf("DecodeResponse(%q) = %q, which is written %q", line, got, Encode(got))
		}
		if again, err := DecodeInitial([]byte(EncodeInitial(got))); err != nil || !bytes.Equal(again, got) {
			t.Errorf("initial response %q came back as %q, %v", got, again, err)
		}
	})
}
