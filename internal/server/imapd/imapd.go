// Package imapd is the IMAP server: IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051) with the extensions
// that its table of commands announces. It reads no password before the connection is encrypted.
//
// Each connection is one goroutine, which owns its session; while a client idles a second one waits
// for its input. Sessions share nothing but the store, through which they see each other's changes.
package imapd

import (
	"context"
	"log/slog"
	"time"

	"candor/internal/server/listen"
	"candor/internal/store/directory"
	"candor/internal/store/mailbox"
)

// Options configures a Server.
type Options struct {
	Directory *directory.Directory
	Mailboxes *mailbox.Store
	Limits    Limits
	Memory    *listen.Budget // for what clients can make grow; nil: no limit
	Log       *slog.Logger   // nil: slog.Default
}

// Limits are those of the specification, section 2.10, that concern IMAP. Zero means the default.
type Limits struct {
	Message          int64         // octets of an appended message; 50 MiB
	Header           int           // octets of each header that are looked at; 256 KiB
	Depth            int           // of MIME nesting; 100
	Parts            int           // of MIME; 10,000. Deeper or more: kept, but shown as one part
	Idle             time.Duration // without a command, once logged in; 30 min
	AuthTries        int           // per connection; 3
	Connections      int           // logged in to one account; 100
	BadCommands      int           // in a row, once logged in; 20
	StrangerBad      int           // in a row, before; 10
	Line             int           // octets of a line, once logged in; 65,536
	StrangerLine     int           // before; 8,192
	Literals         int64         // octets of a command's literals, once logged in; 65,536
	StrangerLiterals int64         // before; 4,096
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Message, 50<<20)
	setDefault(&l.Header, 256<<10)
	setDefault(&l.Depth, 100)
	setDefault(&l.Parts, 10_000)
	setDefault(&l.Idle, 30*time.Minute)
	setDefault(&l.AuthTries, 3)
	setDefault(&l.Connections, 100)
	setDefault(&l.BadCommands, 20)
	setDefault(&l.StrangerBad, 10)
	setDefault(&l.Line, 65536)
	setDefault(&l.StrangerLine, 8192)
	setDefault(&l.Literals, 65536)
	setDefault(&l.StrangerLiterals, 4096)
	return l
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Server serves IMAP connections.
type Server struct {
	directory *directory.Directory
	mailboxes *mailbox.Store
	limits    Limits
	memory    *listen.Budget
	log       *slog.Logger
	stats     *counters
}

// New returns a Server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Server{
		directory: o.Directory, mailboxes: o.Mailboxes,
		limits: o.Limits.withDefaults(), memory: o.Memory, log: o.Log, stats: new(counters),
	}
}

// Renew makes a Server with other options for sessions to come, which counts on where s is.
func (s *Server) Renew(o Options) *Server {
	next := New(o)
	next.stats = s.stats
	return next
}

// Handle serves one connection until it ends. It is a listen.Handler. When ctx ends the client is
// told BYE as soon as its command under way is done.
func (s *Server) Handle(ctx context.Context, c *listen.Conn) {
	s.stats.connections.Add(1)
	s.stats.open.Add(1)
	defer s.stats.open.Add(-1)
	newSession(s, c).serve(ctx)
}
