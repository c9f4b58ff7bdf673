// Package pop3d is the POP3 server (RFC 1939, RFC 2449, RFC 2595, RFC 5034). A session holds the
// maildrop alone, sees INBOX as it was at login, and removes what it marked only at QUIT.
package pop3d

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
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
	Log       *slog.Logger // nil: slog.Default
}

// Limits are those of the specification, section 2.10, that concern POP3. Zero means the default.
type Limits struct {
	Idle        time.Duration // without a command; 10 min (RFC 1939, section 3)
	AuthTries   int           // per connection; 3
	BadCommands int           // in a row, once logged in; 20
	StrangerBad int           // in a row, before; 10
	Line        int           // octets of a command; 2048
	AuthLine    int           // octets of AUTH and of the lines that answer its challenges; 12288
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Idle:        cmp.Or(l.Idle, 10*time.Minute),
		AuthTries:   cmp.Or(l.AuthTries, 3),
		BadCommands: cmp.Or(l.BadCommands, 20),
		StrangerBad: cmp.Or(l.StrangerBad, 10),
		Line:        cmp.Or(l.Line, 2048),
		AuthLine:    cmp.Or(l.AuthLine, 12288),
	}
}

// Server serves POP3. It may serve any number of connections at once.
type Server struct {
	Options
	stats *counters
}

// New returns a Server.
func New(o Options) *Server {
	o.Limits = o.Limits.withDefaults()
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Server{Options: o, stats: new(counters)}
}

// Renew makes a Server with other options for sessions to come, which counts on where s is.
func (s *Server) Renew(o Options) *Server {
	next := New(o)
	next.stats = s.stats
	return next
}

// Handler returns the function that serves a connection.
func (s *Server) Handler() listen.Handler {
	return func(ctx context.Context, c *listen.Conn) { newSession(s, c).run(ctx) }
}

// Stats are the server's counters since the start.
type Stats struct {
	Sessions      int64 `json:"sessions"`
	Logins        int64 `json:"logins"`
	LoginFailures int64 `json:"login_failures"`
	// ClearCredentials counts logins that were tried before TLS.
	ClearCredentials int64 `json:"clear_credentials"`
	Retrieved        int64 `json:"retrieved"` // messages
	Removed          int64 `json:"removed"`   // messages
}

type counters struct {
	sessions, logins, loginFailures, clearCredentials, retrieved, removed atomic.Int64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	n := s.stats
	return Stats{
		Sessions: n.sessions.Load(), Logins: n.logins.Load(), LoginFailures: n.loginFailures.Load(),
		ClearCredentials: n.clearCredentials.Load(), Retrieved: n.retrieved.Load(), Removed: n.removed.Load(),
	}
}
