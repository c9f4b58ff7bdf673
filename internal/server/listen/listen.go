// Package listen is the base of the doors: sockets, certificates, the TLS policy of each listener,
// connection limits and draining. What it hands to a server is a Conn, which knows its transport state.
package listen

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
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

// Service is what a listener serves.
type Service string

// The services.
const (
	SMTP       Service = "smtp"
	Submission Service = "submission"
	IMAP       Service = "imap"
	POP3       Service = "pop3"
)

// Listener is one address with its policy.
type Listener struct {
	Name     string // such as "imap:143", for logs and `candor listener`
	Service  Service
	Address  string // host:port
	Mode     Mode
	Hostname mail.Domain
}

// Handler serves one connection until it ends. The Conn is closed for it afterwards.
type Handler func(ctx context.Context, c *Conn)

// Options configures a Server.
type Options struct {
	Listeners    []Listener
	Certificates *Certificates
	Handlers     map[Service]Handler
	Limits       Limits
	Log          *slog.Logger
}

// Limits are those of the specification, section 2.10, that concern connections. Zero means the default.
type Limits struct {
	FirstByte, Handshake time.Duration
	Unauthenticated      int // connections per /32 or /64 of login ports; port 25 has 50
	UnauthenticatedSMTP  int
	LoginPorts, Port25   int // in all
	Handshakes           int // half-finished, in all
	Exempt               []netip.Prefix
}

// Certificates are the server's certificates, chosen by SNI; the first is the default one.
type Certificates struct{}

// LoadCertificates reads PEM files and refuses what CFG-07 refuses. Warnings are for the operator
// (expired, does not cover hostname).
func LoadCertificates(hostname mail.Domain, pairs []Pair) (c *Certificates, warnings []string, err error) {
	panic("not built yet")
}

// Pair names the PEM files of a certificate with its chain and of its key.
type Pair struct{ Cert, Key string }

// Reload reads the files again; when it returns an error, the certificates in use stay.
func (c *Certificates) Reload() error { panic("not built yet") }

// Server accepts connections.
type Server struct{}

// New opens the sockets; Serve accepts on them until ctx ends, then drains: handlers see their
// context end, and after grace the connections are closed.
func New(o Options) (*Server, error) { panic("not built yet") }

// Serve runs until ctx ends and every handler has returned. It calls ready once every listener accepts.
func (s *Server) Serve(ctx context.Context, grace time.Duration, ready func()) error {
	panic("not built yet")
}

// Addrs returns the bound address of each listener, in their order.
func (s *Server) Addrs() []net.Addr { panic("not built yet") }

// Conn is a connection with its buffers, deadlines and transport state. Reading and writing are each
// for one goroutine at a time. Buffers are taken from a pool when there is something to read or
// write and go back while the connection idles.
type Conn struct{}

// Listener is where the connection came in; ID names it in the log.
func (c *Conn) Listener() *Listener    { panic("not built yet") }
func (c *Conn) ID() string             { panic("not built yet") }
func (c *Conn) Remote() netip.AddrPort { panic("not built yet") }
func (c *Conn) Local() netip.AddrPort  { panic("not built yet") }

// Transport is the connection's state with its floor; Encrypted is the proof that verifiers ask for.
func (c *Conn) Transport() mail.Transport         { panic("not built yet") }
func (c *Conn) Encrypted() (mail.Encrypted, bool) { panic("not built yet") }
func (c *Conn) TLS() (tls.ConnectionState, bool)  { panic("not built yet") }

// CanStartTLS reports whether STARTTLS may be offered now.
func (c *Conn) CanStartTLS() bool { panic("not built yet") }

// Authenticated tells the limits that someone has logged in.
func (c *Conn) Authenticated() { panic("not built yet") }

// SetReadTimeout sets how long each read from now on may wait for its first octet; likewise writes.
func (c *Conn) SetReadTimeout(d time.Duration)  { panic("not built yet") }
func (c *Conn) SetWriteTimeout(d time.Duration) { panic("not built yet") }

// ReadLine returns the next line with its line end, valid until the next read. A line is at most
// limit octets: a longer one is read to its end, dropped, and ErrLineTooLong returned.
func (c *Conn) ReadLine(limit int) ([]byte, error) { panic("not built yet") }

// Read reads content: literals, DATA. Buffered tells how many octets are here already; Peek and
// Discard work on the read buffer (64 KiB at most).
func (c *Conn) Read(p []byte) (int, error) { panic("not built yet") }
func (c *Conn) Peek() ([]byte, error)      { panic("not built yet") } // what is buffered; reads if nothing is
func (c *Conn) Discard(n int)              { panic("not built yet") } // n octets of what Peek showed
func (c *Conn) Buffered() int              { panic("not built yet") }

// Write writes to the buffer; Flush sends it.
func (c *Conn) Write(p []byte) (int, error)       { panic("not built yet") }
func (c *Conn) WriteString(s string) (int, error) { panic("not built yet") }
func (c *Conn) Flush() error                      { panic("not built yet") }

// WaitInput waits until there is something to read, the connection ends, ctx ends or d has passed,
// holding no buffer meanwhile. It may run while another goroutine writes.
func (c *Conn) WaitInput(ctx context.Context, d time.Duration) error { panic("not built yet") }

// StartTLS upgrades the connection (specification, section 2.8). It returns ErrEarlyData, having
// written nothing, when octets follow the command already; else it writes goAhead, destroys the
// reader and shakes hands. After any error the connection is only good for a last reply
// (ErrEarlyData) or for closing.
func (c *Conn) StartTLS(ctx context.Context, goAhead string) error { panic("not built yet") }
