package smtpd_test

import (
	"bufio"
	"crypto/tls"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"candor/internal/mail"
	"candor/internal/mailtest"
	"candor/internal/server/listen"
	"candor/internal/server/smtpd"
)

// TestReceivedField holds the rows of the table of the specification, section 1.3, that a door can bring about.
func TestReceivedField(t *testing.T) {
	named := smtpd.Options{Name: func(netip.Addr) func() mail.Domain { return func() mail.Domain { return "out.example" } }}
	const (
		hello = "EHLO client.example\r\n"
		suite = ` tls TLS_AES_128_GCM_SHA256 group \S+ \(TLS1\.3, client certificate: none\);`
		login = "AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBwZW5jaWw=\r\n"
	)
	for name, c := range map[string]struct {
		service listen.Service
		mode    listen.Mode
		o       smtpd.Options
		in      string
		want    string
	}{
		"HELO":                    {listen.SMTP, listen.Opportunistic, smtpd.Options{}, "HELO h\r\nMAIL FROM:<>\r\n", `from h \(\[127\.0\.0\.1\]\) by mx\.example\.org with SMTP id \S+ for <bob@example\.org>;`},
		"EHLO":                    {listen.SMTP, listen.Opportunistic, named, hello + "MAIL FROM:<>\r\n", `from client\.example \(out\.example \[127\.0\.0\.1\]\) by \S+ with ESMTP id \S+ for <bob@example\.org>;`},
		"EHLO and TLS":            {listen.SMTP, listen.Opportunistic, named, hello + "STARTTLS\r\n" + hello + "MAIL FROM:<>\r\n", `from client\.example \(out\.example \[127\.0\.0\.1\]\) by \S+ with ESMTPS id \S+ for <bob@example\.org>` + suite},
		"SMTPUTF8":                {listen.SMTP, listen.Opportunistic, smtpd.Options{}, hello + "MAIL FROM:<> SMTPUTF8\r\n", `.* with UTF8SMTP id .*`},
		"SMTPUTF8 and TLS":        {listen.SMTP, listen.Opportunistic, smtpd.Options{}, hello + "STARTTLS\r\n" + hello + "MAIL FROM:<> SMTPUTF8\r\n", `.* with UTF8SMTPS id .*`},
		"HELO on 465":             {listen.Submission, listen.Implicit, smtpd.Options{RelayNetworks: loopback}, "HELO h\r\nMAIL FROM:<>\r\n", `from h \(\[127\.0\.0\.1\]\) by \S+ with SMTP id \S+ for <bob@example\.org>` + suite},
		"login":                   {listen.Submission, listen.Implicit, named, hello + login + "MAIL FROM:<ann@example.org>\r\n", `from \[authenticated\] by \S+ with ESMTPSA id \S+ for <bob@example\.org>` + suite},
		"login with SMTPUTF8":     {listen.Submission, listen.Implicit, named, hello + login + "MAIL FROM:<ann@example.org> SMTPUTF8\r\n", `from \[authenticated\] by \S+ with UTF8SMTPSA id .*`},
		"login, address revealed": {listen.Submission, listen.Implicit, smtpd.Options{RevealClientIP: true}, hello + login + "MAIL FROM:<ann@example.org>\r\n", `from \[authenticated\] \(\[127\.0\.0\.1\]\) by \S+ with ESMTPSA .*`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := mailtest.NewWorld(t, "account ann@example.org pencil\naccount bob@example.org crayon\n")
			s, _ := serve(t, w, c.o)
			peer := dial(t, w.Serve(t, c.service, c.mode, s.Handler()))
			if c.mode == listen.Implicit {
				peer.startTLS(w)
			}
			peer.want("220")
			for line := range strings.Lines(c.in + "RCPT TO:<bob@example.org>\r\n") {
				peer.send(line)
				peer.want("2")
				if line == "STARTTLS\r\n" {
					peer.startTLS(w)
				}
			}
			peer.send("DATA\r\n")
			peer.want("354")
			peer.send("Subject: x\r\n\r\nx\r\n.\r\n")
			peer.want("250")
			got := ""
			for _, m := range w.Messages(t, "bob@example.org", "INBOX") {
				_, field, _ := strings.Cut(m, "\r\nReceived: ")
				field = field[:max(strings.Index(field, "\r\nCandor-Transport"), 0)]
				got = strings.Join(strings.Fields(field), " ")
			}
			if !regexp.MustCompile("^(?:" + c.want + `)(?: \w{3}, .*)?$`).MatchString(got) {
				t.Errorf("got %q, want %s", got, c.want)
			}
		})
	}
}

func (c *client) startTLS(w *mailtest.World) {
	c.Conn = tls.Client(c.Conn, w.ClientTLS())
	c.r = bufio.NewReader(c.Conn)
}
