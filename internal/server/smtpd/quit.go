package smtpd

import (
	"context"

	"candor/internal/proto/smtp"
)

// quit ends the session. RFC 5321, section 4.1.1.10.
func (s *session) quit(context.Context, smtp.Quit) (smtp.Reply, error) {
	return smtp.NewReply(221, "2.0.0", string(s.hostname)+" Bye"), nil
}
