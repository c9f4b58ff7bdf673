package smtpd

import (
	"context"

	"candor/internal/proto/smtp"
)

// rset drops the transaction. RFC 5321, section 4.1.1.5.
func (s *session) rset(context.Context, smtp.Rset) (smtp.Reply, error) {
	s.resetTransaction()
	return smtp.OK("2.0.0", "Reset"), nil
}
