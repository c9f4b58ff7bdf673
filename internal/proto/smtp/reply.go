// Package smtp is the grammar of SMTP, both ends of the wire: commands, parameters, replies, DATA and
// BDAT framing, and a client over a given connection (RFC 5321). It holds no policy and dials nothing.
package smtp

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"candor/internal/mail"
)

// Reply is a reply with its lines, which hold neither code nor status. A zero Status is left out.
type Reply struct {
	Code   int
	Status mail.Status
	Lines  []string
}

// maxReplyText bounds the text of one written line, so that the line with its code and status stays
// within the 512 octets of RFC 5321, section 4.5.3.1.5.
const maxReplyText = 490

// NewReply returns a one-line reply. An empty status is left out, as RFC 2034, section 4 demands of
// the greeting, of the replies to HELO and EHLO, and of the 3yz replies.
func NewReply(code int, status, text string) Reply {
	r := Reply{Code: code, Lines: []string{text}}
	if status == "" {
		return r
	}
	s, ok := mail.ParseStatus(status)
	if !ok {
		panic(fmt.Sprintf("smtp: %q is not a status", status))
	}
	r.Status = s
	return r
}

// OK returns a 250 reply.
func OK(status, text string) Reply { return NewReply(250, status, text) }

// Class returns the first digit of the code, the fate of the command (RFC 5321, section 4.2.1).
func (r Reply) Class() int { return r.Code / 100 }

// Closes reports whether the connection ends after the reply: 221 and 421 say so themselves
// (RFC 5321, section 3.8).
func (r Reply) Closes() bool { return r.Code == 221 || r.Code == 421 }

// AppendTo appends the reply as it is written on the wire. Octets of the text that may not stand in
// a reply become question marks: text often quotes a stranger.
func (r Reply) AppendTo(dst []byte) []byte {
	lines := r.Lines
	if len(lines) == 0 {
		lines = []string{""}
	}
	for i, text := range lines {
		dst = strconv.AppendInt(dst, int64(r.Code), 10)
		if i < len(lines)-1 {
			dst = append(dst, '-')
		} else {
			dst = append(dst, ' ')
		}
		if r.Status != (mail.Status{}) {
			dst = append(dst, r.Status.String()...)
			dst = append(dst, ' ')
		}
		dst = appendText(dst, text)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

func appendText(dst []byte, text string) []byte {
	text = text[:min(len(text), maxReplyText)]
	for i := 0; i < len(text); i++ {
		c := text[i]
		if (c < ' ' && c != '\t') || c > '~' {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}

// WriteTo writes the reply in one write.
func (r Reply) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(r.AppendTo(nil))
	return int64(n), err
}

// String returns the reply as it is shown to people: on one line.
func (r Reply) String() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(r.Code))
	if r.Status != (mail.Status{}) {
		b.WriteString(" " + r.Status.String())
	}
	for _, l := range r.Lines {
		if l != "" {
			b.WriteString(" " + l)
		}
	}
	return b.String()
}
