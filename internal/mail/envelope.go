package mail

import "time"

// ReversePath is the value of MAIL FROM: an address, or null ("<>") for reports, which are never
// reported on (RFC 5321, section 4.5.5). The zero value is null.
type ReversePath struct{ Address }

// Null reports whether the path is "<>".
func (p ReversePath) Null() bool { return p.Address == Address{} }

// Route says where a recipient's next stop is.
type Route uint8

// The routes. The zero value is none, so that a forgotten decision delivers nowhere.
const (
	NoRoute Route = iota
	Local         // a mailbox, alias or domain of ours
	Remote        // another host
)

// Recipient is one RCPT TO of a transaction. One address may stand for several accounts (an
// alias): it is resolved again at delivery, so that a queue item is not tied to yesterday's alias.
type Recipient struct {
	Address Address `json:"address"`
	Route   Route   `json:"route"`
}

// BodyType is the BODY parameter of MAIL (RFC 6152, RFC 3030). Empty means 7BIT was assumed.
type BodyType string

// Envelope is what SMTP knows of a message beside its content (RFC 5321, section 2.3.1).
type Envelope struct {
	ReversePath ReversePath `json:"reverse_path"`
	Recipients  []Recipient `json:"recipients"`
	BodyType    BodyType    `json:"body_type,omitempty"`
	SMTPUTF8    bool        `json:"smtputf8,omitempty"`
	// Account submitted the message; zero for mail from outside.
	Account AccountID `json:"account,omitempty"`
	// Received is when the last octet came in.
	Received time.Time `json:"received"`
}

// AccountID names an account for ever; it is never used again. Zero is no account.
type AccountID uint64
