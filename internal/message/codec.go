package message

import (
	"encoding/binary"

	"candor/internal/mail"
)

// The encoding of Attributes: a version, then the fields in the order of the types. Numbers are
// uvarints. A list is its length and its items. A string is its length times two and its octets, or
// an index into wordList times two plus one. Offsets of parts count from their parent's header, so that
// they are short. An address list that equals From, as Sender and Reply-To mostly do, is length 0
// and a mark in the envelope's first octet, which has the BlankFields as well.
const codecVersion = 1

const (
	senderIsFrom  = 1
	replyToIsFrom = 2
)

// wordList has the strings that most messages have. Their order is part of the format: new ones go
// to the end, with a new version.
var wordList = [...]string{
	"TEXT", "PLAIN", "HTML", "MULTIPART", "MIXED", "ALTERNATIVE", "RELATED", "SIGNED", "REPORT", "DIGEST",
	"MESSAGE", "RFC822", "GLOBAL", "DELIVERY-STATUS", "RFC822-HEADERS", "DISPOSITION-NOTIFICATION",
	"APPLICATION", "OCTET-STREAM", "PDF", "PGP-SIGNATURE", "PKCS7-SIGNATURE", "IMAGE", "PNG", "JPEG", "GIF", "CALENDAR",
	"7BIT", "8BIT", "BINARY", "QUOTED-PRINTABLE", "BASE64",
	"charset", "us-ascii", "utf-8", "UTF-8", "iso-8859-1", "boundary", "format", "flowed", "delsp", "yes",
	"name", "filename", "type", "size", "micalg", "protocol", "report-type", "ATTACHMENT", "INLINE",
	missingLocal, missingHost,
}

var wordIndex = func() map[string]uint64 {
	m := make(map[string]uint64, len(wordList))
	for i, w := range wordList {
		m[w] = uint64(i)
	}
	return m
}()

// longestWord keeps long strings away from the map.
const longestWord = len("DISPOSITION-NOTIFICATION")

// Marshal appends a compact, versioned encoding of a to dst.
func (a *Attributes) Marshal(dst []byte) []byte {
	dst = append(dst, codecVersion)
	dst = binary.AppendUvarint(dst, uint64(a.Size))
	dst = appendEnvelope(dst, &a.Envelope)
	return appendPart(dst, &a.Root, 0)
}

func appendString(dst []byte, s string) []byte {
	if len(s) <= longestWord {
		if i, ok := wordIndex[s]; ok {
			return binary.AppendUvarint(dst, i<<1|1)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(s))<<1)
	return append(dst, s...)
}

func appendMailboxList(dst []byte, list []Mailbox) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for i := range list {
		dst = appendString(dst, list[i].Name)
		dst = appendString(dst, list[i].Local)
		dst = appendString(dst, list[i].Host)
	}
	return dst
}

func appendEnvelope(dst []byte, e *Envelope) []byte {
	sender, replyTo := e.Sender, e.ReplyTo
	mark := byte(e.Blank)
	if sameMailboxes(sender, e.From) {
		mark |= senderIsFrom
		sender = nil
	}
	if sameMailboxes(replyTo, e.From) {
		mark |= replyToIsFrom
		replyTo = nil
	}
	dst = append(dst, mark)
	for _, s := range [...]string{e.Date, e.Subject, e.InReplyTo, e.MessageID} {
		dst = appendString(dst, s)
	}
	for _, list := range [...][]Mailbox{e.From, sender, replyTo, e.To, e.Cc, e.Bcc} {
		dst = appendMailboxList(dst, list)
	}
	return dst
}

func sameMailboxes(a, b []Mailbox) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func appendParams(dst []byte, params []Param) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(params)))
	for _, p := range params {
		dst = appendString(dst, p.Name)
		dst = appendString(dst, p.Value)
	}
	return dst
}

func appendPart(dst []byte, p *Part, base int64) []byte {
	dst = appendString(dst, p.Type)
	dst = appendString(dst, p.Subtype)
	dst = appendParams(dst, p.Params)
	for _, s := range [...]string{p.ID, p.Description, p.Encoding, p.MD5, p.Disposition} {
		dst = appendString(dst, s)
	}
	dst = appendParams(dst, p.DispositionArgs)
	dst = binary.AppendUvarint(dst, uint64(len(p.Language)))
	for _, s := range p.Language {
		dst = appendString(dst, s)
	}
	dst = appendString(dst, p.Location)
	for _, n := range [...]int64{p.HeaderOffset - base, p.BodyOffset - p.HeaderOffset, p.BodySize, p.Lines} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.Children)))
	for i := range p.Children {
		dst = appendPart(dst, &p.Children[i], p.HeaderOffset)
	}
	if p.isMessage() {
		dst = appendEnvelope(dst, p.Envelope)
	}
	return dst
}

// Unmarshal decodes what Marshal wrote. The strings share one copy of data, which may be used again.
//
// Errors: mail.Internal when data is damaged or of a version that is not known. What is decoded
// without an error keeps the promises of Part, and every range lies within the message.
func (a *Attributes) Unmarshal(data []byte) error {
	if len(data) == 0 || data[0] != codecVersion {
		return mail.Errorf(mail.Internal, "attributes of a version that is not known")
	}
	d := decoder{rest: string(data[1:])}
	var b Attributes
	b.Size = d.number()
	d.envelope(&b.Envelope)
	d.part(&b.Root, 0, b.Size, 0)
	if d.bad || d.rest != "" {
		return mail.Errorf(mail.Internal, "attributes are damaged")
	}
	*a = b
	return nil
}

// decoder reads values from the front of rest. After the first that cannot be, bad is set and
// all others are zero.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) fail() {
	d.bad = true
	d.rest = ""
}

func (d *decoder) uvarint() uint64 {
	var n uint64
	for i := 0; i < len(d.rest) && i < binary.MaxVarintLen64; i++ {
		c := d.rest[i]
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			d.rest = d.rest[i+1:]
			return n
		}
	}
	d.fail()
	return 0
}

// maxNumber keeps sums of offsets and sizes from overflowing.
const maxNumber = 1 << 60

func (d *decoder) number() int64 {
	n := d.uvarint()
	if n > maxNumber {
		d.fail()
		return 0
	}
	return int64(n)
}

// length reads the length of a list whose items take at least size octets each.
func (d *decoder) length(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.rest)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.uvarint()
	index, isWord := n>>1, n&1 == 1
	switch {
	case isWord && index < uint64(len(wordList)):
		return wordList[index]
	case isWord || index > uint64(len(d.rest)):
		d.fail()
		return ""
	}
	s := d.rest[:index]
	d.rest = d.rest[index:]
	return s
}

func (d *decoder) mailboxes() []Mailbox {
	n := d.length(3)
	if n == 0 {
		return nil
	}
	list := make([]Mailbox, n)
	for i := range list {
		list[i] = Mailbox{d.string(), d.string(), d.string()}
	}
	return list
}

func (d *decoder) params() []Param {
	n := d.length(2)
	if n == 0 {
		return nil
	}
	params := make([]Param, n)
	for i := range params {
		params[i] = Param{d.string(), d.string()}
	}
	return params
}

func (d *decoder) envelope(e *Envelope) {
	mark := d.uvarint()
	e.Blank = BlankFields(mark) & (BlankDate | BlankSubject | BlankInReplyTo | BlankMessageID)
	e.Date, e.Subject, e.InReplyTo, e.MessageID = d.string(), d.string(), d.string(), d.string()
	e.From, e.Sender, e.ReplyTo = d.mailboxes(), d.mailboxes(), d.mailboxes()
	e.To, e.Cc, e.Bcc = d.mailboxes(), d.mailboxes(), d.mailboxes()
	if mark&senderIsFrom != 0 {
		e.Sender = e.From
	}
	if mark&replyToIsFrom != 0 {
		e.ReplyTo = e.From
	}
}

// minPart is the least that a part takes: one octet for each of its values.
const minPart = 16

// maxNesting bounds the recursion; no Limits come near it.
const maxNesting = 10_000

// part decodes a part that lies between base and end.
func (d *decoder) part(p *Part, base, end int64, depth int) {
	p.Type, p.Subtype = d.string(), d.string()
	p.Params = d.params()
	p.ID, p.Description, p.Encoding, p.MD5, p.Disposition = d.string(), d.string(), d.string(), d.string(), d.string()
	p.DispositionArgs = d.params()
	if n := d.length(1); n > 0 {
		p.Language = make([]string, n)
		for i := range p.Language {
			p.Language[i] = d.string()
		}
	}
	p.Location = d.string()
	p.HeaderOffset = base + d.number()
	p.BodyOffset = p.HeaderOffset + d.number()
	p.BodySize = d.number()
	p.Lines = d.number()
	n := d.length(minPart)
	if p.HeaderOffset > end || p.BodyOffset > end || p.BodyOffset+p.BodySize > end || depth > maxNesting || !p.mayHave(n) {
		d.fail()
		return
	}
	if n > 0 {
		p.Children = make([]Part, n)
		for i := range p.Children {
			d.part(&p.Children[i], p.HeaderOffset, p.BodyOffset+p.BodySize, depth+1)
		}
	}
	if p.isMessage() {
		p.Envelope = new(Envelope)
		d.envelope(p.Envelope)
	}
}

// mayHave reports whether n children are what a part of this type has.
func (p *Part) mayHave(n int) bool {
	switch {
	case p.Type == "MULTIPART":
		return n > 0
	case p.isMessage():
		return n == 1
	}
	return n == 0
}
