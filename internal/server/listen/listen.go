// Package listen is the base of the doors: sockets, certificates, the TLS policy of each listener,
// connection limits and draining. What it hands to a server is a Conn, which knows its transport state.
//
// A Conn never mixes what came in clear with what came under TLS: StartTLS refuses early octets and
// destroys the reader before it shakes hands (specification, section 2.8).
package listen

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"candor/internal/mail"
)

// Mode is a listener's TLS mode (specification, section 2.1). The zero value is no mode.
type Mode uint8

// The modes.
const (
	NoMode        Mode = iota
	Implicit           // TLS from the first byte
	Required           // STARTTLS offered, everything else refused until it succeeded
	Opportunistic      // STARTTLS offered, not demanded
	None               // TLS not offered
)

var modeNames = [...]string{NoMode: "", Implicit: "implicit", Required: "required", Opportunistic: "opportunistic", None: "none"}

func (m Mode) String() string { return modeNames[m] }

// MarshalText writes the mode's word.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads one of the four words. There is no "yes", "on", "auto" or "optional".
func (m *Mode) UnmarshalText(text []byte) error {
	for i, name := range modeNames {
		if i != int(NoMode) && name == string(text) {
			*m = Mode(i)
			return nil
		}
	}
	return mail.Errorf(mail.Syntax, "%q is not a TLS mode: write %s", text, strings.Join(modeNames[1:], ", "))
}

// startsTLS reports whether the mode offers STARTTLS.
func (m Mode) startsTLS() bool { return m == Required || m == Opportunistic }

// Service is what a listener serves.
type Service string

// The services.
const (
	SMTP       Service = "smtp"
	Submission Service = "submission"
	IMAP       Service = "imap"
	POP3       Service = "pop3"
)

// authenticates reports whether the service's clients log in. SMTP as MX never lets them.
func (s Service) authenticates() bool { return s != SMTP }

// Listener is one address with its policy.
type Listener struct {
	Name     string // such as "imap:143", for logs and `candor listener`
	Service  Service
	Address  string // host:port
	Mode     Mode
	Hostname mail.Domain
	Clients  *ClientCertificates // nil: clients are not asked for certificates
	Proxies  *Proxies            // nil: clients connect directly
	// Exceptions are for networks that do not overlap. ExceptionsOnly shuts the listener to all others.
	Exceptions     []Exception
	ExceptionsOnly bool
}

// Floor is the least state that the listener accepts for its purpose, and who demands it.
func (l *Listener) Floor() (state mail.TransportState, source string) {
	switch {
	case l.Mode == Implicit || l.Mode == Required:
		return mail.EncryptedUnauthenticated, "listener"
	case l.Service == SMTP && l.Mode == Opportunistic:
		return mail.Clear, "public-mx"
	}
	return mail.Clear, "listener"
}

// Handler serves one connection until it ends. The Conn is closed for it afterwards.
type Handler func(ctx context.Context, c *Conn)

// Options configures a Server.
type Options struct {
	Listeners    []Listener
	Sockets      *Sockets      // of the listeners; nil: New opens them
	Certificates *Certificates // nil: TLS cannot be offered
	Handlers     map[Service]Handler
	Limits       Limits
	Private      []netip.Prefix // networks that are all ours (specification, TS-1.6)
	// RefuseLogins tells whether those from an address are refused at a service, at its greeting; nil: nobody's are. It is
	// not asked about exempt addresses.
	RefuseLogins func(Service, netip.Addr) bool
	Memory       *Budget // for what peers can make grow; nil: no limit
	Uses         *Uses   // of exceptions; nil: they are not counted
	// WrongSettings remembers programs with wrong settings; nil: nobody does.
	WrongSettings *WrongSettings
	Log           *slog.Logger // nil: slog.Default
}

// Limits are those of the specification, section 2.10, that concern connections. Zero means the default.
type Limits struct {
	FirstByte, Handshake time.Duration
	// PeekBeforeGreeting is how long a listener that begins in clear waits, before its greeting, for a peer that
	// speaks first and thereby shows that it is in the wrong place; usually 0.
	PeekBeforeGreeting  time.Duration
	Unauthenticated     int // connections per /32 or /64 of login ports; port 25 has 50
	UnauthenticatedSMTP int
	LoginPorts, Port25  int // in all, not counting those that have logged in
	Handshakes          int // half-finished, in all
	// HandshakesPerMinute from one /32 or /64; more are delayed.
	HandshakesPerMinute int
	// ContentRate is the least rate at which content may come, in octets a second.
	ContentRate int
	// Authenticate bounds the time until someone has logged in, on services where one does;
	// FirstCommand the time until the first command on the others.
	Authenticate, FirstCommand time.Duration
	// Exempt networks have no limits and no delays per address, nor those that doors set per account.
	Exempt []netip.Prefix
}

// defaults are the values of the specification, section 2.10.
var defaults = Limits{
	FirstByte: 20 * time.Second, Handshake: 30 * time.Second,
	Unauthenticated: 20, UnauthenticatedSMTP: 50, LoginPorts: 2000, Port25: 1000,
	Handshakes: 500, HandshakesPerMinute: 60, ContentRate: 128,
	Authenticate: 180 * time.Second, FirstCommand: 60 * time.Second,
}

func (l Limits) withDefaults() Limits {
	l.FirstByte = cmp.Or(l.FirstByte, defaults.FirstByte)
	l.Handshake = cmp.Or(l.Handshake, defaults.Handshake)
	l.Unauthenticated = cmp.Or(l.Unauthenticated, defaults.Unauthenticated)
	l.UnauthenticatedSMTP = cmp.Or(l.UnauthenticatedSMTP, defaults.UnauthenticatedSMTP)
	l.LoginPorts = cmp.Or(l.LoginPorts, defaults.LoginPorts)
	l.Port25 = cmp.Or(l.Port25, defaults.Port25)
	l.Handshakes = cmp.Or(l.Handshakes, defaults.Handshakes)
	l.HandshakesPerMinute = cmp.Or(l.HandshakesPerMinute, defaults.HandshakesPerMinute)
	l.ContentRate = cmp.Or(l.ContentRate, defaults.ContentRate)
	l.Authenticate = cmp.Or(l.Authenticate, defaults.Authenticate)
	l.FirstCommand = cmp.Or(l.FirstCommand, defaults.FirstCommand)
	return l
}

var _ fmt.Stringer = NoMode
