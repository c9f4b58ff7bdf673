package smtpd

import (
	"context"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
)

func bdatKeywords(*session) []string { return []string{"CHUNKING"} }

// bdat receives a chunk of a message, and with the last one the message. RFC 3030, section 2.
func (s *session) bdat(ctx context.Context, cmd smtp.Bdat) (smtp.Reply, error) {
	if s.transaction.content == nil {
		s.transaction.content = s.newContent()
	}
	c := s.transaction.content
	if cmd.Size > c.limit {
		// It is not worth the octets to hear it out.
		return s.contentBroke(errFlood), nil
	}
	if err := c.receive(ctx, smtp.NewChunkReader(s.conn, cmd.Size, c.ends)); err != nil {
		return s.contentBroke(err), nil
	}
	if cmd.Last {
		return s.accept(ctx, c)
	}
	if c.refusal != nil {
		// The chunks that may be on their way already meet a session without a transaction, and
		// are dropped there.
		return s.refuseContent(c.refusal), nil
	}
	s.state = chunking
	return smtp.OK("2.0.0", "Chunk received"), nil
}

// dropContent reads what belongs to a refused BDAT, so that it is not taken for commands, and
// returns why it was refused.
func (s *session) dropContent(ctx context.Context, cmd smtp.Command, refusal error) error {
	c, ok := cmd.(smtp.Bdat)
	if !ok {
		return refusal
	}
	if c.Size > s.server.Limits.MessageSize {
		s.closing = true
		return mail.Errorf(mail.TooBig, "Chunk is too large to be read off")
	}
	dropped := &content{session: s, ends: smtp.NewLineEnds(smtp.RefuseBare), limit: c.Size, refusal: refusal}
	if err := dropped.receive(ctx, smtp.NewChunkReader(s.conn, c.Size, dropped.ends)); err != nil {
		s.closing = true
	}
	return refusal
}
