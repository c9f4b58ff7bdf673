package smtpd

import (
	"context"

	"candor/internal/proto/smtp"
)

// noop does nothing. RFC 5321, section 4.1.1.9.
func (s *session) noop(context.Context, smtp.Noop) (smtp.Reply, error) {
	return smtp.OK("2.0.0", "OK"), nil
}
