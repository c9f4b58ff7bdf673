package smtpd

import (
	"context"
	"fmt"
	"log/slog"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/proto/smtp"
	"candor/internal/transit/queue"
)

// accept puts a message that came to its end into the queue. The reply is made after the queue has
// it durably, and the transaction ends either way.
func (s *session) accept(ctx context.Context, c *content) (smtp.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, s.server.Limits.StoreTimeout)
	defer cancel()
	if err := c.finish(ctx); err != nil {
		return s.refuseContent(err), nil
	}
	m := &c.message
	m.ID = s.server.Queue.NewID()
	m.Envelope = s.envelope(c)
	m.Inbound = s.transport()
	m.Arrival.Listener, m.Arrival.Helo = s.conn.Listener().Name, s.name
	m.Arrival.Remote, m.Arrival.Local = s.conn.Remote(), s.conn.Local()
	m.Arrival.Normalised = c.ends.Bare()
	m.Trace = s.received(m).Append(nil)
	if err := s.server.Queue.Put(ctx, m); err != nil {
		return s.refuseContent(fmt.Errorf("queueing a message: %w", err)), nil
	}
	s.countAccepted(c)
	reply := smtp.OK("2.0.0", string(m.ID)+" accepted")
	s.resetTransaction()
	return reply, nil
}

// envelope is what the transaction says of the message. SMTPUTF8 stays only where it is needed: many
// programs ask for it whenever it is offered, and a next hop without it would be told for nothing.
func (s *session) envelope(c *content) mail.Envelope {
	t := &s.transaction
	e := mail.Envelope{
		ReversePath: t.mail.Path, Recipients: t.recipients,
		BodyType: t.mail.Body, SMTPUTF8: t.mail.SMTPUTF8 && (c.utf8 || !t.ascii()), Received: s.server.Now(),
	}
	if s.account != nil {
		e.Account = s.account.ID
	}
	return e
}

// ascii reports whether all addresses can travel without SMTPUTF8.
func (t *transaction) ascii() bool {
	for _, r := range t.recipients {
		if !r.Address.ASCII() {
			return false
		}
	}
	return t.mail.Path.ASCII()
}

// refuseContent ends the transaction and says why. It writes the log's line, since the transaction is
// gone afterwards.
func (s *session) refuseContent(err error) smtp.Reply {
	s.server.counters.refused.Add(1)
	reply := smtp.ReplyFor(err)
	level := slog.LevelInfo
	if isOurs(err) {
		level = slog.LevelError
	}
	t := s.transport()
	attrs := []slog.Attr{
		slog.String("from", s.transaction.mail.Path.String()), slog.Int("recipients", len(s.transaction.recipients)),
		slog.String("reply", reply.String()), slog.String("reason", err.Error()),
	}
	s.log.LogAttrs(context.Background(), level, "message refused", append(attrs, t.Attrs()...)...)
	s.resetTransaction()
	return reply
}

func (s *session) countAccepted(c *content) {
	m := &c.message
	count := s.server.counters
	count.accepted.Add(1)
	count.acceptedOctets.Add(m.BlobSize)
	count.recipients.Add(int64(len(m.Envelope.Recipients)))
	s.messages++
	attrs := []slog.Attr{
		slog.String("id", string(m.ID)), slog.String("from", m.Envelope.ReversePath.String()),
		slog.Int("recipients", len(m.Envelope.Recipients)), slog.Int64("size", m.BlobSize),
	}
	if s.account != nil {
		attrs = append(attrs, slog.String("user", s.account.Address.String()))
	}
	if c.ends.Bare() {
		attrs = append(attrs, slog.String("line_ends", "normalised"))
	}
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "message accepted", append(attrs, m.Inbound.Attrs()...)...)
}

// received describes this hop for the trace field (specification, section 1.3). A user's address is
// nobody's business, unless the operator tells it; neither are the other recipients.
func (s *session) received(m *queue.Message) *message.Received {
	r := &message.Received{
		Helo: s.name, By: s.hostname,
		Extended: s.hello == greeted, UTF8: s.transaction.mail.SMTPUTF8, Authenticated: s.account != nil,
		ID: string(m.ID), Transport: m.Inbound, Time: m.Envelope.Received,
	}
	if s.account == nil || s.server.RevealClientIP {
		r.Remote, r.RemoteName = s.conn.Remote().Addr(), string(s.transaction.peer)
	}
	if len(m.Envelope.Recipients) == 1 {
		r.For = m.Envelope.Recipients[0].Address
	}
	return r
}
