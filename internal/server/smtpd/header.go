package smtpd

import (
	"bytes"
	"context"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/transit/queue"
)

// maxClaims is how many earlier hops the record of a message tells of.
const maxClaims = 20

// judgeHeader checks the header of a message that comes in and returns it as it is to be stored. What the record is
// to keep of it goes into a.
func (s *session) judgeHeader(ctx context.Context, h message.Header, a *queue.Arrival) (message.Header, error) {
	// The field says what this server saw: nobody else may say it (specification, section 1.3).
	h, forged := h.RemoveCandorTransport()
	if forged > 0 {
		s.log.Warn("forged Candor-Transport removed", "fields", forged)
	}
	a.Forged = forged > 0
	// The one of the delivery is the only one (RFC 5321, section 4.4).
	h, _ = h.RemoveField("Return-Path")
	var more int
	a.Claims, more = h.Claims(maxClaims)
	if a.Hops = len(a.Claims) + more; a.Hops > s.server.Limits.Hops {
		return nil, mail.Errorf(mail.Loop, "Too many hops: this message is in a loop")
	}
	if !s.submission {
		return h, nil
	}
	if bytes.IndexByte(h, 0) >= 0 {
		// Programs that drop it would read another field than the one that is checked.
		return nil, mail.Errorf(mail.Refused, "The header holds NUL").With(5, 6, 0)
	}
	if err := s.checkAuthor(ctx, h); err != nil {
		return nil, err
	}
	return message.Complete(h, s.hostname, s.server.Now()), nil
}

// checkAuthor makes sure that an account writes in its own name: every address of every From and
// Sender field must be its own (RFC 6409, section 6.1). A field that names nobody is refused, since
// programs would still show something; a message without them claims nothing.
func (s *session) checkAuthor(ctx context.Context, h message.Header) error {
	if s.account == nil {
		return nil
	}
	for f := range h.Fields() {
		if !f.Is("From") && !f.Is("Sender") {
			continue
		}
		authors := message.Authors(f)
		if len(authors) == 0 {
			return mail.Errorf(mail.Forbidden, "The %s field names no address", f.Name)
		}
		for _, text := range authors {
			a, err := mail.ParseAddress(text)
			if err != nil {
				return mail.Errorf(mail.Forbidden, "The %s field names %.100q, which is no address", f.Name, text)
			}
			if err := s.maySend(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}
