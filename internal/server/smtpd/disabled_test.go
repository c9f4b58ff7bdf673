package smtpd_test

import (
	"bufio"
	"crypto/tls"
	"testing"

	"candor/internal/mail"
	"candor/internal/mailtest"
	"candor/internal/server/listen"
	"candor/internal/server/smtpd"
)

// TestDisabledSendsNothing: an account that is disabled sends no more in a session that is open, not even as nobody.
func TestDisabledSendsNothing(t *testing.T) {
	w := mailtest.NewWorld(t, people)
	s, _ := serve(t, w, smtpd.Options{})
	addr := w.Serve(t, listen.Submission, listen.Implicit, s.Handler())
	c := dial(t, addr)
	c.Conn = tls.Client(c.Conn, w.ClientTLS())
	c.r = bufio.NewReader(c.Conn)
	c.send("EHLO x\r\nAUTH PLAIN AGFubkBleGFtcGxlLm9yZwBwZW5jaWw=\r\nMAIL FROM:<>\r\nRSET\r\n")
	c.want("220", "250", "235", "250", "250")
	if err := w.Directory.SetDisabled(t.Context(), mail.Address{Local: "ann", Domain: "example.org"}, true); err != nil {
		t.Fatal(err)
	}
	c.send("MAIL FROM:<>\r\nMAIL FROM:<ann@example.org>\r\n")
	c.want("550", "550")
}
