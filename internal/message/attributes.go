package message

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
	// Blank has those of the four that are there, but empty, which ENVELOPE tells from absent ones.
	Blank                 BlankFields
	From, Sender, ReplyTo []Mailbox // Sender and ReplyTo default to From
	To, Cc, Bcc           []Mailbox
}

// BlankFields is a set of the text fields of an Envelope.
type BlankFields uint8

// The fields. Their bits are part of the encoding of Attributes.
const (
	BlankDate BlankFields = 4 << iota
	BlankSubject
	BlankInReplyTo
	BlankMessageID
)

// Mailbox is one entry of an address list. A group begins with one whose Host is empty and whose
// Local is the group's name, and ends with one that is all empty (RFC 9051, section 7.5.2).
type Mailbox struct{ Name, Local, Host string }

// Param is a parameter of Content-Type or Content-Disposition, in the order met, name in lower case.
type Param struct{ Name, Value string }

// Part is a body part with its MIME fields as BODYSTRUCTURE shows them (RFC 9051, section 7.5.2).
// Type, Subtype and Encoding are in upper case, with the defaults of RFC 2045 filled in. A MULTIPART
// always has children and a MESSAGE/RFC822 or GLOBAL one child and an Envelope: what cannot be
// shown so (no boundary, too deep) has another type.
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

// Shift returns the attributes of the message after n octets of trace fields were put on top of it.
func (a *Attributes) Shift(n int64) *Attributes {
	b := *a
	b.Size += n
	b.Root.BodyOffset += n
	b.Root.Children = shifted(a.Root.Children, n)
	return &b
}

func shifted(parts []Part, n int64) []Part {
	if len(parts) == 0 {
		return nil
	}
	moved := make([]Part, len(parts))
	for i := range parts {
		moved[i] = parts[i]
		moved[i].HeaderOffset += n
		moved[i].BodyOffset += n
		moved[i].Children = shifted(parts[i].Children, n)
	}
	return moved
}

// Param returns the first value of the Content-Type parameter with the given name, in lower case.
func (p *Part) Param(name string) (string, bool) {
	return param(p.Params, name)
}

func param(params []Param, name string) (string, bool) {
	for _, q := range params {
		if q.Name == name {
			return q.Value, true
		}
	}
	return "", false
}

// isMessage reports whether the part holds a message whose structure is shown.
func (p *Part) isMessage() bool {
	return p.Type == "MESSAGE" && (p.Subtype == "RFC822" || p.Subtype == "GLOBAL")
}
