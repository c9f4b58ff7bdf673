package message

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

// builder writes random messages whose structure it knows.
type builder struct {
	r     *rand.Rand
	text  strings.Builder
	count int
}

// entity writes a header and a body and returns what the outline of it must say.
func (b *builder) entity(depth int, digest bool, indent string) (outline string) {
	kind := b.r.IntN(6)
	if depth == 0 {
		kind = 0
	}
	switch kind {
	case 4:
		return b.message(depth, digest, indent)
	case 3, 5:
		return b.multipart(depth, indent)
	}
	header := ""
	name := "TEXT/PLAIN"
	if digest {
		name = "MESSAGE/RFC822"
	}
	if digest || b.r.IntN(2) == 0 {
		name = "APPLICATION/X"
		header = "Content-Type: application/x;\r\n name=\"--x\"\r\n"
	}
	body := b.words()
	b.text.WriteString(header + "\r\n" + body)
	return fmt.Sprintf("%s%s %q\n", indent, name, body)
}

func (b *builder) message(depth int, digest bool, indent string) string {
	header := "Content-Type: message/rfc822\r\n"
	if digest && b.r.IntN(2) == 0 {
		header = ""
	}
	b.text.WriteString(header + "\r\nSubject: inner\r\n")
	inner := b.entity(depth-1, false, indent+"  ")
	return indent + "MESSAGE/RFC822\n" + inner
}

func (b *builder) multipart(depth int, indent string) string {
	b.count++
	boundary := fmt.Sprintf("=_%d'()+,-./:=? x", b.count)
	subtype := "mixed"
	if b.r.IntN(4) == 0 {
		subtype = "digest"
	}
	fmt.Fprintf(&b.text, "Content-Type: multipart/%s; boundary=\"%s\"\r\n\r\n", subtype, boundary)
	if b.r.IntN(2) == 0 {
		b.text.WriteString("preamble" + b.words() + "\r\n")
	}
	outline := indent + "MULTIPART/" + strings.ToUpper(subtype) + "\n"
	for i := range 1 + b.r.IntN(3) {
		if i > 0 {
			b.text.WriteString("\r\n")
		}
		b.text.WriteString("--" + boundary + strings.Repeat(" ", b.r.IntN(2)) + "\r\n")
		outline += b.entity(depth-1, subtype == "digest", indent+"  ")
	}
	b.text.WriteString("\r\n--" + boundary + "--")
	if b.r.IntN(2) == 0 {
		b.text.WriteString("\r\nepilogue\r\n--" + boundary + " ")
	}
	return outline
}

// words returns a body that may look like the ends of other things.
func (b *builder) words() string {
	all := []string{"word", "\r\n", "\r\n", "-", "\r\n--", "\r\n--=_", "\r\n-", " ", "--"}
	var w strings.Builder
	for range b.r.IntN(8) {
		w.WriteString(all[b.r.IntN(len(all))])
	}
	return w.String()
}

// tree draws a structure as entity does.
func tree(msg string, p *Part, indent string) string {
	name := indent + p.Type + "/" + p.Subtype
	if len(p.Children) == 0 {
		return fmt.Sprintf("%s %q\n", name, msg[p.BodyOffset:p.BodyOffset+p.BodySize])
	}
	name += "\n"
	for i := range p.Children {
		name += tree(msg, &p.Children[i], indent+"  ")
	}
	return name
}

// TestScannerKnownStructure: the scanner finds what the builder built.
func TestScannerKnownStructure(t *testing.T) {
	for seed := range uint64(1000) {
		b := builder{r: rand.New(rand.NewPCG(seed, 9))}
		want := b.entity(4, false, "")
		msg := b.text.String()
		a := scanWhole(msg)
		if got := tree(msg, &a.Root, ""); got != want {
			t.Fatalf("message %q:\ngot\n%s\nwant\n%s", msg, got, want)
		}
		if seed%50 == 0 {
			checkInvariants(t, msg, a)
		}
	}
}

// errOdd says that the standard library has no opinion on a message.
var errOdd = errors.New("odd")

// standardTree computes the structure with the standard library's parsers.
func standardTree(raw []byte, header, indent string) (string, error) {
	r := bufio.NewReader(io.MultiReader(strings.NewReader(header), bytes.NewReader(raw)))
	h, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		return "", errOdd
	}
	body, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	return standardBody(h, body, "text/plain", indent)
}

func standardBody(h textproto.MIMEHeader, body []byte, kind, indent string) (string, error) {
	var params map[string]string
	if v := h.Get("Content-Type"); v != "" {
		var err error
		if kind, params, err = mime.ParseMediaType(v); err != nil {
			return "", errOdd
		}
	}
	name := indent + strings.ToUpper(kind)
	switch {
	case kind == "message/rfc822":
		inner, err := standardTree(body, "", indent+"  ")
		return name + "\n" + inner, err
	case !strings.HasPrefix(kind, "multipart/"):
		return fmt.Sprintf("%s %q\n", name, body), nil
	}
	name += "\n"
	n := 0
	for parts := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; n++ {
		p, err := parts.NextRawPart()
		if err == io.EOF && n > 0 {
			return name, nil
		}
		if err != nil {
			return "", errOdd
		}
		b, err := io.ReadAll(p)
		if err != nil {
			return "", errOdd
		}
		inner := "text/plain"
		if kind == "multipart/digest" {
			inner = "message/rfc822"
		}
		child, err := standardBody(p.Header, b, inner, indent+"  ")
		if err != nil {
			return "", err
		}
		name += child
	}
}

// likeDelimiter reports whether a line begins with a delimiter and goes on with other text. To RFC
// 2046 it is a delimiter all the same, to the standard library it is text.
func likeDelimiter(msg string) bool {
	for line := range strings.Lines(msg) {
		rest, ok := strings.CutPrefix(line, "--a")
		if !ok {
			rest, ok = strings.CutPrefix(line, "--b")
		}
		if ok && strings.TrimSpace(strings.TrimPrefix(rest, "--")) != "" {
			return true
		}
	}
	return false
}

// TestScannerLikeStandard: where the standard library takes an odd message, the scanner sees the
// same in it.
func TestScannerLikeStandard(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 11))
	odd := slices.DeleteFunc(slices.Clone(pieces), func(s string) bool { return s == "\n" || s == "\r" })
	odd = append(odd, "--a\r\n", "--b\r\n", "--a \r\n", "\r\n--a\r\n", "\r\n--b\r\n", "\r\n--b--\r\n")
	compared := 0
	for range 30_000 {
		var b strings.Builder
		b.WriteString("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n")
		for range r.IntN(12) {
			b.WriteString(odd[r.IntN(len(odd))])
		}
		b.WriteString("\r\n--a--\r\n")
		msg := b.String()
		if likeDelimiter(msg) {
			continue
		}
		want, err := standardTree([]byte(msg), "", "")
		if err != nil {
			continue
		}
		compared++
		if got := tree(msg, &scanWhole(msg).Root, ""); got != want {
			t.Fatalf("message %q:\ngot\n%s\nwant\n%s", msg, got, want)
		}
	}
	if compared < 1000 {
		t.Errorf("only %d messages were compared", compared)
	}
	t.Logf("%d messages compared", compared)
}
