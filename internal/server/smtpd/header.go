package smtpd

import (
	"context"

	"candor/internal/mail"
	"candor/internal/message"
)

// judgeHeader checks the header of a message that comes in and returns it as it is to be stored.
func (s *session) judgeHeader(ctx context.Context, h message.Header) (message.Header, error) {
	// The field says what this server saw: nobody else may say it (specification, section 1.3).
	h, forged := h.RemoveField(message.CandorTransportName)
	if forged > 0 {
		s.log.Warn("forged Candor-Transport removed", "fields", forged)
	}
	if hops := h.Count("Received"); hops > s.server.Limits.Hops {
		return nil, mail.Errorf(mail.Loop, "Too many hops: this message is in a loop")
	}
	if !s.submission {
		return h, nil
	}
	if err := s.checkAuthor(ctx, h); err != nil {
		return nil, err
	}
	return message.Complete(h, s.hostname, s.server.Now()), nil
}

// checkAuthor makes sure that an account writes in its own name: every address of every From field
// must be its own. A field that names nobody is refused, since programs would still show something;
// a message without the field claims nothing.
func (s *session) checkAuthor(ctx context.Context, h message.Header) error {
	if s.account == nil {
		return nil
	}
	for f := range h.Fields() {
		if !f.Is("From") {
			continue
		}
		authors := authorsOf(f)
		if len(authors) == 0 {
			return mail.Errorf(mail.Forbidden, "The From field names no address")
		}
		for _, text := range authors {
			a, err := mail.ParseAddress(text)
			if err != nil {
				return mail.Errorf(mail.Forbidden, "The From field names %.100q, which is no address", text)
			}
			if err := s.maySend(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// authorsOf returns the addresses of an address list, without the names of its groups.
func authorsOf(f message.HeaderField) []string {
	var all []string
	for _, m := range message.ParseAddressList(f.Value()) {
		if m.Host != "" {
			all = append(all, mail.LocalPart(m.Local).String()+"@"+m.Host)
		}
	}
	return all
}
