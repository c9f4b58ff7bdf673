package smtpd

import (
	"context"
	"fmt"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
)

func mailKeywords(*session) []string { return []string{"8BITMIME", "SMTPUTF8"} }

// mail begins a transaction. RFC 5321, section 4.1.1.2.
//
// A null reverse-path is taken from submission too: programs send read receipts with it (RFC 8098,
// section 3). The author of such a message is checked like any other.
func (s *session) mail(ctx context.Context, cmd smtp.Mail) (smtp.Reply, error) {
	if reply, ok := s.checkParameters(cmd); !ok {
		return reply, nil
	}
	if cmd.Size > s.server.Limits.MessageSize {
		return smtp.Reply{}, s.tooBig()
	}
	if cmd.NonASCII && !cmd.SMTPUTF8 {
		return smtp.NewReply(553, "5.6.7", "An address like this needs SMTPUTF8"), nil
	}
	if err := s.maySend(ctx, cmd.Path.Address); err != nil {
		return smtp.Reply{}, err
	}
	if s.trusted {
		// Nobody logs in here, so nothing else would end the limits for strangers.
		s.conn.Authenticated()
	}
	s.transaction.mail = cmd
	if s.found != nil {
		s.transaction.peer = s.found()
	}
	s.state = mailing
	return smtp.OK("2.1.0", "Sender OK"), nil
}

// checkParameters refuses parameters of extensions that were not offered (RFC 5321, section
// 4.1.1.11). To a client that said HELO nothing was.
func (s *session) checkParameters(cmd smtp.Mail) (smtp.Reply, bool) {
	if cmd.RequireTLS && !s.conn.UnderTLS() {
		return smtp.NewReply(523, "5.7.10", "REQUIRETLS needs TLS"), false
	}
	refused := ""
	switch {
	case cmd.RequireTLS:
		refused = "REQUIRETLS"
	case len(cmd.Other) > 0:
		refused = cmd.Other[0].Keyword
	case cmd.Auth != nil && !s.submission:
		refused = "AUTH"
	case s.hello == helloed && (cmd.SMTPUTF8 || cmd.Body != "" || cmd.Size > 0 || cmd.Auth != nil):
		return smtp.NewReply(555, "5.5.4", "Parameters need EHLO"), false
	}
	if refused != "" {
		return unknownParameter(refused), false
	}
	return smtp.Reply{}, true
}

func unknownParameter(keyword string) smtp.Reply {
	return smtp.NewReply(555, "5.5.4", fmt.Sprintf("Parameter %.80s is not supported", keyword))
}

// tooBig is the answer to a message over the limit, declared or sent (RFC 1870, section 6).
func (s *session) tooBig() error {
	return mail.Errorf(mail.TooBig, "Message is larger than %d octets", s.server.Limits.MessageSize)
}

// maySend checks that the account owns an address that it writes as (RFC 6409, section 6.1). Mail
// from outside and from relay networks may bear any.
func (s *session) maySend(ctx context.Context, a mail.Address) error {
	if s.account == nil {
		return nil
	}
	err := s.server.Directory.MaySend(ctx, s.account.ID, a)
	if mail.IsKind(err, mail.Forbidden) {
		return mail.Wrap(mail.Forbidden, err, fmt.Sprintf("%s may not send as %.100s", s.account.Address, a))
	}
	if err != nil {
		return fmt.Errorf("checking whether account %d may send as %s: %w", s.account.ID, a, err)
	}
	return nil
}
