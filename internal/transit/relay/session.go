package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
	"candor/internal/transit/queue"
)

// security is how a connection is to begin.
type security uint8

const (
	hybrid  security = iota // TLS if offered, with post-quantum groups
	classic                 // TLS if offered, without: some servers choke on the larger hello
	inClear                 // TLS has failed at two attempts
)

// session is one connection to a host.
type session struct {
	relay     *Relay
	host      host
	mta       string // mx1.example.org[192.0.2.1]:25
	conn      net.Conn
	client    *smtp.Client
	transport mail.Transport
}

// fallbackAge is how long ago TLS must have failed before a message may go in clear (specification,
// section 4.4, step 6).
const fallbackAge = 5 * time.Minute

// mayFallBack reports whether TLS failed for the message at an earlier attempt.
func (r *Relay) mayFallBack(m *queue.Message, to []mail.Recipient) bool {
	for _, t := range to {
		last, ok := m.Last(t)
		if !ok || !tlsFailed(last.Transport.Fail) || r.o.Now().Sub(last.At) < fallbackAge {
			return false
		}
	}
	return true
}

// tryAddress connects to an address, with less of TLS each time TLS fails, as far as the rules let
// it. It reports whether the host has answered for the message, so that no other address of it need
// be tried.
func (a *attempt) tryAddress(ctx context.Context, h host, addr netip.AddrPort) bool {
	tlsFail := ""
	for how := hybrid; how <= inClear && a.sessions < maxSessions; how++ {
		if how == inClear && !a.clear {
			return false
		}
		a.sessions++
		s, f := a.relay.connect(ctx, h, addr, how)
		if s == nil {
			a.note(f)
			if !tlsFailed(f.fail) {
				return false
			}
			tlsFail = f.fail
			if f.fail == failRefused && how == hybrid {
				how = classic // other groups would not change its mind
			}
			continue
		}
		if how == inClear {
			s.transport.Fail = tlsFail
		}
		defer s.close()
		return a.transact(ctx, s)
	}
	return false
}

// connect opens a session up to the point where a transaction can begin. Without a session the
// failure says why.
func (r *Relay) connect(ctx context.Context, h host, addr netip.AddrPort, how security) (*session, failure) {
	s := &session{relay: r, host: h, mta: fmt.Sprintf("%s[%s]:%d", h.name, addr.Addr(), addr.Port()), transport: r.transport(mail.Clear)}
	dial, cancel := context.WithTimeout(ctx, r.o.Connect)
	defer cancel()
	r.counts.connections.Add(1)
	conn, err := r.dialer.DialContext(dial, "tcp", addr.String())
	if err != nil {
		r.counts.failedConnections.Add(1)
		f := s.failure(connectError(s.mta, err), "")
		f.unreachable = true
		f.transport = r.transport(mail.Unknown)
		return nil, f
	}
	// A context that ends closes the connection, whatever it waits for.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	s.conn = closer{conn, stop}
	s.client = smtp.NewClient(conn, r.o.Timeouts)
	if f := s.open(ctx, how); f.err != nil {
		s.close()
		return nil, f
	}
	return s, failure{}
}

// closer also ends the watch over the context.
type closer struct {
	net.Conn
	stop func() bool
}

func (c closer) Close() error {
	c.stop()
	return c.Conn.Close()
}

func (s *session) failure(err *mail.Error, fail string) failure {
	f := failure{err: err, fail: fail, mta: s.mta, transport: s.transport}
	f.transport.Fail = fail
	return f
}

// close ends the session politely if that costs nothing.
func (s *session) close() { _ = s.conn.Close() }

// goInClear notes that the session has no TLS.
func (s *session) goInClear() {
	s.relay.counts.clear.Add(1)
	if s.relay.isPrivate(s.conn.LocalAddr()) && s.relay.isPrivate(s.conn.RemoteAddr()) {
		s.transport.Scope = "private"
	}
}

func (r *Relay) isPrivate(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && slices.ContainsFunc(r.o.Private, func(p netip.Prefix) bool { return p.Contains(tcp.AddrPort().Addr().Unmap()) })
}

// open does what comes before a transaction: greeting, EHLO, TLS, EHLO.
func (s *session) open(ctx context.Context, how security) failure {
	reply, err := s.client.Greet()
	if err != nil || reply.Code != 220 {
		return s.early("greeting", reply, err)
	}
	if f := s.hello(); f.err != nil {
		return f
	}
	_, offered := s.client.Extension("STARTTLS")
	switch {
	case how == inClear:
		s.goInClear()
		return failure{}
	case !offered:
		s.transport.Fail = "starttls-not-offered"
		s.goInClear()
		return failure{}
	}
	if f := s.startTLS(ctx, how); f.err != nil {
		s.relay.counts.failedTLS.Add(1)
		return f
	}
	s.relay.counts.tls.Add(1)
	return s.hello()
}

func (s *session) hello() failure {
	reply, err := s.client.Hello(s.relay.o.Hostname)
	if err != nil || reply.Code != 250 {
		return s.early("EHLO", reply, err)
	}
	return failure{}
}

// early is the failure of a session that has not come to a transaction.
func (s *session) early(stage string, reply smtp.Reply, err error) failure {
	f := s.failure(sessionError(stage, s.mta, reply, err), "")
	f.unreachable = true
	if err == nil {
		f.reply = said(reply)
	}
	return f
}

func (s *session) startTLS(ctx context.Context, how security) failure {
	groups := hybridGroups
	if how == classic {
		groups = classicGroups
	}
	var v verification
	reply, err := s.client.StartTLS(ctx, s.relay.config(s.host, groups, &v))
	if err == nil && reply.Code == 220 {
		cs, _ := s.client.TLS()
		s.transport = s.relay.observed(s.host, cs, v)
		return failure{}
	}
	fail := failRefused
	var broken *smtp.HandshakeError
	switch {
	case errors.Is(err, smtp.ErrInjection):
		fail = failInjection
	case errors.As(err, &broken):
		fail = handshakeFail(broken.Err)
	case err != nil:
		fail = ""
	}
	f := s.failure(tlsError(s.mta, fail, reply, err), fail)
	f.transport.Mode = mail.StartTLS
	f.transport.State = mail.Unknown // nothing was sent
	if fail == failRefused {
		f.reply = said(reply)
	}
	return f
}
