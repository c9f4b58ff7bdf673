// Package message is the content of mail: header fields, MIME structure, trace fields, composing
// and delivery reports (RFC 5322, 2045, 3464). It keeps no message in memory except its header.
package message

import "io"

// Attributes is what IMAP asks of a message without its text: computed once, while the message
// comes in, and stored. Offsets are octets from the start of the message.
type Attributes struct {
	Envelope Envelope
	Root     Part
	Size     int64
}

// Envelope is the ENVELOPE of RFC 9051, section 7.5.2: header values unfolded but not decoded.
type Envelope struct {
	Date, Subject, InReplyTo, MessageID string
	From, Sender, ReplyTo               []Mailbox // Sender and ReplyTo default to From
	To, Cc, Bcc                         []Mailbox
}

// Mailbox is one entry of an address list. A group begins with one whose Host is empty and whose
// Local is the group's name, and ends with one that is all empty (RFC 9051, section 7.5.2).
type Mailbox struct{ Name, Local, Host string }

// Param is a parameter of Content-Type or Content-Disposition, in the order met, name in lower case.
type Param struct{ Name, Value string }

// Part is a body part with its MIME fields as BODYSTRUCTURE shows them (RFC 9051, section 7.5.2).
// Type, Subtype and Encoding are in upper case, with the defaults of RFC 2045 filled in.
type Part struct {
	Type, Subtype   string
	Params          []Param
	ID, Description string
	Encoding        string
	MD5             string
	Disposition     string // upper case; empty: none
	DispositionArgs []Param
	Language        []string
	Location        string

	HeaderOffset int64 // of the part's MIME header; of the message's header for the root
	BodyOffset   int64 // of the first octet after the blank line
	BodySize     int64 // octets
	Lines        int64 // of the body, for TEXT and MESSAGE/RFC822

	Children []Part    // MULTIPART: its parts; MESSAGE/RFC822 and GLOBAL: one, the message
	Envelope *Envelope // MESSAGE/RFC822 and GLOBAL: of the message within
}

// Limits bounds what a Scanner keeps (specification, section 2.10). Zero means the default.
type Limits struct {
	Header int // octets of header that are looked at; 256 KiB
	Depth  int // of MIME nesting; 100
	Parts  int // in all; 10,000. Deeper or more: kept, but shown as one part
}

// Scanner computes Attributes while a message streams through it. Write never fails and keeps no
// body. Finish may be called once.
type Scanner struct{}

// NewScanner returns a Scanner.
func NewScanner(l Limits) *Scanner { panic("not built yet") }

func (s *Scanner) Write(p []byte) (int, error) { panic("not built yet") }

// Finish returns the attributes of all that was written.
func (s *Scanner) Finish() *Attributes { panic("not built yet") }

// Marshal appends a compact, versioned encoding. Unmarshal decodes it; its strings share data.
func (a *Attributes) Marshal(dst []byte) []byte   { panic("not built yet") }
func (a *Attributes) Unmarshal(data []byte) error { panic("not built yet") }

// Shift returns the attributes of the message after n octets of trace fields were put on top of it.
func (a *Attributes) Shift(n int64) *Attributes { panic("not built yet") }

// Section names a part of a message as FETCH BODY[...] does (RFC 9051, section 6.4.5).
type Section struct {
	Path []int // part numbers; empty: the message
	Kind SectionKind
	// Fields are the names for Fields and FieldsNot.
	Fields []string
}

// SectionKind is the text specifier of a Section.
type SectionKind uint8

// The specifiers.
const (
	Whole SectionKind = iota
	HeaderSection
	HeaderFields
	HeaderFieldsNot
	TextSection
	MIMESection
)

// Range returns where the section lies in the message, in octets: ok is false when there is no such
// part. It serves all kinds but HeaderFields and HeaderFieldsNot, for which it gives the header that
// SelectFields filters.
func (a *Attributes) Range(s Section) (offset, size int64, ok bool) { panic("not built yet") }

// SelectFields returns the header fields of header named (or, with not, not named) by fields, byte
// for byte, with the final blank line.
func SelectFields(header []byte, fields []string, not bool) []byte { panic("not built yet") }

// Part returns the part with the given path for BINARY and BODYSTRUCTURE.
func (a *Attributes) Part(path []int) (*Part, bool) { panic("not built yet") }

// Decode returns a reader of the part's body r without its content transfer encoding.
//
// Errors: mail.Unsupported for an encoding that is not known (RFC 3516 UNKNOWN-CTE).
func Decode(encoding string, r io.Reader) (io.Reader, error) { panic("not built yet") }
