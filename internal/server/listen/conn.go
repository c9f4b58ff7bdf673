package listen

import (
	"container/list"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"candor/internal/mail"
)

// Conn is a connection with its buffers, deadlines and transport state. Reading and writing are each
// for one goroutine at a time. Buffers are taken from a pool when there is something to read or
// write and go back while the connection idles, so that a blocked read holds none.
type Conn struct {
	server   *Server
	door     *door
	listener *Listener // the door's
	id       string
	remote   netip.AddrPort
	local    netip.AddrPort
	opened   time.Time

	wire      *wire
	tls       *tls.Conn // nil until TLS is up
	cs        *tls.ConnectionState
	transport mail.Transport
	exception *Exception // of the listener, for this peer
	triedTLS  bool
	excused   time.Duration
	ungreeted bool // the peer speaks before its greeting

	proxy      netip.Addr // that the connection came through; invalid if through none
	tlsAtProxy bool

	demands     *ClientCertificates // nil: the peer is not asked for a certificate
	certificate *x509.Certificate   // of the peer, verified

	reader
	writer
	effort effort

	// authenticated and completed (a command) end the limits for strangers.
	isAuthenticated atomic.Bool
	completed       atomic.Bool
	aborted         atomic.Bool

	// Owned by admission.
	place  *list.Element // among the strangers
	slot   *list.Element // among the half-finished handshakes
	prefix netip.Prefix  // whose strangers are counted together
	exempt bool

	waitMu  sync.Mutex
	waiting bool // for input, in a way that poke may end
}

func newConn(s *Server, d *door, tcp *net.TCPConn) (*Conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &Conn{
		server: s, door: d, listener: &d.Listener, id: s.nextID(), opened: time.Now(),
		local: addrPort(tcp.LocalAddr()), effort: effort{turns: s.turns},
	}
	c.wire = newWire(tcp, raw, &c.effort)
	c.setRemote(addrPort(tcp.RemoteAddr()))
	c.transport.State, c.transport.Mode = mail.Clear, mail.NoTLS
	c.reader.init(s.memory)
	return c, nil
}

// setRemote says whose connection it is, and with that which limits, demands and exception it has.
func (c *Conn) setRemote(a netip.AddrPort) {
	c.remote, c.prefix = a, prefixOf(a.Addr())
	c.exempt = c.door.limits.exempt(a.Addr())
	c.demands = nil
	if c.listener.Clients.asks(a.Addr()) {
		c.demands = c.listener.Clients
	}
	c.transport.Floor, c.transport.FloorSource = c.listener.Floor()
	c.except()
}

func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// Listener is where the connection came in.
func (c *Conn) Listener() *Listener { return c.listener }

// ID names the connection in the log.
func (c *Conn) ID() string { return c.id }

// Exempt reports whether the peer is in one of Limits.Exempt.
func (c *Conn) Exempt() bool { return c.exempt }

// Remote is the peer's address.
func (c *Conn) Remote() netip.AddrPort { return c.remote }

// Local is the address that the peer connected to.
func (c *Conn) Local() netip.AddrPort { return c.local }

func (c *Conn) count() *counters { return c.door.counters }

// Work is the context of what the connection has begun. Unlike the one that a Handler gets it lasts while the
// server drains, and ends when that is over.
func (c *Conn) Work() context.Context { return c.server.work }

// Attrs returns the log keys that name the connection: service and addresses.
func (c *Conn) Attrs() []slog.Attr {
	a := []slog.Attr{
		slog.String("svc", string(c.listener.Service)), slog.String("conn", c.id),
		slog.String("rip", c.remote.Addr().String()), slog.Int("rport", int(c.remote.Port())),
		slog.String("lip", c.local.Addr().String()), slog.Int("lport", int(c.local.Port())),
	}
	if c.proxy.IsValid() {
		a = append(a, slog.String("proxy", c.proxy.String()))
	}
	return a
}

// Transport is the connection's state with its floor.
func (c *Conn) Transport() mail.Transport {
	t := c.transport
	if t.State == mail.Clear && c.door.isPrivate(c.remote.Addr()) && c.door.isPrivate(c.local.Addr()) {
		t.Scope = "private"
	}
	return t
}

func (d *door) isPrivate(a netip.Addr) bool {
	return slices.ContainsFunc(d.private, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Encrypted is the proof that verifiers of passwords ask for; false while the connection is clear, unless an
// exception lets this peer log in nevertheless.
func (c *Conn) Encrypted() (mail.Encrypted, bool) {
	if c.tlsAtProxy {
		return mail.EncryptedAtProxy(c.proxy), true
	}
	if c.cs != nil && c.transport.State != mail.EncryptedObsolete {
		if e, err := mail.EncryptedBy(*c.cs); err == nil {
			return e, true
		}
	}
	if c.cs == nil && c.allows(ClearAuth) || c.cs != nil && c.allows(TLS10) {
		return mail.EncryptedByException(c.exception.ID), true
	}
	return mail.Encrypted{}, false
}

// Peer is what is known of the other end.
func (c *Conn) Peer() mail.Peer {
	return mail.Peer{Remote: c.remote, Local: c.local, Transport: c.Transport(), TLS: c.cs, Certificate: c.wire.served, ClientCertificate: c.certificate}
}

// CanStartTLS reports whether STARTTLS may be offered now.
func (c *Conn) CanStartTLS() bool {
	return c.listener.Mode.startsTLS() && !c.triedTLS && !c.tlsAtProxy && c.server.tlsFor(c.listener.Service) != nil
}

// Authenticated tells the limits that someone has logged in: the connection no longer counts among
// the strangers, and the time to authenticate no longer runs.
func (c *Conn) Authenticated() {
	c.isAuthenticated.Store(true)
	c.server.admission.leave(c)
}

// Excuse takes the time since began from what counts towards Limits.Authenticate: it was the server that took it, to
// judge a login.
func (c *Conn) Excuse(began time.Time) { c.excused += time.Since(began) }

// Bound notes that the login was bound to this TLS channel (specification, section 3.4): the rank is that of
// authenticated-bound from now on, unless the channel itself is obsolete.
func (c *Conn) Bound() {
	if c.transport.State != mail.EncryptedObsolete {
		c.transport.State = mail.AuthenticatedBound
	}
}

// SetReadTimeout sets how long each wait for input from now on may take: that of ReadLine for a whole
// line, those of Read and Peek for their first octet. Zero means until the limits of the
// listener end it.
func (c *Conn) SetReadTimeout(d time.Duration) { c.reader.timeout = d }

// SetWriteTimeout sets how long each write to the socket from now on may take.
func (c *Conn) SetWriteTimeout(d time.Duration) { c.writer.timeout = d }

// abort closes the socket from another goroutine: reads and writes under way fail.
func (c *Conn) abort() {
	c.aborted.Store(true)
	c.wire.TCPConn.Close()
}

// lingering bounds what close waits for, in time and octets.
const (
	lingering     = time.Second
	lingerOctets  = 256 << 10
	lastWriteTime = 5 * time.Second
)

// close sends what is buffered and ends the connection. Unread input would make the kernel reset the
// connection and take our last reply with it, so it is read off first, for a moment.
func (c *Conn) close() {
	defer c.releaseAll()
	if c.aborted.Load() {
		return
	}
	if c.writer.timeout == 0 || c.writer.timeout > lastWriteTime {
		c.writer.timeout = lastWriteTime
	}
	c.Flush()
	if c.tls != nil {
		c.tls.CloseWrite() // close_notify
	}
	if c.Buffered() > 0 || errors.Is(c.early(), ErrEarlyData) {
		c.linger()
	}
	c.wire.TCPConn.Close()
}

func (c *Conn) linger() {
	c.wire.CloseWrite()
	c.wire.TCPConn.SetReadDeadline(time.Now().Add(lingering))
	scratch := smallBuffers.Get().(*[smallBuffer]byte)
	defer smallBuffers.Put(scratch)
	for total := 0; total < lingerOctets; {
		n, err := c.wire.TCPConn.Read(scratch[:])
		if total += n; err != nil {
			return
		}
	}
}

// observe takes what a completed handshake showed into the transport state. What the client chose
// freely is made fit for logs and header fields.
func (c *Conn) observe(t *tls.Conn, mode mail.TLSMode) {
	cs := t.ConnectionState()
	c.tls, c.cs = t, &cs
	c.transport.State, c.transport.Mode = mail.EncryptedUnauthenticated, mode
	if obsolete(&cs) {
		c.transport.State = mail.EncryptedObsolete
	}
	c.transport.Observe(cs)
	c.transport.SNI = printable(c.transport.SNI)
	c.identify()
}

// printable keeps at most 255 printable ASCII characters of s; others become "?".
func printable(s string) string {
	return strings.ReplaceAll(printableText(s), " ", "?")
}

// printableText is printable with spaces.
func printableText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 255)])
}

func (c *Conn) String() string { return fmt.Sprintf("%s from %s", c.listener.Name, c.remote) }
