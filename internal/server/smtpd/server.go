// Package smtpd is Candor's SMTP server: the MX on port 25, and the submission service on ports 587 and
// 465, which differ only in how TLS begins (RFC 5321, RFC 6409, RFC 8314).
//
// A message streams through once: its header is judged and mended in memory, its body goes straight
// into the queue's blob. "250" after the content is said only when queue.Put has made it durable.
package smtpd

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"candor/internal/mail"
	"candor/internal/server/listen"
	"candor/internal/store/directory"
	"candor/internal/transit/queue"
)

// Options configures a Server.
type Options struct {
	Hostname  mail.Domain // for listeners without a name of their own
	Directory *directory.Directory
	Queue     *queue.Queue
	Log       *slog.Logger     // nil: slog.Default
	Now       func() time.Time // nil: time.Now

	// Clients are the networks that may connect to submission; empty: all. RelayNetworks may submit
	// without a login, though not without TLS.
	Clients, RelayNetworks []netip.Prefix

	// NormaliseBare makes each bare CR and LF in a message of another server a CRLF; else it is refused.
	NormaliseBare bool

	// Room returns why mail of so many octets (0: not known) would not be delivered to an account; nil: there
	// is always room.
	Room func(ctx context.Context, id mail.AccountID, octets int64) error

	// Name begins to look up the name of an address; what it returns says which one has been found by then. nil: peers
	// have no names.
	Name func(netip.Addr) (found func() mail.Domain)
	// RevealClientIP lets the Received field of what an account sends tell its address.
	RevealClientIP bool

	Memory *listen.Budget // for what peers can make grow; nil: no limit

	HelpURL string // where a user learns how to set up a program; empty: the host's own page
	Limits  Limits
}

// Limits are those of the specification, section 2.10. Zero means the default.
type Limits struct {
	MessageSize int64 // octets; 50 MiB
	Header      int   // octets; 256 KiB
	Recipients  int   // 1000
	Hops        int   // Received fields; 100
	Depth       int   // of MIME nesting; 100
	Parts       int   // of MIME; 10,000. Deeper or more: kept, but shown as one part

	CommandLine int // octets; 2048
	AuthLine    int // octets; 12288 (RFC 4954, section 4)

	BadCommands            int // in a row; 20
	BadCommandsBeforeLogin int // 10, on submission
	Logins                 int // tries; 3

	CommandTimeout time.Duration // 5 min
	DataTimeout    time.Duration // between pieces of content; 3 min
	WriteTimeout   time.Duration // 5 min
	StoreTimeout   time.Duration // from the end of content to its reply; 10 min
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.MessageSize, 50<<20)
	setDefault(&l.Header, 256<<10)
	setDefault(&l.Recipients, 1000)
	setDefault(&l.Hops, 100)
	setDefault(&l.Depth, 100)
	setDefault(&l.Parts, 10_000)
	setDefault(&l.CommandLine, 2048)
	setDefault(&l.AuthLine, 12288)
	setDefault(&l.BadCommands, 20)
	setDefault(&l.BadCommandsBeforeLogin, 10)
	setDefault(&l.Logins, 3)
	setDefault(&l.CommandTimeout, 5*time.Minute)
	setDefault(&l.DataTimeout, 3*time.Minute)
	setDefault(&l.WriteTimeout, 5*time.Minute)
	setDefault(&l.StoreTimeout, 10*time.Minute)
	return l
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Server serves the smtp and submission listeners. All of them share one policy.
type Server struct {
	Options
	counters *counters
}

// New returns a Server.
func New(o Options) *Server {
	o.Limits = o.Limits.withDefaults()
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{Options: o, counters: new(counters)}
}

// Renew makes a Server with other options for sessions to come, which counts on where s is.
func (s *Server) Renew(o Options) *Server {
	next := New(o)
	next.counters = s.counters
	return next
}

// Handler returns what serves a connection of either service.
func (s *Server) Handler() listen.Handler {
	return func(ctx context.Context, c *listen.Conn) {
		newSession(s, c).serve(ctx)
	}
}

// helpURL is where the owner of a wrongly set program is sent.
func (s *Server) helpURL() string {
	if s.HelpURL != "" {
		return s.HelpURL
	}
	return "https://" + string(s.Hostname) + "/"
}

// within reports whether a is in one of the networks.
func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
