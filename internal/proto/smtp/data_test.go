package smtp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// pieces is a Source that shows its text in pieces of the given sizes, over and over.
type pieces struct {
	text  []byte
	sizes []byte
	shown int
	turn  int
}

func (p *pieces) Peek() ([]byte, error) {
	if len(p.text) == 0 {
		return nil, io.EOF
	}
	if p.shown == 0 {
		size := 1 << 16
		if len(p.sizes) > 0 {
			size = int(p.sizes[p.turn%len(p.sizes)]) + 1
			p.turn++
		}
		p.shown = min(size, len(p.text))
	}
	return p.text[:p.shown], nil
}

func (p *pieces) Discard(n int) { p.text, p.shown = p.text[n:], p.shown-n }

type content interface{ Next() ([]byte, error) }

func readAll(c content) (string, error) {
	var b strings.Builder
	for {
		p, err := c.Next()
		b.Write(p)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
	}
}

func TestData(t *testing.T) {
	for name, c := range map[string]struct{ in, want, rest string }{
		"empty":            {".\r\nQUIT", "", "QUIT"},
		"one line":         {"a\r\n.\r\n", "a\r\n", ""},
		"dots":             {"..\r\n...a\r\n.b\r\n.\r\nRSET", ".\r\n..a\r\nb\r\n", "RSET"},
		"end in a line":    {"a.\r\nb\r\n.\r\n", "a.\r\nb\r\n", ""},
		"not the end: LF":  {"a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", ""},
		"not the end: CR":  {"a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", ""},
		"CR before CRLF":   {"a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\r\nb\r\n", ""},
		"CR, then the end": {"a\r\r\n.\r\nNOOP", "a\r\r\n", "NOOP"},
	} {
		t.Run(name, func(t *testing.T) {
			for size := range byte(8) {
				src := &pieces{text: []byte(c.in), sizes: []byte{size}}
				got, err := readAll(NewDataReader(src, NewLineEnds(RefuseBare)))
				if err != nil || got != c.want || string(src.text) != c.rest {
					t.Errorf("pieces of %d: %q: got %q, rest %q, %v; want %q, rest %q", size+1, c.in, got, src.text, err, c.want, c.rest)
				}
			}
		})
	}
}

func TestDataTruncated(t *testing.T) {
	whole := "Subject: x\r\n\r\n..a\r\n.\r\n"
	for n := range len(whole) {
		if got, err := readAll(NewDataReader(&pieces{text: []byte(whole[:n])}, NewLineEnds(RefuseBare))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: got %q, %v; want io.ErrUnexpectedEOF", whole[:n], got, err)
		}
	}
}

// smuggled are the ways to write a lone dot that some server takes for the end of DATA.
var smuggled = []string{
	"\n.\n", "\n.\r", "\n.\r\n", "\r.\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r",
	"\r\n.\r\r\n", "\n.\r\r\n", "\r.\r\r\n", "\r\r\n\r.\r\n",
}

func TestBareLineEnds(t *testing.T) {
	for _, s := range smuggled {
		in := "Subject: x\r\n\r\na" + s + "MAIL FROM:<>\r\n"
		for size := range byte(8) {
			src := &pieces{text: []byte(in + ".\r\nQUIT"), sizes: []byte{size}}
			ends := NewLineEnds(RefuseBare)
			_, err := readAll(NewDataReader(src, ends))
			if ends.Finish(); err != nil || !ends.Bare() || string(src.text) != "QUIT" {
				t.Errorf("DATA %q in pieces of %d: bare %t, rest %q, %v", s, size+1, ends.Bare(), src.text, err)
			}
			src = &pieces{text: []byte(in + "QUIT"), sizes: []byte{size}}
			ends = NewLineEnds(RefuseBare)
			_, err = readAll(NewChunkReader(src, int64(len(in)), ends))
			if ends.Finish(); err != nil || !ends.Bare() || string(src.text) != "QUIT" {
				t.Errorf("BDAT %q in pieces of %d: bare %t, rest %q, %v", s, size+1, ends.Bare(), src.text, err)
			}
		}
	}
}

func TestHarmlessLineEnds(t *testing.T) {
	for _, in := range []string{"a\rb\r\n", "50%\r100%\r\n", "a\r\r\nb\r\n", ".\r\n", "a\r\n.\r\nb\r\n", "..\r..\r\n", "no end"} {
		ends := NewLineEnds(RefuseBare)
		got, err := readAll(NewChunkReader(&pieces{text: []byte(in)}, int64(len(in)), ends))
		if ends.Finish(); err != nil || got != in || ends.Bare() {
			t.Errorf("%q: got %q, bare %t, %v", in, got, ends.Bare(), err)
		}
	}
}

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\n": "a\r\nb\r\n", "a\r\nb": "a\r\nb", "a\r\r\nb": "a\r\nb", "a\rb\r": "a\r\nb\r\n", "\n.\n": "\r\n.\r\n",
		"\r.\r\n": "\r\n.\r\n", "a\r\rb": "a\r\n\r\nb", "": "", "\r\r": "\r\n\r\n",
	} {
		for size := range byte(4) {
			ends := NewLineEnds(NormaliseBare)
			got, err := readAll(NewChunkReader(&pieces{text: []byte(in), sizes: []byte{size}}, int64(len(in)), ends))
			if got += string(ends.Finish()); err != nil || got != want {
				t.Errorf("%q in pieces of %d: got %q, %v; want %q", in, size+1, got, err, want)
			}
		}
	}
}

// reference reads DATA the plain way: the whole text at once, line by line.
func reference(text string) (content, rest string, complete bool) {
	for {
		i := strings.Index(text, "\r\n")
		if i < 0 {
			return "", "", false
		}
		line := text[:i+2]
		text = text[i+2:]
		if line == ".\r\n" {
			return content, text, true
		}
		content += strings.TrimPrefix(line, ".")
	}
}

// hasBare finds what RefuseBare refuses the plain way, in text as it is on the wire and as content.
func hasBare(text string) bool {
	for i := range len(text) {
		if text[i] == '\n' && (i == 0 || text[i-1] != '\r') {
			return true
		}
	}
	const pair = "\x00"
	s := pair + strings.ReplaceAll(text, "\r\n", pair) + pair
	return strings.Contains(s, "\r.\r") || strings.Contains(s, "\r."+pair) || strings.Contains(s, pair+".\r")
}

func FuzzData(f *testing.F) {
	for _, s := range smuggled {
		f.Add([]byte("a"+s+"b\r\n.\r\nQUIT\r\n"), []byte{0, 2})
	}
	f.Add([]byte("..a\r\n.\r\n"), []byte{})
	f.Fuzz(func(t *testing.T, text, sizes []byte) {
		if bytes.IndexByte(text, 0) >= 0 {
			t.Skip("the reference marks CRLF with NUL")
		}
		want, rest, complete := reference(string(text))
		src := &pieces{text: bytes.Clone(text), sizes: sizes}
		ends := NewLineEnds(RefuseBare)
		got, err := readAll(NewDataReader(src, ends))
		ends.Finish()
		if !complete {
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%q: got %q, %v; want io.ErrUnexpectedEOF", text, got, err)
			}
			return
		}
		if err != nil || got != want || string(src.text) != rest {
			t.Fatalf("%q in pieces %v:\ngot  %q, rest %q, %v\nwant %q, rest %q", text, sizes, got, src.text, err, want, rest)
		}
		wire := strings.TrimSuffix(string(text), rest)
		wire = strings.TrimSuffix(wire, ".\r\n")
		if bare := hasBare(wire) || hasBare(want); bare != ends.Bare() {
			t.Fatalf("%q in pieces %v: Bare is %t, want %t", text, sizes, ends.Bare(), bare)
		}
	})
}

// FuzzNormalise: whatever comes, in whatever pieces, only CRLF goes out, and clean text is unchanged.
func FuzzNormalise(f *testing.F) {
	f.Add([]byte("a\rb\r\r\nc\n"), []byte{0})
	f.Fuzz(func(t *testing.T, text, sizes []byte) {
		once := func(in []byte, sizes []byte) string {
			ends := NewLineEnds(NormaliseBare)
			got, err := readAll(NewChunkReader(&pieces{text: bytes.Clone(in), sizes: sizes}, int64(len(in)), ends))
			if err != nil {
				t.Fatal(err)
			}
			return got + string(ends.Finish())
		}
		got := once(text, sizes)
		if got != once(text, nil) {
			t.Fatalf("%q: pieces %v change the result: %q", text, sizes, got)
		}
		if strings.ContainsAny(strings.ReplaceAll(got, "\r\n", ""), "\r\n") {
			t.Fatalf("%q became %q", text, got)
		}
		if again := once([]byte(got), nil); again != got {
			t.Fatalf("%q became %q, and that %q", text, got, again)
		}
	})
}

func BenchmarkData(b *testing.B) {
	text := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 1000)
	text += ".\r\n"
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	src := &pieces{}
	for b.Loop() {
		src.text, src.shown = []byte(nil), 0
		src.text = benchText(text)
		r := NewDataReader(src, NewLineEnds(RefuseBare))
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
	}
}

var benchBuf []byte

func benchText(s string) []byte {
	if len(benchBuf) != len(s) {
		benchBuf = []byte(s)
	}
	return benchBuf
}
