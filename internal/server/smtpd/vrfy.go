package smtpd

import (
	"context"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
)

// vrfy tells nobody which addresses exist (RFC 5321, section 7.3; specification, section 3.7).
func (s *session) vrfy(context.Context, smtp.Vrfy) (smtp.Reply, error) {
	return smtp.NewReply(252, "2.5.0", "Send some mail and see"), nil
}

// expn is likewise not to be had. RFC 5321, section 4.1.1.7.
func (s *session) expn(context.Context, smtp.Expn) (smtp.Reply, error) {
	return smtp.Reply{}, mail.Errorf(mail.Unsupported, "EXPN is not offered")
}
