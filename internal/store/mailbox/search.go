package mailbox

import (
	"context"
	"time"
)

// Criteria is a search key of RFC 9051, section 6.4.4, as a tree. Sequence numbers have been turned
// into UIDs by the caller.
type Criteria struct {
	Op       Op
	Children []Criteria // And, Or, Not
	Flag     string     // HasFlag: IMAP name
	UIDs     []UID      // InUIDs: rising
	Field    string     // Header: field name, any case
	Text     string     // Header, Body, Text: UTF-8; empty matches every message (with the field)
	Size     int64      // Larger, Smaller
	Date     time.Time  // midnight; only the date counts, and time zones are disregarded
	ModSeq   ModSeq     // ModSeqFrom: at least
	Within   time.Duration
}

// Op is what a Criteria tests.
type Op uint8

// The tests. An And without children matches all.
const (
	And Op = iota
	Or
	Not
	HasFlag
	InUIDs
	Header     // also BCC, CC, FROM, SUBJECT, TO
	BodyText   // BODY
	AnyText    // TEXT
	Larger     // than Size
	Smaller    // than Size
	Before     // INTERNALDATE
	On         //
	Since      //
	SentBefore // Date field
	SentOn     //
	SentSince  //
	ModSeqFrom // RFC 7162, section 3.1.5
	Younger    // RFC 5032
	Older      // RFC 5032
)

// Search returns the UIDs of universe (rising) that match. It decodes MIME encodings and charsets
// and compares without regard to case (i;unicode-casemap). Bodies are read by streaming, and only
// where nothing cheaper decides.
func (m *Mailbox) Search(ctx context.Context, universe []UID, c Criteria) ([]UID, error) {
	panic("not built yet")
}
