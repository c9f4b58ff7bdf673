package smtpd

import (
	"log/slog"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
	"candor/internal/server/listen"
	"candor/internal/store/directory"
)

// session is what lives as long as the connection.
type session struct {
	server     *Server
	conn       *listen.Conn
	log        *slog.Logger
	hostname   mail.Domain
	submission bool
	trusted    bool // a relay network of submission

	state     state
	hello     state              // helloed or greeted: where a transaction begins and ends
	name      string             // what EHLO or HELO said
	found     func() mail.Domain // the peer's name, if it has been found by now; nil: nobody looks for it
	account   *directory.Account
	mechanism string // by which account logged in

	transaction transaction

	bad      int // commands in a row
	logins   int // refused
	messages int // accepted
	closing  bool
	line     []byte // scratch for replies
}

// transaction is what RSET drops: one mail transaction (RFC 5321, section 3.3).
type transaction struct {
	mail       smtp.Mail
	peer       mail.Domain // name of the peer, if it was found by MAIL
	recipients []mail.Recipient
	content    *content // of BDAT, between its chunks
}

func newSession(server *Server, c *listen.Conn) *session {
	s := &session{
		server: server, conn: c, state: connected,
		hostname:   c.Listener().Hostname,
		submission: c.Listener().Service == listen.Submission,
	}
	if s.hostname == "" {
		s.hostname = server.Hostname
	}
	s.trusted = s.submission && within(server.RelayNetworks, c.Remote().Addr())
	if server.Name != nil && (!s.submission || s.trusted) {
		s.found = server.Name(c.Remote().Addr())
	}
	s.log = slog.New(server.Log.Handler().WithAttrs(c.Attrs()))
	c.SetWriteTimeout(server.Limits.WriteTimeout)
	return s
}

// mayLogIn reports whether a login may be taken: under TLS, or by an exception.
func (s *session) mayLogIn() bool {
	_, ok := s.conn.Encrypted()
	return ok
}

// resetTransaction drops the transaction and returns to the state before MAIL.
func (s *session) resetTransaction() {
	if c := s.transaction.content; c != nil {
		c.discard()
	}
	s.transaction = transaction{}
	if s.state&(mailing|addressed|chunking) == 0 {
		return
	}
	s.state = s.hello
}

// forget drops everything that was said before TLS (RFC 3207, section 4.2). The counts that protect
// the server stay.
func (s *session) forget() {
	s.resetTransaction()
	s.state, s.name = connected, ""
	s.account, s.mechanism = nil, ""
}

// transport returns the hop's state with who was found at its other end.
func (s *session) transport() mail.Transport {
	t := s.conn.Transport()
	switch {
	case s.account != nil:
		t.Peer = "sasl:" + s.mechanism
	case t.Peer == "":
		t.Peer = "none"
	}
	return t
}
