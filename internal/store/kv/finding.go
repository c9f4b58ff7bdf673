package kv

import "fmt"

// Severity says how much a finding matters.
type Severity string

// The severities of the specification, section 6.4.
const (
	SeverityError   Severity = "error"   // mail or accounts are harmed
	SeverityWarning Severity = "warning" // something is not as it should be, and nobody is harmed
	SeverityNote    Severity = "note"    // nothing needs to be done
)

// Finding is something in a store that is not as it should be, in words for an operator.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Place    string   `json:"place"` // what it is about
	Seen     string   `json:"seen"`
	Wanted   string   `json:"wanted"`
	Fix      string   `json:"fix"` // what repair does, or what is to be done in its place

	// Mend is what repair does, in a transaction of its own; nil: repair does nothing. It reads again what it
	// changes, since other findings may have been mended since this one was made. Errors: ErrLater.
	Mend func(Tx) error `json:"-"`
	// Wreck is content that goes into a file before Mend takes it out of the store; nil: none.
	Wreck *Wreck `json:"-"`
}

// Wreck is what is left of a message.
type Wreck struct {
	Name   string // of its file
	Prefix []byte // goes before the blob
	Blob   BlobID
}

// String is the finding in one line (specification, T-40).
func (f Finding) String() string {
	return fmt.Sprintf("%s %s: Seen: %s: %s. Wanted: %s. Do: %s.", f.ID, f.Severity, f.Place, f.Seen, f.Wanted, f.Fix)
}
