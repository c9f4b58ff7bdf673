package pop3d

import (
	"context"
	"errors"

	"candor/internal/mail"
	"candor/internal/server/listen"
)

// stlsNow announces STLS while it may be used.
func (s *session) stlsNow() string {
	if s.conn.UnderTLS() || !s.conn.CanStartTLS() {
		return ""
	}
	return "STLS"
}

// stls begins TLS. All that was learned before is forgotten. RFC 2595, section 4.
func (s *session) stls(ctx context.Context, args arguments) (reply, error) {
	switch {
	case args.none() != nil:
		return reply{}, mail.Errorf(mail.Syntax, "STLS takes no parameter")
	case s.state == transaction:
		return reply{}, mail.Errorf(mail.Sequence, "Not allowed after login")
	case s.conn.UnderTLS():
		return reply{}, mail.Errorf(mail.Sequence, "TLS already active")
	}
	err := s.conn.StartTLS(ctx, "+OK Begin TLS negotiation\r\n")
	switch {
	case errors.Is(err, listen.ErrNoTLS):
		return reply{}, mail.Errorf(mail.Unavailable, "TLS not available now")
	case errors.Is(err, listen.ErrEarlyData):
		s.leave("stls-injection", earlyData)
	case err != nil:
		s.ended = "tls-failed"
	}
	s.login, s.utf8 = "", false
	return reply{silent: true}, nil
}
