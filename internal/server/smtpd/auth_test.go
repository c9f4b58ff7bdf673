package smtpd

import (
	"errors"
	"testing"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
	"candor/internal/proto/smtp"
)

// TestLoginRefusal, and what a client may do next.
func TestLoginRefusal(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"not offered":  {mail.Errorf(mail.Unsupported, "x"), "504 5.5.4 Mechanism not offered: PLAIN LOGIN"},
		"malformed":    {mail.Errorf(mail.Syntax, "x"), "501 5.5.4 x"},
		"cancelled":    {sasl.ErrCancelled, "501 5.5.4 Authentication cancelled"},
		"too long":     {authLineTooLong(), "500 5.5.6 Authentication exchange line too long"},
		"backend down": {errors.New("secret"), "454 4.7.0 Temporary authentication failure"},
		"busy":         {mail.Errorf(mail.Unavailable, "x"), "454 4.7.0 Temporary authentication failure"},
		"throttled":    {mail.Errorf(mail.TooMany, "x"), "421 4.7.0 Too many failed logins; try later"},
		"not in clear": {mail.Errorf(mail.NeedTLS, "x"), "538 5.7.11 x"},
	} {
		t.Run(name, func(t *testing.T) {
			reply, err := loginRefusal(c.err, []string{"PLAIN", "LOGIN"})
			if err != nil {
				reply = smtp.ReplyFor(err)
			}
			if got := reply.String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
