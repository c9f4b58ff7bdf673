package pop3d

import (
	"context"
	"errors"
	"strconv"

	"candor/internal/mail"
	"candor/internal/server/listen"
	"candor/internal/store/mailbox"
)

// retr sends a message. RFC 1939, section 5.
func (s *session) retr(ctx context.Context, args arguments) (reply, error) {
	n, err := s.message(args)
	if err != nil {
		return reply{}, err
	}
	body, err := s.open(ctx, n)
	if err != nil {
		return reply{}, err
	}
	s.retrieved++
	s.server.stats.retrieved.Add(1)
	return reply{text: strconv.FormatInt(body.Size(), 10) + " octets", lines: func(c *listen.Conn) error {
		defer body.Close()
		w := stuffer{to: c, lineStart: true}
		if _, err := body.WriteTo(&w); err != nil {
			return err
		}
		return w.finish()
	}}, nil
}

// top sends the header of a message, the blank line and the first lines of the body. RFC 1939, section 7.
func (s *session) top(ctx context.Context, args arguments) (reply, error) {
	var n, lines int
	if err := args.numbers(&n, &lines); err != nil {
		return reply{}, err
	}
	if err := s.exists(n); err != nil {
		return reply{}, err
	}
	body, err := s.open(ctx, n)
	if err != nil {
		return reply{}, err
	}
	return reply{text: "Top of message follows", lines: func(c *listen.Conn) error {
		defer body.Close()
		w := stuffer{to: c, lineStart: true}
		if _, err := body.WriteTo(&topWriter{to: &w, left: lines, lineStart: true}); err != nil && !errors.Is(err, errEnough) {
			return err
		}
		return w.finish()
	}}, nil
}

// body opens message n. An IMAP session may have expunged it since login.
func (s *session) body(ctx context.Context, n int) (mailbox.Body, error) {
	body, err := s.maildrop.box.OpenBody(ctx, s.maildrop.uids[n-1])
	if mail.IsKind(err, mail.Expunged) || mail.IsKind(err, mail.NotFound) {
		return nil, mail.Wrap(mail.Expunged, err, "the message has been removed by another program")
	}
	return body, err
}
