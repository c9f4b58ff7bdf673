package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Place is where a listener listens.
type Place struct{ Name, Address string }

// key tells whether two places share a socket. No host means the same as "[::]"; a port that the system
// chooses is one listener's own.
func (p Place) key() string {
	host, port, _ := net.SplitHostPort(p.Address)
	if host == "" {
		host = "::"
	}
	key := net.JoinHostPort(host, port)
	if port == "0" {
		key += " " + p.Name
	}
	return key
}

// Sockets are the listening sockets of a server, those of its doors and of HTTP. They outlive a change
// of what is served at them.
type Sockets struct{ open map[string]*socket }

// socket is one of Sockets.
type socket struct {
	*net.TCPListener
	name      string // of the listener that it was opened for
	inherited bool   // from a service manager, which keeps it too
}

// OpenSockets opens a socket at each place. No host and "[::]" take IPv4 and IPv6, "0.0.0.0" IPv4 alone.
// Files are sockets that a service manager has opened already; they are consumed.
//
// Errors: an explanation for an address that cannot be had, and for a file that belongs to no place.
func OpenSockets(places []Place, files []*os.File) (*Sockets, error) {
	inherited, err := inherit(places, files)
	if err != nil {
		return nil, err
	}
	s, err := inherited.Change(places)
	if err != nil {
		inherited.Close()
	}
	return s, err
}

// inherit finds the places that the sockets of a service manager belong to.
func inherit(places []Place, files []*os.File) (*Sockets, error) {
	s := &Sockets{open: map[string]*socket{}}
	for _, f := range files {
		l, err := net.FileListener(f)
		f.Close()
		tcp, ok := l.(*net.TCPListener)
		if err != nil || !ok {
			s.Close()
			return nil, fmt.Errorf("the socket %s from the service manager is no listening TCP socket: use ListenStream=PORT in its .socket unit", f.Name())
		}
		p, err := placeOf(places, tcp.Addr().String(), f.Name())
		if err != nil {
			tcp.Close()
			s.Close()
			return nil, err
		}
		s.open[p.key()] = &socket{tcp, p.Name, true}
	}
	return s, nil
}

func placeOf(places []Place, address, unit string) (Place, error) {
	want := Place{Address: address}.key()
	for _, p := range places {
		if p.key() == want {
			return p, nil
		}
	}
	return Place{}, fmt.Errorf("the service manager passes a socket at %s (%s), where no listener is: add a [[listener]] with address = %q, or take the address out of the .socket unit", address, unit, address)
}

// Change returns the sockets at other places: those of s where it has them, and new ones. The others of s stay
// open until CloseLeft.
//
// Errors: as OpenSockets, with s unchanged; and for a place left whose socket a service manager keeps.
func (s *Sockets) Change(places []Place) (*Sockets, error) {
	next := &Sockets{open: map[string]*socket{}}
	var missing []Place
	for _, p := range places {
		if have := s.open[p.key()]; have != nil {
			next.open[p.key()] = have
		} else {
			missing = append(missing, p)
		}
	}
	left := s.left(next)
	for _, l := range left {
		if l.inherited {
			return nil, fmt.Errorf("the socket of listener %s is the service manager's: take it out of the .socket unit too, and restart", l.name)
		}
	}
	for _, p := range missing {
		tcp, err := open(p, left)
		if err != nil {
			next.CloseLeft(s)
			return nil, err
		}
		next.open[p.key()] = &socket{tcp, p.Name, false}
	}
	return next, nil
}

// left are the sockets that next has not taken over.
func (s *Sockets) left(next *Sockets) (all []*socket) {
	for key, l := range s.open {
		if next.open[key] != l {
			all = append(all, l)
		}
	}
	return all
}

// CloseLeft closes the sockets that kept does not hold.
func (s *Sockets) CloseLeft(kept *Sockets) {
	for _, l := range s.left(kept) {
		l.TCPListener.Close()
	}
}

// Close closes all.
func (s *Sockets) Close() { s.CloseLeft(&Sockets{}) }

// at returns the socket of a listener; nil if it has none.
func (s *Sockets) at(p Place) *socket { return s.open[p.key()] }

// keepAlive finds dead peers without waking sleeping telephones every few seconds.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Minute, Interval: time.Minute, Count: 5}

// open opens the socket of a place. Sockets that are about to be left may be in its way, such as
// 192.0.2.1:143 in that of ":143": for the moment they share the port.
func open(p Place, left []*socket) (*net.TCPListener, error) {
	tcp, err := bind(p, false)
	if err == nil || len(left) == 0 || !errors.Is(err, syscall.EADDRINUSE) {
		return tcp, explain(p, err)
	}
	for _, l := range left {
		share(l.TCPListener, true)
		defer share(l.TCPListener, false)
	}
	if tcp, err = bind(p, true); err == nil {
		share(tcp, false)
	}
	return tcp, explain(p, err)
}

func bind(p Place, shared bool) (*net.TCPListener, error) {
	c := net.ListenConfig{KeepAliveConfig: keepAlive}
	c.SetMultipathTCP(false) // plain TCP sockets are what the options of a Conn and peers know
	if shared {
		c.Control = func(_, _ string, raw syscall.RawConn) error { return reusePort(raw, true) }
	}
	network := "tcp"
	if host, _, _ := net.SplitHostPort(p.Address); host == "0.0.0.0" {
		network = "tcp4"
	}
	l, err := c.Listen(context.Background(), network, p.Address)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// share lets another socket of this user take the same port, or ends that. A failure shows when it is tried.
func share(l *net.TCPListener, on bool) {
	if raw, err := l.SyscallConn(); err == nil {
		_ = reusePort(raw, on)
	}
}

func reusePort(raw syscall.RawConn, on bool) (err error) {
	value := 0
	if on {
		value = 1
	}
	controlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, value) })
	return errors.Join(controlErr, err)
}

func explain(p Place, err error) error {
	host, port, _ := net.SplitHostPort(p.Address)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %s is in use; is another mail server running?", port)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("port %s may not be opened; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE", port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("address %s of listener %s is not of this machine", host, p.Name)
	}
	return fmt.Errorf("listener %s: %w", p.Name, err)
}

// lease accepts at a socket until it is closed; the socket stays open for the next.
type lease struct {
	*socket
	ended atomic.Bool
}

func newLease(s *socket) *lease {
	s.SetDeadline(time.Time{})
	return &lease{socket: s}
}

// AcceptTCP returns net.ErrClosed once the lease has ended.
func (l *lease) AcceptTCP() (*net.TCPConn, error) {
	c, err := l.socket.AcceptTCP()
	switch {
	case err != nil && l.ended.Load():
		return nil, net.ErrClosed
	case err == nil && l.inherited:
		_ = c.SetKeepAliveConfig(keepAlive) // a peer that has gone already shows at the first read
	}
	return c, err
}

// Accept implements net.Listener.
func (l *lease) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends accepting. Whoever accepted must have returned before another lease begins.
func (l *lease) Close() error {
	l.ended.Store(true)
	return l.SetDeadline(past)
}
