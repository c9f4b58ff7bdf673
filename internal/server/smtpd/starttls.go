package smtpd

import (
	"context"
	"errors"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
	"candor/internal/server/listen"
)

func startTLSKeyword(s *session) []string {
	if s.conn.UnderTLS() || !s.conn.CanStartTLS() {
		return nil
	}
	return []string{"STARTTLS"}
}

// startTLS begins TLS. RFC 3207, section 4; specification, section 2.8.
func (s *session) startTLS(ctx context.Context, _ smtp.StartTLS) (smtp.Reply, error) {
	if s.conn.Listener().Mode == listen.None {
		return smtp.Reply{}, mail.Errorf(mail.Unsupported, "STARTTLS is not offered")
	}
	if !s.conn.CanStartTLS() {
		return smtp.NewReply(454, "4.7.0", "TLS not available now"), nil
	}
	err := s.conn.StartTLS(ctx, "220 2.0.0 Ready to start TLS\r\n")
	if errors.Is(err, listen.ErrEarlyData) {
		s.server.counters.injections.Add(1)
		s.closing = true
		return smtp.NewReply(554, "5.5.1", "Data sent before TLS was ready; closing"), nil
	}
	if err != nil {
		// The handshake failed, which listen has logged, and the connection with it: it never goes on in
		// clear.
		s.closing = true
		return smtp.Reply{}, nil
	}
	s.forget()
	return smtp.Reply{}, nil
}
