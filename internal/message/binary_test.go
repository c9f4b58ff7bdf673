package message

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// TestEncodeBinary: binary parts come out of base64 as they went in, all else is unchanged.
func TestEncodeBinary(t *testing.T) {
	octets := strings.Repeat("\x00\n\r\xff", 5000)
	for name, c := range map[string]struct {
		in    string
		path  []int
		parts []string // what stays, in order
	}{
		"whole message": {"A: b\r\nContent-Transfer-Encoding: Binary\r\n\r\n" + octets, []int{1}, []string{"A: b\r\nContent-Transfer-Encoding: base64\r\n\r\n"}},
		"one of two parts": {
			"Content-Type: multipart/mixed; boundary=x\r\n\r\nlead\r\n--x\r\nContent-Transfer-Encoding:\r\n binary\r\nContent-Type: a/b\r\n\r\n" +
				octets + "\r\n--x\r\n\r\ntext\r\n--x--\r\nend",
			[]int{1},
			[]string{"boundary=x\r\n\r\nlead\r\n--x\r\nContent-Transfer-Encoding: base64\r\nContent-Type: a/b\r\n\r\n", "\r\n--x\r\n\r\ntext\r\n--x--\r\nend"},
		},
		"message within": {
			"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\nSubject: y\r\nContent-Transfer-Encoding: binary\r\n\r\n" + octets,
			[]int{1, 1},
			[]string{"Content-Transfer-Encoding: binary\r\n\r\nSubject: y\r\nContent-Transfer-Encoding: base64\r\n\r\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := EncodeBinary(&out, strings.NewReader(c.in), scanText(c.in)); err != nil {
				t.Fatal(err)
			}
			rest := out.String()
			for _, p := range c.parts {
				_, after, ok := strings.Cut(rest, p)
				if !ok {
					t.Fatalf("%q is not in %.300q", p, rest)
				}
				rest = after
			}
			part, ok := scanText(out.String()).Part(c.path)
			if !ok || part.Encoding != "BASE64" {
				t.Fatalf("got part %+v", part)
			}
			r, err := Decode(part.Encoding, io.NewSectionReader(bytes.NewReader(out.Bytes()), part.BodyOffset, part.BodySize))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != octets {
				t.Errorf("got %d octets, %v; want %d", len(got), err, len(octets))
			}
		})
	}
}

func scanText(s string) *Attributes {
	scanner := NewScanner(Limits{})
	io.WriteString(scanner, s)
	return scanner.Finish()
}
