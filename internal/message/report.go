package message

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"candor/internal/mail"
)

// Action is the Action field of a delivery status (RFC 3464, section 2.3.3).
type Action string

// The actions.
const (
	Failed    Action = "failed"
	Delayed   Action = "delayed"
	Delivered Action = "delivered"
	Relayed   Action = "relayed"
)

// Report is a delivery status notification (RFC 3464) on one message and some of its recipients.
// Only the header of the message is returned.
type Report struct {
	By         mail.Domain  // this server: Reporting-MTA
	From       mail.Address // author of the report; zero: postmaster of By
	To         mail.Address // the reverse-path; never null (RFC 5321, section 4.5.5)
	EnvelopeID string       // ENVID of MAIL, decoded; may be empty
	QueueID    string       // ours, for people who ask the postmaster
	MessageID  string       // of the report; empty: a new one
	Arrival    time.Time    // when the message was received
	Date       time.Time    // of the report
	Header     Header       // of the message
	Recipients []RecipientReport
}

// RecipientReport tells what became of one recipient.
type RecipientReport struct {
	Address   mail.Address
	Original  string // ORCPT of RCPT, as "rfc822;bob@example.org"; may be empty
	Action    Action
	Status    mail.Status
	RemoteMTA string // the host of the last attempt; empty: none was reached

	// Why: the remote server's reply, else the check of the transport that failed (Fail), else Text.
	Reply     string
	Transport mail.Transport
	Text      string

	LastAttempt time.Time
	NextAttempt time.Time // Delayed only
	RetryUntil  time.Time // Delayed only
}

// SMTPUTF8 reports whether the report's header holds UTF-8, so that it must be sent with SMTPUTF8.
func (r *Report) SMTPUTF8() bool { return !r.To.ASCII() }

// maxReturned bounds the header that is returned, so that reports do not multiply large headers.
const maxReturned = 32 << 10

// Append appends the report, complete, to dst.
func (r *Report) Append(dst []byte) []byte {
	n := Notice{FromName: "Mail Delivery System", From: r.From, To: r.To, Subject: r.subject(), Date: r.Date, ID: r.MessageID}
	if n.From == (mail.Address{}) {
		n.From = mail.Address{Local: "postmaster", Domain: r.By}
	}
	if n.ID == "" {
		n.ID = NewMessageID(r.By)
	}
	boundary := boundaryOf(n.ID)
	dst = appendOrigin(dst, &n)
	if id, ok := r.original(); ok {
		dst = appendField(dst, "In-Reply-To", id)
		dst = appendField(dst, "References", id)
	}
	dst = append(dst, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"...)
	dst = append(dst, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\""+boundary+"\"\r\n\r\n"...)

	delimiter := "--" + boundary
	dst = append(dst, delimiter+"\r\n"...)
	dst = appendText(dst, r.words())
	dst = append(dst, "\r\n"+delimiter+"\r\n"...)
	dst = r.appendStatus(dst)
	dst = append(dst, "\r\n"+delimiter+"\r\n"...)
	dst = r.appendReturned(dst)
	return append(dst, "\r\n"+delimiter+"--\r\n"...)
}

// boundaryOf returns a boundary that nobody can foresee who does not know the Message-ID.
func boundaryOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "=_" + hex.EncodeToString(sum[:16])
}

// worst returns the action that the subject speaks of.
func (r *Report) worst() Action {
	for _, a := range []Action{Failed, Delayed} {
		for i := range r.Recipients {
			if r.Recipients[i].Action == a {
				return a
			}
		}
	}
	return Delivered
}

func (r *Report) subject() string {
	switch r.worst() {
	case Failed:
		return "Your message was not delivered"
	case Delayed:
		return "Your message is delayed"
	}
	return "Your message was delivered"
}

// original returns the Message-ID of the message, if it is one that can be referred to.
func (r *Report) original() (string, bool) {
	id, ok := r.Header.Get("Message-ID")
	if !ok || len(id) < 5 || len(id) > 250 || id[0] != '<' || id[len(id)-1] != '>' {
		return "", false
	}
	for _, c := range []byte(id[1 : len(id)-1]) {
		if c <= ' ' || c >= 0x7f || c == '<' || c == '>' {
			return "", false
		}
	}
	return id, true
}

// appendStatus appends the part for programs. With SMTPUTF8 it is message/global-delivery-status,
// in which addresses are written as they are; else all is ASCII (RFC 6533, section 3).
func (r *Report) appendStatus(dst []byte) []byte {
	if r.SMTPUTF8() {
		dst = append(dst, "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"...)
	} else {
		dst = append(dst, "Content-Type: message/delivery-status\r\n\r\n"...)
	}
	dst = appendField(dst, "Reporting-MTA", "dns; "+string(r.By))
	if r.EnvelopeID != "" {
		dst = appendField(dst, "Original-Envelope-Id", asciiLine(r.EnvelopeID))
	}
	if !r.Arrival.IsZero() {
		dst = appendField(dst, "Arrival-Date", r.Arrival.Format(dateFormat))
	}
	for i := range r.Recipients {
		dst = append(dst, "\r\n"...)
		dst = r.Recipients[i].appendStatus(dst, r.SMTPUTF8())
	}
	return dst
}

func (p *RecipientReport) appendStatus(dst []byte, utf8 bool) []byte {
	if p.Original != "" {
		dst = appendField(dst, "Original-Recipient", asciiLine(p.Original))
	}
	dst = appendField(dst, "Final-Recipient", typedAddress(p.Address, utf8))
	dst = appendField(dst, "Action", string(p.Action))
	dst = appendField(dst, "Status", p.Status.String())
	if p.RemoteMTA != "" {
		dst = appendField(dst, "Remote-MTA", "dns; "+asciiLine(p.RemoteMTA))
	}
	if d := p.diagnostic(); d != "" {
		dst = appendField(dst, "Diagnostic-Code", d)
	}
	if !p.LastAttempt.IsZero() {
		dst = appendField(dst, "Last-Attempt-Date", p.LastAttempt.Format(dateFormat))
	}
	if p.Action == Delayed && !p.RetryUntil.IsZero() {
		dst = appendField(dst, "Will-Retry-Until", p.RetryUntil.Format(dateFormat))
	}
	return dst
}

// diagnostic returns the Diagnostic-Code: what the remote server said, else what we found (TS-4.10).
func (p *RecipientReport) diagnostic() string {
	switch {
	case p.Reply != "":
		return "smtp; " + asciiLine(p.Reply)
	case p.Transport.Fail != "":
		return fmt.Sprintf("x-candor; %s; floor=%s; state=%s", asciiLine(p.Transport.Fail), p.Transport.Floor, p.Transport.State)
	case p.Text != "":
		return "x-candor; " + asciiLine(p.Text)
	}
	return ""
}

// maxWords bounds what is repeated of another server's words.
const maxWords = 500

// asciiLine makes one line of ASCII of what another program said.
func asciiLine(s string) string {
	if len(s) > maxWords {
		s = s[:maxWords]
	}
	b := []byte(strings.TrimSpace(strings.ReplaceAll(s, "\r\n", " ")))
	for i, c := range b {
		switch {
		case c == '\t' || c == '\n' || c == '\r':
			b[i] = ' '
		case c < ' ' || c >= 0x7f:
			b[i] = '?'
		}
	}
	return string(b)
}

// typedAddress returns an address with its type. One that is not ASCII is of type utf-8, and where
// only ASCII may stand its other characters are written as \x{...} (RFC 6533, section 3).
func typedAddress(a mail.Address, utf8 bool) string {
	s := withoutControls(a.String())
	switch {
	case a.ASCII():
		return "rfc822; " + s
	case utf8:
		return "utf-8; " + s
	}
	var b strings.Builder
	for _, c := range s {
		if c > '~' || c <= ' ' || c == '\\' || c == '+' || c == '=' {
			fmt.Fprintf(&b, `\x{%02X}`, c)
		} else {
			b.WriteRune(c)
		}
	}
	return "utf-8; " + b.String()
}

// appendReturned appends the header of the message as the last part (RFC 6522, section 4; RFC 6533,
// section 5).
func (r *Report) appendReturned(dst []byte) []byte {
	var kept []byte
	for f := range r.Header.Fields() {
		if len(kept)+len(f.Raw) > maxReturned {
			break
		}
		kept = append(kept, f.Raw...)
	}
	kept = toCRLF(string(kept))
	if r.SMTPUTF8() {
		dst = append(dst, "Content-Type: message/global-headers\r\n"...)
	} else {
		dst = append(dst, "Content-Type: text/rfc822-headers\r\n"...)
	}
	return appendBody(dst, kept)
}
