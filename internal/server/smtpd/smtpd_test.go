package smtpd_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"candor/internal/mail"
	"candor/internal/mailtest"
	"candor/internal/server/listen"
	"candor/internal/server/smtpd"
	"candor/internal/transit/deliver"
	"candor/internal/transit/queue"
)

// nowhere is a queue.Transport that keeps everything waiting.
type nowhere struct{}

func (nowhere) Deliver(_ context.Context, _ *queue.Message, to []mail.Recipient) []queue.Result {
	var results []queue.Result
	for _, r := range to {
		results = append(results, queue.Result{Recipient: r, Err: mail.Errorf(mail.Unavailable, "not connected")})
	}
	return results
}

// serve makes a Server with o, completed, on the world's parts and a queue of its own.
func serve(t testing.TB, w *mailtest.World, o smtpd.Options) (*smtpd.Server, *queue.Queue) {
	t.Helper()
	local := deliver.New(deliver.Options{Hostname: mailtest.Hostname, Directory: w.Directory, Mailboxes: w.Mailboxes})
	q, err := queue.Open(t.Context(), w.DB, queue.Options{Hostname: mailtest.Hostname, Local: local, Remote: nowhere{}, Log: w.Log})
	if err != nil {
		t.Fatal(err)
	}
	q.Start()
	t.Cleanup(func() { q.Close() })
	o.Hostname, o.Directory, o.Queue, o.Log, o.Room = mailtest.Hostname, w.Directory, q, w.Log, local.Room
	return smtpd.New(o), q
}

// door returns a door whose server has the options o.
func door(service listen.Service, mode listen.Mode, o smtpd.Options) mailtest.Door {
	return mailtest.Door{Service: service, Mode: mode, Handler: func(t *testing.T, w *mailtest.World) listen.Handler {
		s, _ := serve(t, w, o)
		return s.Handler()
	}}
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func TestMX(t *testing.T) {
	mailtest.RunTranscripts(t, "testdata/mx/*.txt", door(listen.SMTP, listen.Opportunistic, smtpd.Options{}))
}

func TestSubmission(t *testing.T) {
	mailtest.RunTranscripts(t, "testdata/submission/*.txt", door(listen.Submission, listen.Required, smtpd.Options{}))
}

func TestRelayNetworks(t *testing.T) {
	mailtest.RunTranscripts(t, "testdata/relay/*.txt", door(listen.Submission, listen.Required, smtpd.Options{RelayNetworks: loopback}))
}

func TestLimits(t *testing.T) {
	limits := smtpd.Limits{MessageSize: 1000, Header: 300, Recipients: 2, Hops: 2}
	mailtest.RunTranscripts(t, "testdata/limits/*.txt", door(listen.SMTP, listen.Opportunistic, smtpd.Options{Limits: limits}))
}

func TestClients(t *testing.T) {
	elsewhere := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	mailtest.RunTranscripts(t, "testdata/clients/*.txt", door(listen.Submission, listen.Required, smtpd.Options{Clients: elsewhere}))
}

// TestBareNewline: TS-2.8 (9), the setting: what another server sends with bare line ends is stored with CRLF.
func TestBareNewline(t *testing.T) {
	w, s, addr := newMX(t, smtpd.Options{NormaliseBare: true})
	c := dial(t, addr)
	for i, dot := range smuggled {
		c.send("EHLO client.example\r\nMAIL FROM:<eve@client.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n")
		if i == 0 {
			c.want("220")
		}
		c.want("250", "250", "250", "354")
		c.send(fmt.Sprintf("Subject: %d\r\n\r\nx%sMAIL FROM:<>\r\n.\r\n", i, dot))
		c.want("250")
	}
	got := strings.Join(waitMessages(t, w, "bob@example.org", len(smuggled)), "")
	for i, dot := range smuggled {
		// Only a dot that follows CRLF was put there by the client.
		content := lineEnd.ReplaceAllString(strings.Replace(dot, "\r\n.", "\r\n", 1), "\r\n")
		if want := fmt.Sprintf("Subject: %d\r\n\r\nx%sMAIL FROM:<>\r\n", i, content); !strings.Contains(got, want) {
			t.Errorf("%q: no message ends in %q", dot, want)
		}
	}
	if n := s.Stats().BareLineEnds; n != int64(len(smuggled)) {
		t.Errorf("counted %d", n)
	}
}
