// Package dns asks the domain name system what mail needs to know, and says with each answer how far
// it can be believed (RFC 4035, section 4.3). A lookup that failed is an error and never an empty
// answer: "no such record" must have been said by someone.
//
// Client asks recursive resolvers over the network; Zone answers from text, for tests. Neither
// validates yet: what a Client brings is at best Insecure.
package dns

import (
	"context"
	"net/netip"

	"candor/internal/mail"
)

// State says how far an answer can be believed (RFC 4035, section 4.3).
type State uint8

// The states. The zero value is the one that proves nothing.
const (
	Indeterminate State = iota // what is needed to decide could not be had
	Bogus                      // should have been signed rightly, and is not
	Insecure                   // not signed
	Secure                     // signed, and the chain of trust is whole
)

func (s State) String() string {
	return [...]string{"indeterminate", "bogus", "insecure", "secure"}[s&3]
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Answer is what the DNS said about a name and a type. Without Records there are none; NoName
// further says that the name itself does not exist (NXDOMAIN).
type Answer[T any] struct {
	Records   []T
	NoName    bool
	State     State
	Canonical mail.Domain // where the chain of CNAMEs ended; the name itself if there was none
}

// MX is a mail exchange. A null MX (RFC 7505) has an empty Host.
type MX struct {
	Preference uint16
	Host       mail.Domain
}

// Addresses are the addresses of a host. When one family could not be looked up and the other has
// addresses, Partial is why.
type Addresses struct {
	Answer[netip.Addr]
	Partial error
}

// Resolver answers questions. All methods may be called concurrently and end with ctx.
//
// Errors: Failure alone.
type Resolver interface {
	MX(ctx context.Context, name mail.Domain) (Answer[MX], error)
	// Addresses looks up A and AAAA. It fails when neither family can be had, or one fails and the
	// other has none.
	Addresses(ctx context.Context, name mail.Domain) (Addresses, error)
	TXT(ctx context.Context, name mail.Domain) (Answer[string], error)
	PTR(ctx context.Context, addr netip.Addr) (Answer[mail.Domain], error)
}

// Fail is why a lookup failed, as the log shows it (specification, section 4.9).
type Fail string

// The reasons.
const (
	FailBogus         Fail = "dns-bogus"
	FailIndeterminate Fail = "dns-indeterminate"
	FailTimeout       Fail = "dns-timeout"
	FailServer        Fail = "dns-servfail"
)

// Failure is a lookup that did not yield an answer. It is never to be taken for an empty one
// (specification, TS-4.1).
type Failure struct {
	Name   mail.Domain
	Type   string // such as "MX"
	Reason Fail
	Err    error // may be nil
}

func (f *Failure) Error() string {
	s := "looking up " + f.Type + " of " + string(f.Name) + ": " + string(f.Reason)
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }
