package imap

import (
	"strconv"

	"candor/internal/message"
)

// Style is how a client wants strings and structures rendered.
type Style uint8

// The styles.
const (
	Rev1 Style = iota // US-ASCII in quoted strings, message/global is a basic part
	Rev2              // UTF-8 in quoted strings, message/global is a message (RFC 9051, section 9)
)

func (s Style) utf8() bool { return s == Rev2 }

// AppendEnvelope appends an ENVELOPE (RFC 9051, section 7.5.2).
func AppendEnvelope(dst []byte, e *message.Envelope, s Style) []byte {
	dst = append(dst, '(')
	dst = appendEnvelopeText(dst, e, message.BlankDate, e.Date, s)
	dst = append(dst, ' ')
	dst = appendEnvelopeText(dst, e, message.BlankSubject, e.Subject, s)
	for _, list := range [...][]message.Mailbox{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		dst = append(dst, ' ')
		dst = appendAddresses(dst, list, s)
	}
	dst = append(dst, ' ')
	dst = appendEnvelopeText(dst, e, message.BlankInReplyTo, e.InReplyTo, s)
	dst = append(dst, ' ')
	dst = appendEnvelopeText(dst, e, message.BlankMessageID, e.MessageID, s)
	return append(dst, ')')
}

// appendEnvelopeText appends a text field, which is NIL only if the message does not have it.
func appendEnvelopeText(dst []byte, e *message.Envelope, blank message.BlankFields, text string, s Style) []byte {
	if e.Blank&blank != 0 {
		return append(dst, `""`...)
	}
	return AppendNString(dst, text, s.utf8())
}

func appendAddresses(dst []byte, list []message.Mailbox, s Style) []byte {
	if len(list) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for i := range list {
		dst = append(dst, '(')
		dst = AppendNString(dst, list[i].Name, s.utf8())
		dst = append(dst, " NIL "...)
		dst = AppendNString(dst, list[i].Local, s.utf8())
		dst = append(dst, ' ')
		dst = AppendNString(dst, list[i].Host, s.utf8())
		dst = append(dst, ')')
	}
	return append(dst, ')')
}

// AppendBody appends a BODY, which is a BODYSTRUCTURE without extension data.
func AppendBody(dst []byte, p *message.Part, s Style) []byte { return appendPart(dst, p, s, false) }

// AppendBodyStructure appends a BODYSTRUCTURE.
func AppendBodyStructure(dst []byte, p *message.Part, s Style) []byte {
	return appendPart(dst, p, s, true)
}

func appendPart(dst []byte, p *message.Part, s Style, extended bool) []byte {
	dst = append(dst, '(')
	if p.Type == "MULTIPART" {
		dst = appendMultipart(dst, p, s, extended)
	} else {
		dst = appendSingle(dst, p, s, extended)
	}
	return append(dst, ')')
}

// emptyPart stands in a multipart without parts, which the grammar does not know.
const emptyPart = `("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0)`

func appendMultipart(dst []byte, p *message.Part, s Style, extended bool) []byte {
	for i := range p.Children {
		dst = appendPart(dst, &p.Children[i], s, extended)
	}
	if len(p.Children) == 0 {
		dst = append(dst, emptyPart...)
	}
	dst = append(dst, ' ')
	dst = AppendString(dst, p.Subtype, s.utf8())
	if !extended {
		return dst
	}
	dst = append(dst, ' ')
	dst = appendParams(dst, p.Params, s)
	return appendExtension(dst, p, s)
}

func appendSingle(dst []byte, p *message.Part, s Style, extended bool) []byte {
	kind, subtype := p.Type, p.Subtype
	inner := isMessage(p, s)
	if kind == "MESSAGE" && subtype == "RFC822" && !inner {
		// Nested too deeply to be shown. As a message it would need an envelope and a body.
		kind, subtype = "APPLICATION", "OCTET-STREAM"
	}
	dst = AppendString(dst, kind, s.utf8())
	dst = append(dst, ' ')
	dst = AppendString(dst, subtype, s.utf8())
	dst = append(dst, ' ')
	dst = appendParams(dst, p.Params, s)
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.ID, s.utf8())
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.Description, s.utf8())
	dst = append(dst, ' ')
	dst = AppendString(dst, p.Encoding, s.utf8())
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, p.BodySize, 10)
	if inner {
		dst = append(dst, ' ')
		dst = AppendEnvelope(dst, p.Envelope, s)
		dst = append(dst, ' ')
		dst = appendPart(dst, &p.Children[0], s, extended)
	}
	if inner || kind == "TEXT" {
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, p.Lines, 10)
	}
	if !extended {
		return dst
	}
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.MD5, s.utf8())
	return appendExtension(dst, p, s)
}

// isMessage reports whether p is shown as a message with its envelope and structure.
func isMessage(p *message.Part, s Style) bool {
	if p.Type != "MESSAGE" || p.Envelope == nil || len(p.Children) == 0 {
		return false
	}
	return p.Subtype == "RFC822" || p.Subtype == "GLOBAL" && s == Rev2
}

// appendExtension appends disposition, language and location.
func appendExtension(dst []byte, p *message.Part, s Style) []byte {
	dst = append(dst, ' ')
	if p.Disposition == "" {
		dst = append(dst, "NIL"...)
	} else {
		dst = append(dst, '(')
		dst = AppendString(dst, p.Disposition, s.utf8())
		dst = append(dst, ' ')
		dst = appendParams(dst, p.DispositionArgs, s)
		dst = append(dst, ')')
	}
	dst = append(dst, ' ')
	dst = appendStrings(dst, p.Language, s)
	dst = append(dst, ' ')
	return AppendNString(dst, p.Location, s.utf8())
}

func appendParams(dst []byte, params []message.Param, s Style) []byte {
	if len(params) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for i := range params {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = AppendString(dst, params[i].Name, s.utf8())
		dst = append(dst, ' ')
		dst = AppendString(dst, params[i].Value, s.utf8())
	}
	return append(dst, ')')
}

func appendStrings(dst []byte, list []string, s Style) []byte {
	if len(list) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = AppendString(dst, v, s.utf8())
	}
	return append(dst, ')')
}
