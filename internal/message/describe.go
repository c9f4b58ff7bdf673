package message

import (
	"bytes"
	"strconv"
	"strings"
)

// fieldID names a header field that Attributes are made of.
type fieldID uint8

const (
	otherField fieldID = iota
	dateField
	subjectField
	inReplyToField
	messageIDField
	fromField
	senderField
	replyToField
	toField
	ccField
	bccField
	typeField
	encodingField
	contentIDField
	descriptionField
	md5Field
	dispositionField
	languageField
	locationField
)

// longestField is the length of the longest name that identify knows.
const longestField = len("content-transfer-encoding")

func identify(name []byte) fieldID {
	if len(name) > longestField {
		return otherField
	}
	var lower [longestField]byte
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	switch string(lower[:len(name)]) {
	case "date":
		return dateField
	case "subject":
		return subjectField
	case "in-reply-to":
		return inReplyToField
	case "message-id":
		return messageIDField
	case "from":
		return fromField
	case "sender":
		return senderField
	case "reply-to":
		return replyToField
	case "to":
		return toField
	case "cc":
		return ccField
	case "bcc":
		return bccField
	case "content-type":
		return typeField
	case "content-transfer-encoding":
		return encodingField
	case "content-id":
		return contentIDField
	case "content-description":
		return descriptionField
	case "content-md5":
		return md5Field
	case "content-disposition":
		return dispositionField
	case "content-language":
		return languageField
	case "content-location":
		return locationField
	}
	return otherField
}

// foundField is a field of interest: its unfolded value is text[start:end].
type foundField struct {
	id         fieldID
	start, end int
}

// describe fills in the part on top, and the envelope if it is a message, from s.header. All text
// that is kept of one header shares one string.
func (s *Scanner) describe(top *openPart) {
	s.collect(top.message)
	text := string(s.text)
	if top.message {
		env := &s.env
		if n := len(s.open); n > 1 {
			env = new(Envelope)
			s.open[n-2].part.Envelope = env
		}
		for _, f := range s.found {
			env.set(f.id, text[f.start:f.end])
		}
		env.defaults()
	}
	hasType := false
	for _, f := range s.found {
		value := text[f.start:f.end]
		if f.id != typeField {
			top.part.set(f.id, value)
		} else if !hasType {
			hasType = true
			top.part.Type, top.part.Subtype, top.part.Params = parseContentType(value)
		}
	}
	top.part.defaults(top.defaultMsg && !hasType)
	top.digest = top.part.Type == "MULTIPART" && top.part.Subtype == "DIGEST"
	top.boundary = boundary(top.part.Params)
}

// collect finds the fields of interest in s.header and unfolds their values, as far as the budget goes.
func (s *Scanner) collect(isMessage bool) {
	s.text, s.found = s.text[:0], s.found[:0]
	h := Header(s.header)
	if len(h) >= s.limits.Header {
		h = h[:bytes.LastIndexByte(h, '\n')+1]
	}
	for f := range h.Fields() {
		id := identify(f.Name)
		if id == otherField || id < typeField && !isMessage {
			continue
		}
		raw := f.value()
		entries := 0
		if id >= fromField && id <= bccField {
			entries = mostEntries(raw)
		}
		if len(raw) > s.budget || entries > s.entries || !s.hasRoom(len(raw)+entries*entryCost) {
			continue
		}
		s.entries -= entries
		start := len(s.text)
		s.text = appendUnfolded(s.text, raw)
		s.budget -= len(s.text) - start
		s.found = append(s.found, foundField{id, start, len(s.text)})
	}
}

// mostEntries is how many entries the address list in value may have: each ends with one of these.
func mostEntries(value []byte) int {
	n := 1
	for _, c := range value {
		if c == ',' || c == '<' || c == '@' || c == ';' || c == ':' {
			n++
		}
	}
	return n
}

// set takes a field over. Of a text field that is there twice the first counts; address lists are
// joined (both against RFC 5322, section 3.6, but seen).
func (e *Envelope) set(id fieldID, value string) {
	switch id {
	case dateField:
		e.text(&e.Date, BlankDate, value)
	case subjectField:
		e.text(&e.Subject, BlankSubject, value)
	case inReplyToField:
		e.text(&e.InReplyTo, BlankInReplyTo, value)
	case messageIDField:
		e.text(&e.MessageID, BlankMessageID, value)
	case fromField:
		e.From = appendMailboxes(e.From, value)
	case senderField:
		e.Sender = appendMailboxes(e.Sender, value)
	case replyToField:
		e.ReplyTo = appendMailboxes(e.ReplyTo, value)
	case toField:
		e.To = appendMailboxes(e.To, value)
	case ccField:
		e.Cc = appendMailboxes(e.Cc, value)
	case bccField:
		e.Bcc = appendMailboxes(e.Bcc, value)
	}
}

// text takes a text field over, and notes whether it is blank.
func (e *Envelope) text(field *string, blank BlankFields, value string) {
	first(field, value)
	if e.Blank |= blank; *field != "" {
		e.Blank &^= blank
	}
}

func first(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// defaults fills in what RFC 9051, section 7.5.2 says of an absent or empty Sender or Reply-To.
func (e *Envelope) defaults() {
	if len(e.Sender) == 0 {
		e.Sender = e.From
	}
	if len(e.ReplyTo) == 0 {
		e.ReplyTo = e.From
	}
}

// set takes a MIME field other than Content-Type over; the first of its name counts.
func (p *Part) set(id fieldID, value string) {
	switch id {
	case encodingField:
		first(&p.Encoding, parseEncoding(value))
	case contentIDField:
		first(&p.ID, value)
	case descriptionField:
		first(&p.Description, value)
	case md5Field:
		first(&p.MD5, value)
	case dispositionField:
		if p.Disposition == "" {
			p.Disposition, p.DispositionArgs = parseDisposition(value)
		}
	case languageField:
		if p.Language == nil {
			p.Language = parseLanguages(value)
		}
	case locationField:
		// RFC 2557, section 4.4.1: white space in a folded URI is not part of it.
		first(&p.Location, strings.Join(strings.Fields(value), ""))
	}
}

func (p *Part) defaults(asMessage bool) {
	if p.Type == "" {
		p.Type, p.Subtype = "TEXT", "PLAIN"
		if asMessage {
			p.Type, p.Subtype = "MESSAGE", "RFC822"
		}
	}
	if p.Encoding == "" {
		p.Encoding = "7BIT"
	}
}

// boundary returns the boundary parameter, also one in pieces (RFC 2231, section 3), as far as it
// is compared.
func boundary(params []Param) string {
	b, ok := param(params, "boundary")
	for i := 0; !ok && i < len(params); i++ {
		piece, more := param(params, "boundary*"+strconv.Itoa(i))
		if !more {
			break
		}
		b += piece
	}
	b = strings.TrimRight(b, " \t")
	if len(b) > maxBoundary {
		b = b[:maxBoundary]
	}
	return b
}
