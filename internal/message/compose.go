package message

import (
	"bytes"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"candor/internal/mail"
)

// Notice is a message of plain text that Candor itself writes to a person.
type Notice struct {
	FromName string // display name; may be empty
	From     mail.Address
	To       mail.Address
	Subject  string
	Text     string // UTF-8; its lines end in LF
	Date     time.Time
	ID       string // Message-ID; empty: a new one at the domain of From
}

// Append appends the message, complete, to dst.
func (n *Notice) Append(dst []byte) []byte {
	dst = appendOrigin(dst, n)
	// RFC 3834, section 5: no program is to answer it.
	dst = append(dst, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"...)
	return appendText(dst, n.Text)
}

// appendOrigin appends the fields that every message of ours begins with.
func appendOrigin(dst []byte, n *Notice) []byte {
	id := n.ID
	if id == "" {
		id = NewMessageID(n.From.Domain)
	}
	dst = appendField(dst, "From", appendedName(n.FromName)+"<"+withoutControls(n.From.String())+">")
	dst = appendField(dst, "To", "<"+withoutControls(n.To.String())+">")
	dst = appendField(dst, "Subject", encodeText(n.Subject))
	dst = appendField(dst, "Date", n.Date.Format(dateFormat))
	dst = appendField(dst, "Message-ID", id)
	return dst
}

// appendedName makes a display name that an address may follow. The encoded words are in base64, in which nothing
// means something in a phrase (RFC 2047, section 5).
func appendedName(name string) string {
	switch name = withoutControls(name); {
	case name == "":
		return ""
	case !isASCII(name):
		return inLines(mime.BEncoding.Encode("utf-8", name)) + " "
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" `
}

// encodeText makes unstructured text fit for a header: what is not ASCII becomes encoded words, each
// on a line of its own (RFC 2047, section 2).
func encodeText(s string) string {
	return inLines(mime.QEncoding.Encode("utf-8", withoutControls(s)))
}

func inLines(words string) string { return strings.ReplaceAll(words, "?= =?", "?=\r\n =?") }

// appendField appends a field whose value has been made safe before.
func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// appendText appends the MIME fields and the body of a text/plain entity.
func appendText(dst []byte, text string) []byte {
	dst = append(dst, "Content-Type: text/plain; charset=utf-8\r\n"...)
	return appendBody(dst, toCRLF(text))
}

// appendBody appends the transfer encoding, the blank line and the body: as it is when any server
// can carry it, else quoted-printable.
func appendBody(dst, body []byte) []byte {
	if isPlain(body) {
		dst = append(dst, "Content-Transfer-Encoding: 7bit\r\n\r\n"...)
		return append(dst, body...)
	}
	dst = append(dst, "Content-Transfer-Encoding: quoted-printable\r\n\r\n"...)
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	w.Write(body) // to memory: cannot fail
	w.Close()
	return append(dst, b.Bytes()...)
}

// toCRLF gives every line of text the line end of mail.
func toCRLF(text string) []byte {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return []byte(strings.ReplaceAll(text, "\n", "\r\n"))
}

// maxLine is the longest line that RFC 5322, section 2.1.1 allows.
const maxLine = 998

// isPlain reports whether b is 7bit (RFC 2045, section 2.7).
func isPlain(b []byte) bool {
	for line := range bytes.Lines(b) {
		line, ended := bytes.CutSuffix(line, []byte("\r\n"))
		if !ended || len(line) > maxLine || !isASCII(string(line)) || bytes.ContainsAny(line, "\r\n\x00") {
			return false
		}
	}
	return true
}

// isASCII reports whether s has no octet above 127.
func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
