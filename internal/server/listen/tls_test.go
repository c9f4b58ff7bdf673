package listen

import (
	"context"
	"crypto/tls"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"candor/internal/mailtest/tool"
)

// TestALPN: T-16, T-17, T-18, T-19, and X-48.
func TestALPN(t *testing.T) {
	t.Parallel()
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Implicit}, {Service: POP3, Mode: Implicit}, {Service: Submission, Mode: Implicit}, {Service: SMTP, Mode: Opportunistic}},
		Handlers:  map[Service]Handler{IMAP: echo, POP3: echo, Submission: echo, SMTP: echo},
		Limits:    Limits{Exempt: loopbackNet},
	})
	const imap, pop3, submission, smtp = 0, 1, 2, 3
	for _, tc := range []struct {
		name    string
		door    int
		offered []string
		chosen  string
		refused bool
	}{
		{"http at IMAP", imap, []string{"http/1.1"}, "", true},
		{"unknown at IMAP", imap, []string{"x-foo"}, "", true},
		{"imap", imap, []string{"imap"}, "imap", false},
		{"imap among others", imap, []string{"http/1.1", "imap"}, "imap", false},
		{"none at IMAP", imap, nil, "", false},
		{"pop3", pop3, []string{"pop3"}, "pop3", false},
		{"imap at POP3", pop3, []string{"imap"}, "", true},
		{"smtp at submission", submission, []string{"smtp"}, "smtp", false},
		{"unknown at submission", submission, []string{"x-foo"}, "", true},
		{"none at MX", smtp, nil, "", false},
		{"smtp at MX", smtp, []string{"smtp"}, "smtp", false},
		{"unknown at MX", smtp, []string{"x-foo"}, "", false},
		{"unknown and http at MX", smtp, []string{"h2", "x-foo"}, "", false},
		{"http at MX", smtp, []string{"http/1.1"}, "", true},
		{"http and nothing at MX", smtp, []string{"\x8a\x8a", "http/1.1"}, "", true},
		{"ACME at IMAP", imap, []string{"acme-tls/1"}, "", true},
		{"http and imap at MX", smtp, []string{"h2", "http/1.1", "imap"}, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			raw := ts.dial(t, tc.door)
			if tc.door == smtp {
				expect(t, raw, "hello\r\n")
				send(t, raw, "STARTTLS\r\n")
				expect(t, raw, "go\r\n")
			}
			c := tls.Client(raw, clientTLS(tc.offered...))
			err := c.Handshake()
			if tc.refused {
				if err == nil || !strings.Contains(err.Error(), "remote error: tls: no application protocol") {
					t.Fatalf("got %v, want alert 120", err)
				}
				return
			}
			if err != nil || c.ConnectionState().NegotiatedProtocol != tc.chosen {
				t.Fatalf("got %q, %v; want %q", c.ConnectionState().NegotiatedProtocol, err, tc.chosen)
			}
		})
	}
}

// TestVersionsAndSuites: X-12 and the specification, section 2.9.
func TestVersionsAndSuites(t *testing.T) {
	t.Parallel()
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Implicit}}, Handlers: map[Service]Handler{IMAP: echo}, Limits: Limits{Exempt: loopbackNet},
	})
	for _, tc := range []struct {
		name string
		with *tls.Config
		ok   bool
	}{
		{"TLS 1.0", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, false},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}, false},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{"TLS 1.3", &tls.Config{}, true},
		{"CBC", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, false},
		{"RSA key transport", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, false},
		{"ChaCha20", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, true},
		{"P-384", &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384}}, true},
		{"P-521", &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP521}}, false},
		{"hybrid alone", &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.with.InsecureSkipVerify = true
			c := tls.Client(ts.dial(t, 0), tc.with)
			if err := c.Handshake(); (err == nil) != tc.ok {
				t.Fatalf("handshake: %v, want success: %t", err, tc.ok)
			}
		})
	}
}

// TestTicketsOfOneService: X-47. A ticket resumes at its own service, on any port, and nowhere else; a
// changed certificate ends it.
func TestTicketsOfOneService(t *testing.T) {
	t.Parallel()
	certs := certificates(t)
	ts := serve(t, Options{
		Listeners:    []Listener{{Service: IMAP, Mode: Implicit}, {Service: IMAP, Mode: Implicit, Name: "other"}, {Service: POP3, Mode: Implicit}},
		Handlers:     map[Service]Handler{IMAP: echo, POP3: echo},
		Certificates: certs,
	})
	config := clientTLS()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	resumes := func(door int) bool {
		c := tls.Client(ts.dial(t, door), config)
		expect(t, c, "hello\r\n") // the ticket comes with the first record
		send(t, c, "QUIT\r\n")
		expectEnd(t, c, "bye\r\n")
		return c.ConnectionState().DidResume
	}
	if resumes(0) {
		t.Error("the first session is resumed")
	}
	if !resumes(0) || !resumes(1) {
		t.Error("a ticket does not resume at its own service")
	}
	if resumes(2) {
		t.Error("a ticket of IMAP resumes at POP3")
	}
	resumes(0)
	use, _, err := certs.Prepare(testHost, []Pair{writePair(t, template(string(testHost)), ecdsaKey(t))})
	if err != nil {
		t.Fatal(err)
	}
	use()
	if resumes(0) {
		t.Error("a ticket outlives its certificate")
	}
	if got := ts.Stats()[0]; got.Resumed != 1 || got.Handshakes != 4 {
		t.Errorf("counted %+v", got)
	}
}

// TestTicketKeys: a new key after 12 h, none older than 24 h.
func TestTicketKeys(t *testing.T) {
	t.Parallel()
	certs := certificates(t)
	synctest.Test(t, func(t *testing.T) {
		s := newServiceTLS(IMAP, certs)
		var made []time.Time
		for hour := range 100 {
			s.config(variant{certificate: certs.current.Load().list[0]})
			made = made[:0]
			for _, k := range s.keys {
				made = append(made, k.made)
				if age := time.Since(k.made); age >= 24*time.Hour {
					t.Fatalf("hour %d: a key of %s is accepted", hour, age)
				}
			}
			if age := time.Since(made[0]); age >= 12*time.Hour || len(made) > 2 {
				t.Fatalf("hour %d: %d keys, the newest of %s", hour, len(made), age)
			}
			time.Sleep(time.Hour)
		}
		before := s.keys[0]
		time.Sleep(30 * time.Hour) // nobody came
		s.config(variant{certificate: certs.current.Load().list[0]})
		if len(s.keys) != 1 || s.keys[0] == before {
			t.Errorf("after a pause: %d keys", len(s.keys))
		}
	})
}

// TestSNI: the certificate follows the name; an unknown name gets the default one.
func TestSNI(t *testing.T) {
	t.Parallel()
	certs := certificates(t,
		writePair(t, template(string(testHost)), ecdsaKey(t)),
		writePair(t, template("mail.example.net", "*.example.com"), ecdsaKey(t)))
	ts := serve(t, Options{Listeners: []Listener{{Service: IMAP, Mode: Implicit}}, Handlers: map[Service]Handler{IMAP: echo}, Certificates: certs})
	for name, want := range map[string]string{
		"mx.example.org": "mx.example.org", "": "mx.example.org", "unknown.example": "mx.example.org",
		"mail.example.net": "mail.example.net", "MAIL.example.NET": "mail.example.net", "imap.example.com": "mail.example.net",
	} {
		config := clientTLS()
		config.ServerName = name
		c := tls.Client(ts.dial(t, 0), config)
		if err := c.Handshake(); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if got := c.ConnectionState().PeerCertificates[0].DNSNames[0]; got != want {
			t.Errorf("%q: got the certificate of %s, want %s", name, got, want)
		}
		c.Close()
	}
}

// TestOpenSSL lets another implementation in by both ways, and has its old versions and a
// renegotiation refused.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	openssl := tool.Need(t, "openssl")
	greet := func(ctx context.Context, c *Conn) {
		c.WriteString("+OK hello\r\n")
		c.Flush()
		for {
			line, err := c.ReadLine(100)
			if err != nil {
				return
			}
			if string(line) == "STLS\r\n" {
				if c.StartTLS(ctx, "+OK go\r\n") != nil {
					return
				}
				continue
			}
			fmt.Fprintf(c, "+OK %s\r\n", strings.TrimSpace(string(line)))
			c.Flush()
			if strings.HasPrefix(string(line), "QUIT") {
				return
			}
		}
	}
	ts := serve(t, Options{
		Listeners: []Listener{{Service: POP3, Mode: Implicit}, {Service: POP3, Mode: Required, Name: "stls"}}, Handlers: map[Service]Handler{POP3: greet},
	})
	for _, tc := range []struct {
		name, args, input string
		door              int
		want              string
		fails             bool
	}{
		{"implicit", "-quiet", "marco\nQUIT\n", 0, "+OK marco", false},
		{"STLS", "-quiet -starttls pop3", "marco\nQUIT\n", 1, "+OK marco", false},
		{"TLS 1.2", "-tls1_2", "QUIT\n", 0, "ECDHE-ECDSA-AES", false},
		{"TLS 1.1", "-tls1_1 -cipher DEFAULT@SECLEVEL=0", "QUIT\n", 0, "protocol version", true},
		{"TLS 1.0", "-tls1 -cipher DEFAULT@SECLEVEL=0", "QUIT\n", 0, "protocol version", true},
		{"STLS TLS 1.0", "-tls1 -cipher DEFAULT@SECLEVEL=0 -starttls pop3", "QUIT\n", 1, "protocol version", true},
		{"CBC", "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", "QUIT\n", 0, "handshake failure", true},
		{"renegotiation", "-tls1_2", "R\nmarco\nQUIT\n", 0, "RENEGOTIATING", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			args := append([]string{"s_client", "-connect", ts.Addrs()[tc.door].String(), "-crlf"}, strings.Fields(tc.args)...)
			cmd := exec.CommandContext(ctx, openssl, args...)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			go func() { // s_client throws away what it reads before the handshake is done
				defer in.Close()
				for line := range strings.Lines(tc.input) {
					time.Sleep(300 * time.Millisecond)
					if _, err := in.Write([]byte(line)); err != nil {
						return
					}
				}
				time.Sleep(300 * time.Millisecond)
			}()
			out, err := cmd.CombinedOutput()
			if !strings.Contains(string(out), tc.want) || (err != nil) != tc.fails || tc.fails && strings.Contains(string(out), "+OK marco") {
				t.Errorf("openssl %v: %v\n%s", args, err, out)
			}
		})
	}
}
