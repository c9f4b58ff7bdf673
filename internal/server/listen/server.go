package listen

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Server accepts connections.
type Server struct {
	log       *slog.Logger
	admission *admission
	memory    *Budget
	turns     *turns
	uses      *Uses
	wrong     *WrongSettings
	work      context.Context // of what a connection has begun: it ends with draining
	cut       context.CancelFunc
	handlers  sync.WaitGroup
	ids       atomic.Uint64

	changing sync.Mutex // held by Change, and by Serve at its beginning and end

	mu        sync.Mutex
	conns     map[*Conn]struct{}
	excepted  map[*Conn]*time.Timer // those that came in by an exception, and their ends
	doors     []*door
	tls       map[Service]*serviceTLS // empty without certificates
	serving   context.Context         // of Serve; handlers get it
	accepting sync.WaitGroup          // those who accept at doors
	accepts   atomic.Int64            // how many they are
}

// door is a listener with its socket and what serves it. A connection keeps the door that it came in by.
type door struct {
	Listener
	limits   *Limits
	refuses  func(Service, netip.Addr) bool // logins; nil: nobody's
	handler  Handler
	private  []netip.Prefix
	lease    *lease
	counters *counters
}

// New makes a server; Serve accepts until its context ends, then drains: handlers see their context end, and
// after grace the connections are closed.
//
// Which mode a service may have is for the reader of the configuration to check (specification,
// section 2.2). Errors: an explanation for an address that cannot be had.
func New(o Options) (*Server, error) {
	own := o.Sockets == nil
	if own {
		var err error
		if o.Sockets, err = OpenSockets(places(o.Listeners), nil); err != nil {
			return nil, err
		}
	}
	s := &Server{log: o.Log, memory: o.Memory, uses: o.Uses, wrong: o.WrongSettings, turns: newTurns(), conns: map[*Conn]struct{}{}, excepted: map[*Conn]*time.Timer{}, tls: map[Service]*serviceTLS{}}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.work, s.cut = context.WithCancel(context.Background())
	s.admission = newAdmission(&Limits{})
	s.ids.Store(uint64(time.Now().UnixMilli()) << 20)
	if err := s.Change(o); err != nil {
		if own {
			o.Sockets.Close()
		}
		return nil, err
	}
	return s, nil
}

func places(listeners []Listener) []Place {
	all := make([]Place, len(listeners))
	for i, l := range listeners {
		all[i] = Place{l.Name, l.Address}
	}
	return all
}

// Change makes the server serve other listeners, with other handlers and limits, from now on. Connections keep
// the listener, the handler and the limits that they began with, but lose an exception that the listener has no more. The sockets are the caller's: it closes those
// that nobody needs any more.
//
// Errors: a listener that cannot be served; nothing is changed then.
func (s *Server) Change(o Options) error {
	limits := o.Limits.withDefaults()
	doors := make([]*door, len(o.Listeners))
	for i, l := range o.Listeners {
		d, err := newDoor(l, &limits, &o)
		if err != nil {
			return err
		}
		doors[i] = d
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.endLeases()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range doors {
		d.counters = s.countersOf(d)
		d.lease = newLease(o.Sockets.at(Place{d.Name, d.Address}))
		if o.Certificates != nil && s.tls[d.Service] == nil {
			s.tls[d.Service] = newServiceTLS(d.Service, o.Certificates)
		}
	}
	for service, t := range s.tls {
		t.accept(clientSums(doors, service))
	}
	s.doors = doors
	for c, end := range s.excepted {
		s.shorten(c, end)
	}
	s.admission.setLimits(&limits)
	s.beginAccepting()
	return nil
}

func newDoor(l Listener, limits *Limits, o *Options) (*door, error) {
	d := &door{Listener: l, limits: limits, refuses: o.RefuseLogins, handler: o.Handlers[l.Service], private: o.Private}
	switch {
	case l.Mode == NoMode:
		return nil, fmt.Errorf("listener %s has no TLS mode", l.Name)
	case d.handler == nil:
		return nil, fmt.Errorf("listener %s: nothing serves %s", l.Name, l.Service)
	case o.Sockets.at(Place{l.Name, l.Address}) == nil:
		return nil, fmt.Errorf("listener %s has no socket", l.Name)
	}
	return d, nil
}

// clientSums tells what the listeners of a service accept of clients' certificates.
func clientSums(doors []*door, service Service) (sums [][sha256.Size]byte) {
	for _, d := range doors {
		if d.Service == service && d.Clients != nil {
			sums = append(sums, d.Clients.sum())
		}
	}
	return sums
}

// countersOf lets a listener of the same name and service count on. mu is held.
func (s *Server) countersOf(d *door) *counters {
	for _, before := range s.doors {
		if before.Name == d.Name && before.Service == d.Service {
			return before.counters
		}
	}
	return new(counters)
}

// beginAccepting accepts at every door, while the server serves. mu is held.
func (s *Server) beginAccepting() {
	ctx := s.serving
	if ctx == nil || ctx.Err() != nil {
		return
	}
	s.accepts.Store(int64(len(s.doors)))
	for _, d := range s.doors {
		s.accepting.Go(func() {
			defer s.accepts.Add(-1)
			s.accept(ctx, d)
		})
	}
}

// endLeases ends accepting and waits for it. changing is held.
func (s *Server) endLeases() {
	s.mu.Lock()
	doors := s.doors
	s.mu.Unlock()
	for _, d := range doors {
		d.lease.Close()
	}
	s.accepting.Wait()
}

// Healthy reports a listener that does not accept although it should. It waits for what accepting waits for.
func (s *Server) Healthy() error {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.admission.mu.Lock()
	defer s.admission.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving == nil || s.serving.Err() != nil {
		return nil
	}
	if n := s.accepts.Load(); n != int64(len(s.doors)) {
		return fmt.Errorf("%d of %d listeners accept", n, len(s.doors))
	}
	return nil
}

// Addrs returns the bound address of each listener, in their order.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]net.Addr, len(s.doors))
	for i, d := range s.doors {
		all[i] = d.lease.Addr()
	}
	return all
}

// Listeners returns the listeners, with the ports that were bound.
func (s *Server) Listeners() []Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Listener, len(s.doors))
	for i, d := range s.doors {
		all[i] = d.Listener
		all[i].Address = d.lease.Addr().String()
	}
	return all
}

// tlsFor returns the TLS side of a service; nil when there is no certificate.
func (s *Server) tlsFor(service Service) *serviceTLS {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tls[service]
}

// nextID names a connection; names rise, also over restarts.
func (s *Server) nextID() string { return strconv.FormatUint(s.ids.Add(1), 36) }

// Serve runs until ctx ends and every handler has returned; what connections have begun may go on for grace
// (0: without limit), or until Cut. It calls ready once every listener accepts. It may be called once.
func (s *Server) Serve(ctx context.Context, grace time.Duration, ready func()) error {
	s.begin(ctx)
	if ready != nil {
		ready()
	}
	<-ctx.Done()
	s.closeSockets()
	s.drain(grace)
	return nil
}

func (s *Server) begin(ctx context.Context) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving = ctx
	s.beginAccepting()
}

// closeSockets ends accepting: peers are refused from now on.
func (s *Server) closeSockets() {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.endLeases()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.doors {
		d.lease.TCPListener.Close()
	}
}

// drain waits for the handlers: those that wait for input are woken, and after grace the rest
// lose their connections.
func (s *Server) drain(grace time.Duration) {
	s.each((*Conn).poke)
	if grace > 0 {
		defer time.AfterFunc(grace, s.Cut).Stop()
	}
	s.handlers.Wait()
	s.cut()
}

// Cut ends draining: every connection is closed, and what it has begun is broken off.
func (s *Server) Cut() {
	s.cut()
	s.each((*Conn).abort)
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
		tcp, err := d.lease.AcceptTCP()
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
		case <-time.After(backoff): // bounds how long Change may have to wait
			backoff = min(2*backoff, longest)
		}
	}
}

// admit begins to serve a connection within the limits; one that comes through a proxy is admitted once it is known whose
// it is.
func (s *Server) admit(ctx context.Context, d *door, tcp *net.TCPConn) {
	c, err := newConn(s, d, tcp)
	if err != nil { // the peer has gone already
		tcp.Close()
		return
	}
	d.counters.accepted.Add(1)
	switch {
	case !d.Proxies.admits(c.remote.Addr()):
		d.counters.refused.Add(1)
		c.logTLS(slog.LevelDebug, "connection refused", slog.String("reason", "not from a proxy"))
		tcp.Close()
		return
	case d.Proxies == nil && !s.admission.admit(c):
		c.refuse()
		tcp.Close()
		return
	}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	d.counters.open.Add(1)
	s.handlers.Go(func() { s.serve(ctx, c) })
}

// refuse tells a peer that it is one too many from its network. Under TLS there is no telling why.
func (c *Conn) refuse() {
	c.count().refused.Add(1)
	c.logTLS(slog.LevelDebug, "connection refused", slog.String("reason", "too many from this network"))
	if c.listener.Mode != Implicit {
		c.writer.timeout = 100 * time.Millisecond // an empty socket takes a line at once
		c.WriteString(c.listener.tooMany())
		c.Flush()
	}
}

// serve runs the handler, after the header of a proxy, and after the handshake on an implicit port.
func (s *Server) serve(ctx context.Context, c *Conn) {
	defer s.ended(c)
	defer c.close()
	if c.listener.Proxies != nil && c.proxied(ctx) != nil {
		return
	}
	if c.shut(time.Now()) {
		return
	}
	if c.exception != nil {
		defer c.closeAtEnd()()
	}
	if c.listener.Mode == Implicit && !c.tlsAtProxy && c.implicit(ctx) != nil {
		return
	}
	if c.listener.Mode != Implicit && c.door.limits.PeekBeforeGreeting > 0 && c.peekFirst(ctx) != nil {
		return
	}
	if c.door.refuses != nil && c.listener.Service.authenticates() && !c.exempt && c.door.refuses(c.listener.Service, c.remote.Addr()) {
		c.refuseLogins()
		return
	}
	c.door.handler(ctx, c)
}

// refuseLogins says in the place of the greeting that nobody may log in from there.
func (c *Conn) refuseLogins() {
	c.count().refused.Add(1)
	c.logTLS(slog.LevelDebug, "connection refused", slog.String("reason", "throttled"))
	c.WriteString(c.listener.tooManyLogins())
	c.Flush()
}

func (s *Server) ended(c *Conn) {
	s.admission.leave(c)
	c.count().open.Add(-1)
	if s.uses != nil && c.reliedOnException() {
		s.uses.Note(c.exception.ID, c.remote.Addr(), time.Now())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
