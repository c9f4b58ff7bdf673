package smtpd

import (
	"context"
	"errors"
	"io"

	"candor/internal/proto/smtp"
)

// data receives a message. RFC 5321, section 4.1.1.4.
func (s *session) data(ctx context.Context, _ smtp.Data) (smtp.Reply, error) {
	s.write(smtp.NewReply(354, "", "End with <CRLF>.<CRLF>"))
	if err := s.conn.Flush(); err != nil {
		return s.contentBroke(err), nil
	}
	c := s.newContent()
	s.transaction.content = c
	if err := c.receive(ctx, smtp.NewDataReader(s.conn, c.ends)); err != nil {
		return s.contentBroke(err), nil
	}
	return s.accept(ctx, c)
}

// contentBroke ends a session whose content did not come to its end: nothing of it is kept, and
// nobody is told that it was (RFC 8314, section 3.4).
func (s *session) contentBroke(err error) smtp.Reply {
	s.resetTransaction()
	s.closing = true
	if errors.Is(err, errFlood) {
		return smtp.ReplyFor(s.tooBig())
	}
	s.server.counters.truncated.Add(1)
	s.log.Info("message cut off", "err", err)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return smtp.Reply{}
	}
	return s.lastWords(err)
}
