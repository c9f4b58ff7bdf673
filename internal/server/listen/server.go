package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Server accepts connections.
type Server struct {
	doors     []door
	limits    Limits
	log       *slog.Logger
	admission *admission
	tls       map[Service]*serviceTLS // empty without certificates

	serving  context.Context // of Serve; handlers get it
	handlers sync.WaitGroup
	ids      atomic.Uint64

	mu    sync.Mutex
	conns map[*Conn]struct{}
}

// door is a listener with its socket and what serves it.
type door struct {
	Listener
	socket   *net.TCPListener
	handler  Handler
	counters counters
}

// New opens the sockets; Serve accepts on them until ctx ends, then drains: handlers see their
// context end, and after grace the connections are closed.
//
// Which mode a service may have is for the reader of the configuration to check (specification,
// section 2.2). Errors: an explanation for an address that cannot be had.
func New(o Options) (*Server, error) {
	s := &Server{
		doors: make([]door, len(o.Listeners)), limits: o.Limits.withDefaults(), log: o.Log,
		tls: map[Service]*serviceTLS{}, conns: map[*Conn]struct{}{},
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.admission = newAdmission(&s.limits)
	s.ids.Store(uint64(time.Now().UnixMilli()) << 20)
	for i, l := range o.Listeners {
		if o.Certificates != nil && s.tls[l.Service] == nil {
			s.tls[l.Service] = newServiceTLS(l.Service, o.Certificates)
		}
		if err := s.doors[i].open(l, o.Handlers[l.Service]); err != nil {
			s.closeSockets()
			return nil, err
		}
	}
	return s, nil
}

func (d *door) open(l Listener, h Handler) (err error) {
	switch {
	case l.Mode == NoMode:
		return fmt.Errorf("listener %s has no TLS mode", l.Name)
	case h == nil:
		return fmt.Errorf("listener %s: nothing serves %s", l.Name, l.Service)
	}
	d.Listener, d.handler = l, h
	d.socket, err = Socket(l.Name, l.Address)
	return err
}

// keepAlive finds dead peers without waking sleeping telephones every few seconds.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Minute, Interval: time.Minute, Count: 5}

// Socket opens the socket of listener name at address, host:port. No host and "[::]" take IPv4 and
// IPv6, "0.0.0.0" IPv4 alone.
//
// Errors: an explanation for an address that cannot be had.
func Socket(name, address string) (*net.TCPListener, error) {
	c := net.ListenConfig{KeepAliveConfig: keepAlive}
	c.SetMultipathTCP(false) // plain TCP sockets are what the options below and peers know
	host, port, _ := net.SplitHostPort(address)
	network := "tcp"
	if host == "0.0.0.0" {
		network = "tcp4"
	}
	socket, err := c.Listen(context.Background(), network, address)
	if err == nil {
		return socket.(*net.TCPListener), nil
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %s is in use; is another mail server running?", port)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("port %s may not be opened; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE", port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("address %s of listener %s is not of this machine", host, name)
	}
	return nil, fmt.Errorf("listener %s: %w", name, err)
}

func (s *Server) closeSockets() {
	for i := range s.doors {
		if s.doors[i].socket != nil {
			s.doors[i].socket.Close()
		}
	}
}

// Addrs returns the bound address of each listener, in their order.
func (s *Server) Addrs() []net.Addr {
	all := make([]net.Addr, len(s.doors))
	for i := range s.doors {
		all[i] = s.doors[i].socket.Addr()
	}
	return all
}

// Listeners returns the listeners, with the ports that were bound.
func (s *Server) Listeners() []Listener {
	all := make([]Listener, len(s.doors))
	for i := range s.doors {
		all[i] = s.doors[i].Listener
		all[i].Address = s.doors[i].socket.Addr().String()
	}
	return all
}

// tlsFor returns the TLS side of a service; nil when there is no certificate.
func (s *Server) tlsFor(service Service) *serviceTLS { return s.tls[service] }

// nextID names a connection; names rise, also over restarts.
func (s *Server) nextID() string { return strconv.FormatUint(s.ids.Add(1), 36) }

// Serve runs until ctx ends and every handler has returned. It calls ready once every listener
// accepts. It may be called once.
func (s *Server) Serve(ctx context.Context, grace time.Duration, ready func()) error {
	s.serving = ctx
	var accepting sync.WaitGroup
	for i := range s.doors {
		accepting.Go(func() { s.accept(ctx, &s.doors[i]) })
	}
	if ready != nil {
		ready()
	}
	<-ctx.Done()
	s.closeSockets()
	accepting.Wait()
	s.drain(grace)
	return nil
}

// drain waits for the handlers: those that wait for input are woken, and after grace the rest
// lose their connections.
func (s *Server) drain(grace time.Duration) {
	s.each((*Conn).poke)
	done := make(chan struct{})
	go func() {
		s.handlers.Wait()
		close(done)
	}()
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
		s.each((*Conn).abort)
		<-done
	}
}

func (s *Server) each(f func(*Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		f(c)
	}
}

// accept takes connections until the socket is closed. When the process is out of files it waits a
// little, so that connections can end.
func (s *Server) accept(ctx context.Context, d *door) {
	const shortest, longest = 5 * time.Millisecond, time.Second
	backoff := shortest
	for {
		tcp, err := d.socket.AcceptTCP()
		if err == nil {
			backoff = shortest
			s.admit(ctx, d, tcp)
			continue
		}
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		s.log.Error("accepting", "listener", d.Name, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
			backoff = min(2*backoff, longest)
		}
	}
}

// admit begins to serve a connection within the limits.
func (s *Server) admit(ctx context.Context, d *door, tcp *net.TCPConn) {
	c, err := newConn(s, d, tcp)
	if err != nil { // the peer has gone already
		tcp.Close()
		return
	}
	d.counters.accepted.Add(1)
	if !s.admission.admit(c) {
		d.counters.refused.Add(1)
		c.refuse()
		return
	}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	d.counters.open.Add(1)
	s.handlers.Go(func() { s.serve(ctx, c) })
}

// refuse ends a connection that is one too many from its network. Under TLS there is no telling why.
func (c *Conn) refuse() {
	c.logTLS(slog.LevelDebug, "connection refused", slog.String("reason", "too many from this network"))
	if c.listener.Mode != Implicit {
		c.writer.timeout = 100 * time.Millisecond // an empty socket takes a line at once
		c.WriteString(c.listener.tooMany())
		c.Flush()
	}
	c.wire.TCPConn.Close()
}

// serve runs the handler, after the handshake on an implicit port.
func (s *Server) serve(ctx context.Context, c *Conn) {
	defer s.ended(c)
	defer c.close()
	if c.listener.Mode == Implicit && c.implicit(ctx) != nil {
		return
	}
	c.door.handler(ctx, c)
}

func (s *Server) ended(c *Conn) {
	s.admission.leave(c)
	c.count().open.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
