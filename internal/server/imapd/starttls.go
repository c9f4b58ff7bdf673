package imapd

import (
	"context"
	"errors"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/server/listen"
)

// startTLS upgrades the connection and forgets what was learned before. RFC 9051, section 6.2.1;
// specification, section 2.8.
func (s *session) startTLS(ctx context.Context, _ imap.None) (imap.Response, error) {
	if s.conn.UnderTLS() {
		return imap.Response{}, mail.Errorf(mail.Sequence, "TLS already active")
	}
	if !s.conn.CanStartTLS() {
		return imap.Response{}, mail.Errorf(mail.Unavailable, "TLS not available now")
	}
	if err := s.conn.Flush(); err != nil {
		return imap.Response{}, lost(err)
	}
	err := s.conn.StartTLS(ctx, s.tag+" OK Begin TLS negotiation now\r\n")
	if errors.Is(err, listen.ErrNoTLS) {
		return imap.Response{}, mail.Errorf(mail.Unavailable, "TLS not available now")
	}
	if err != nil {
		return imap.Response{}, lost(err)
	}
	s.reader = imap.NewReader(s.conn)
	s.bad, s.program = 0, ""
	s.replied = true
	return imap.Response{}, nil
}
