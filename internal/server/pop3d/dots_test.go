package pop3d

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// stuffed is what the stuffer must be equal to.
func stuffed(text string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(text, "\n") {
		if strings.HasPrefix(line, ".") {
			b.WriteByte('.')
		}
		b.WriteString(line)
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		b.WriteString("\r\n")
	}
	return b.String()
}

// slowTop returns the first n lines of the body with all that is above.
func slowTop(text string, n int) string {
	var b strings.Builder
	inBody := false
	for line := range strings.SplitAfterSeq(text, "\n") {
		switch {
		case inBody && n == 0:
			return b.String()
		case inBody:
			n--
		case line == "\r\n" || line == "\n":
			inBody = true
		}
		b.WriteString(line)
	}
	return b.String()
}

func FuzzDots(f *testing.F) {
	f.Add("Subject: x\r\n\r\n.a\r\n..\r\n.\r\n", 3, 1)
	f.Add("\r\n.\r\n", 1, 0)
	f.Add(".", 1, 0)
	f.Add("a: b\r\n\r\n\r\n.\r\nlast", 7, 2)
	f.Fuzz(func(t *testing.T, text string, window, lines int) {
		window, lines = 1+abs(window)%20, abs(lines)%20
		var whole bytes.Buffer
		w := &stuffer{to: &whole, lineStart: true}
		if n, err := inWindows(w, text, window); n != len(text) || err != nil {
			t.Fatalf("RETR of %q: %d, %v", text, n, err)
		}
		w.finish()
		if want := stuffed(text); whole.String() != want {
			t.Errorf("RETR of %q in windows of %d:\ngot  %q\nwant %q", text, window, whole.String(), want)
		}
		var top bytes.Buffer
		w = &stuffer{to: &top, lineStart: true}
		if _, err := inWindows(&topWriter{to: w, left: lines, lineStart: true}, text, window); err != nil && !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
		w.finish()
		if want := stuffed(slowTop(text, lines)); top.String() != want {
			t.Errorf("TOP %d of %q in windows of %d:\ngot  %q\nwant %q", lines, text, window, top.String(), want)
		}
	})
}

func inWindows(w io.Writer, text string, window int) (int, error) {
	written := 0
	for len(text) > 0 {
		n, err := io.WriteString(w, text[:min(window, len(text))])
		written += n
		if err != nil {
			return written, err
		}
		text = text[n:]
	}
	return written, nil
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}
