package imapd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/server/listen"
)

// lostError is an error after which the connection cannot go on, unlike one of a command.
type lostError struct{ err error }

func (e *lostError) Error() string { return "connection: " + e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// lost marks an error of the connection.
func lost(err error) error {
	if err == nil {
		return nil
	}
	return &lostError{err}
}

func isLost(err error) bool {
	var l *lostError
	return errors.As(err, &l)
}

// understood reports whether err is a mail.Error, which a command is answered with.
func understood(err error) bool {
	var e *mail.Error
	return errors.As(err, &e)
}

// lostUnlessUnderstood ends the session unless the client can go on after err.
func lostUnlessUnderstood(err error) error {
	if understood(err) {
		return err
	}
	return lost(err)
}

// errMailboxGone ends a session whose selected mailbox another one has deleted (RFC 2180, section 3).
var errMailboxGone = errors.New("selected mailbox was deleted")

// errShutdown ends a session that waits when the server shuts down.
var errShutdown = errors.New("server is shutting down")

// end says goodbye as the error that ended the session asks for.
func (s *session) end(err error) {
	switch {
	case errors.Is(err, errShutdown):
		s.bye("Server is shutting down")
	case errors.Is(err, listen.ErrTimeout) && s.account == nil:
		s.bye("Login took too long")
	case errors.Is(err, listen.ErrTimeout):
		s.bye("Idle for too long")
	case errors.Is(err, listen.ErrEarlyData):
		s.bye("Data sent before TLS was ready")
	case errors.Is(err, listen.ErrTooSlow):
		s.bye("Data comes too slowly")
	case errors.Is(err, imap.ErrFlood):
		s.bye("Literal is too long")
	case errors.Is(err, listen.ErrNoMemory):
		s.bye("Out of memory for this; try again later")
	case errors.Is(err, errMailboxGone):
		s.bye("Selected mailbox was deleted")
	default:
		s.goodbye = err.Error()
		return
	}
	s.conn.Flush()
}

// recoverPanic ends the session, and it alone, when a bug shows.
func (s *session) recoverPanic() {
	p := recover()
	if p == nil {
		return
	}
	s.server.stats.panics.Add(1)
	s.log.LogAttrs(context.Background(), slog.LevelError, "panic", append(s.conn.Attrs(),
		slog.String("user", s.user), slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))...)
	s.bye("Internal error")
	s.conn.Flush()
}

// leave gives back what the session holds and logs its end (specification, section 1.3).
func (s *session) leave() {
	s.deselect()
	if s.uncount != nil {
		s.uncount()
	}
	transport := s.transport()
	attrs := []slog.Attr{slog.String("user", s.user), slog.String("reason", s.goodbye)}
	attrs = append(attrs, s.conn.Attrs()...)
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "session end", append(attrs, transport.Attrs()...)...)
}
