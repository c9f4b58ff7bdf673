package mail

import (
	"errors"
	"fmt"
)

// Kind says what happened, for programs. docs/errors.md has each door's reply to each kind.
type Kind uint8

// The kinds of failure.
const (
	Internal Kind = iota
	Syntax
	Sequence
	Unsupported
	NoAddress
	NotFound
	Exists
	InUse
	Expunged
	OverQuota
	TooBig
	TooMany
	AuthFailed
	AuthNeeded
	Forbidden
	NeedTLS
	Refused
	Loop
	Expired
	Unavailable
	RemoteFailure
	kinds
)

// Kinds returns every kind, so that each door's test can ask for its reply.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// kindRows are the name of each kind and its usual status.
var kindRows = [kinds]struct {
	name   string
	status Status
}{
	Internal:      {"internal", Status{4, 3, 0}},
	Syntax:        {"syntax", Status{5, 5, 2}},
	Sequence:      {"sequence", Status{5, 5, 1}},
	Unsupported:   {"unsupported", Status{5, 5, 1}},
	NoAddress:     {"no-address", Status{5, 1, 1}},
	NotFound:      {"not-found", Status{5, 2, 0}},
	Exists:        {"exists", Status{5, 2, 0}},
	InUse:         {"in-use", Status{4, 2, 0}},
	Expunged:      {"expunged", Status{5, 2, 0}},
	OverQuota:     {"over-quota", Status{4, 2, 2}},
	TooBig:        {"too-big", Status{5, 3, 4}},
	TooMany:       {"too-many", Status{4, 5, 3}},
	AuthFailed:    {"auth-failed", Status{5, 7, 8}},
	AuthNeeded:    {"auth-needed", Status{5, 7, 0}},
	Forbidden:     {"forbidden", Status{5, 7, 1}},
	NeedTLS:       {"need-tls", Status{5, 7, 11}},
	Refused:       {"refused", Status{5, 7, 1}},
	Loop:          {"loop", Status{5, 4, 6}},
	Expired:       {"expired", Status{4, 4, 7}},
	Unavailable:   {"unavailable", Status{4, 3, 2}},
	RemoteFailure: {"remote", Status{4, 0, 0}},
}

func (k Kind) String() string { return kindRows[k].name }

// Error is a failure that was understood where it was made. Text may be shown to a stranger; Err,
// the cause, goes to the log alone. The class of Status says whether to try again.
type Error struct {
	Kind   Kind
	Status Status
	Text   string
	Err    error
}

// Errorf makes an Error of kind k with the kind's usual status. The text is for strangers: a cause goes in with Wrap.
func Errorf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Status: kindRows[k].status, Text: fmt.Sprintf(format, args...)}
}

// Wrap makes an Error of kind k that shows text and logs cause.
func Wrap(k Kind, cause error, text string) *Error {
	return &Error{Kind: k, Status: kindRows[k].status, Text: text, Err: cause}
}

// With returns a copy with a finer status.
func (e *Error) With(class, subject, detail uint16) *Error {
	c := *e
	c.Status = Status{class, subject, detail}
	return &c
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Text + ": " + e.Err.Error()
	}
	return e.Text
}

func (e *Error) Unwrap() error { return e.Err }

// AsError finds the Error in err's chain. An error without one is internal: neutral text, with err
// as its cause. It returns nil only for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Wrap(Internal, err, "internal error")
}

// IsKind reports whether err's chain holds an Error of kind k.
func IsKind(err error, k Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}
