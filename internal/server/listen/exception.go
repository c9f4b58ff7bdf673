package listen

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"candor/internal/mail"
)

// Allow is what an exception allows.
type Allow string

// What exceptions allow.
const (
	ClearAuth    Allow = "clear-auth"    // logins without TLS, and what follows them
	ClearSession Allow = "clear-session" // without TLS, what needs no login
	TLS10        Allow = "tls1.0"        // TLS from 1.0 on
)

// Exception is an insecure flag: what a listener allows to some networks beyond its mode (specification, section
// 2.3). After its end they are not served there at all, and connections that are open then are closed.
type Exception struct {
	mail.Exception
	Networks []netip.Prefix
	Allow    Allow
}

// Floor is the least state that the exception accepts.
func (e *Exception) Floor() mail.TransportState {
	if e.Allow == TLS10 {
		return mail.EncryptedObsolete
	}
	return mail.Clear
}

// exceptionFor returns the listener's exception for a peer; nil: there is none.
func (l *Listener) exceptionFor(peer netip.Addr) *Exception {
	for i := range l.Exceptions {
		if within(l.Exceptions[i].Networks, peer) {
			return &l.Exceptions[i]
		}
	}
	return nil
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// except gives the connection its exception, and the floor that goes with it.
func (c *Conn) except() {
	c.exception = c.listener.exceptionFor(c.remote.Addr())
	if c.exception == nil {
		return
	}
	c.transport.Floor = min(c.transport.Floor, c.exception.Floor())
	c.transport.FloorSource = mail.EncryptedByException(c.exception.ID).String()
}

// shut reports whether the listener is closed to the peer, and tells it so where it expects a greeting.
func (c *Conn) shut(now time.Time) bool {
	var why string
	switch {
	case c.exception != nil && !c.exception.Holds(now):
		why = "the exception for it has ended"
	case c.exception == nil && c.listener.ExceptionsOnly:
		why = "it has no exception"
	default:
		return false
	}
	c.count().refused.Add(1)
	c.logTLS(slog.LevelWarn, "connection refused", slog.String("tls.floor_source", c.transport.FloorSource), slog.String("reason", why))
	if c.listener.Mode != Implicit {
		c.WriteString(c.listener.shutWords(why))
	}
	return true
}

// shutWords say why the listener is closed to a peer, and where its program finds another.
func (l *Listener) shutWords(why string) string {
	text := "Not open to your network: " + why
	if l.Service.authenticates() {
		text += fmt.Sprintf(". Set connection security to SSL/TLS, port %d", implicitPorts[l.Service])
	}
	return l.lastWords(text)
}

// closeAtEnd closes the connection at the moment when its exception ends, which a change of the listener may bring nearer,
// unless stop is called before.
func (c *Conn) closeAtEnd() (stop func()) {
	s, source := c.server, c.transport.FloorSource
	end := time.AfterFunc(time.Until(c.exception.Until), func() {
		c.logTLS(slog.LevelWarn, "connection closed", slog.String("tls.floor_source", source), slog.String("reason", "the exception for it has ended"))
		c.abort()
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.excepted[c] = end
	s.shorten(c, end) // the listener may have changed since the connection came
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.excepted, c)
		end.Stop()
	}
}

// shorten brings the end of a connection forward to that of its exception by the listener as it is now: to this moment if
// the exception is gone. One that was prolonged is for those who come anew. mu is held.
func (s *Server) shorten(c *Conn, end *time.Timer) {
	until := time.Time{}
	for _, d := range s.doors {
		if d.Name != c.listener.Name || d.Service != c.listener.Service {
			continue
		}
		if e := d.exceptionFor(c.remote.Addr()); e != nil && e.ID == c.exception.ID && e.Allow == c.exception.Allow {
			until = e.Until
		}
	}
	if until.Before(c.exception.Until) {
		end.Reset(time.Until(until))
	}
}

// allows reports whether the connection has an exception that allows so much now.
func (c *Conn) allows(a Allow) bool {
	return c.exception != nil && c.exception.Allow == a && c.exception.Holds(time.Now())
}

// UnderTLS reports whether TLS is up, here or at a proxy that is trusted to say so.
func (c *Conn) UnderTLS() bool { return c.cs != nil || c.tlsAtProxy }

// NeedsTLS reports whether the listener demands TLS that has not begun: nothing but what leads to it is to be answered.
func (c *Conn) NeedsTLS() bool {
	demanded := c.listener.Service.authenticates() || c.listener.Mode == Required
	return demanded && !c.UnderTLS() && !c.allows(ClearAuth) && !c.allows(ClearSession)
}

// reliedOnException reports whether the connection did what only its exception allowed.
func (c *Conn) reliedOnException() bool {
	switch {
	case c.exception == nil || !c.completed.Load():
		return false
	case c.exception.Allow == TLS10:
		return c.transport.State == mail.EncryptedObsolete
	}
	return !c.UnderTLS()
}
