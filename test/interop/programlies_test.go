package interop

import (
	"crypto/tls"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// removed are the mechanisms that programs still have and the server does not: by program and protocol.
var removed = map[string][]string{
	"swaks smtp":     {"CRAM-MD5", "DIGEST-MD5", "NTLM", "CRAM-SHA1"},
	"msmtp smtp":     {"CRAM-MD5", "DIGEST-MD5", "NTLM", "SCRAM-SHA-1"},
	"curl smtp":      {"CRAM-MD5", "DIGEST-MD5", "NTLM"},
	"curl imap":      {"CRAM-MD5", "DIGEST-MD5", "NTLM"},
	"curl pop3":      {"CRAM-MD5", "DIGEST-MD5", "NTLM", "+APOP"},
	"mbsync imap":    {"CRAM-MD5", "DIGEST-MD5", "NTLM", "SCRAM-SHA-1"},
	"fetchmail imap": {"CRAM-MD5", "NTLM"},
	"fetchmail pop3": {"CRAM-MD5", "NTLM", "APOP"},
	"mutt smtp":      {"CRAM-MD5", "DIGEST-MD5", "NTLM", "SCRAM-SHA-1"},
	"mutt imap":      {"CRAM-MD5", "DIGEST-MD5", "NTLM", "SCRAM-SHA-1"},
	"mutt pop3":      {"CRAM-MD5", "DIGEST-MD5", "NTLM", "SCRAM-SHA-1"},
}

// TestProgramsWithRemovedMechanisms has every program ask for mechanisms that the server does not have. They do not if
// these are not offered, so somebody between offers them.
func TestProgramsWithRemovedMechanisms(t *testing.T) {
	t.Parallel()
	s := start(t)
	certificate, err := tls.LoadX509KeyPair(s.cert, filepath.Join(filepath.Dir(s.cert), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	const more = "CRAM-MD5 DIGEST-MD5 NTLM CRAM-SHA1 SCRAM-SHA-1"
	between := &liar{&tls.Config{Certificates: []tls.Certificate{certificate}}, s.clientTLS(), strings.NewReplacer(
		"250-AUTH ", "250-AUTH "+more+" ", " AUTH=PLAIN", " AUTH="+strings.ReplaceAll(more, " ", " AUTH=")+" AUTH=PLAIN",
		"SASL ", "SASL "+more+" ", "POP3 Candor\r\n", "POP3 Candor <1896.697170952@"+hostname+">\r\n",
	)}
	const offered = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"
	refusals := map[string]string{
		"smtp": "504 5.5.4 Mechanism not offered: " + offered + "\r\n",
		"imap": " NO [CANNOT] Mechanism not offered\r\n",
		"pop3": "-ERR Mechanism not offered: " + offered + "\r\n",
		"APOP": "-ERR APOP is not offered; use USER or AUTH\r\n",
	}
	var all sync.WaitGroup
	for _, m := range mailers {
		m.need(t)
		for _, protocol := range m.protocols {
			all.Go(func() {
				for _, mechanism := range removed[m.name+" "+protocol] {
					p := newLiar(t, s.doorPort(protocol, true), between)
					shown, err := m.run(t, s, choice{protocol, p.port, wrapped, mechanism})
					name := strings.TrimPrefix(mechanism, "+")
					refusal := refusals[protocol]
					if name == "APOP" {
						refusal = refusals[name]
					}
					if heard := p.toUser.String(); !strings.Contains(heard, refusal) {
						t.Errorf("%s, %s by %s: %v, heard %q, want %q\n%s\n%q", m.name, protocol, mechanism, err, heard, refusal, shown, p.toServer.String())
					}
					if !s.logged(0, "login deny", "rport="+p.lastPort(), "method="+name, "reason=not-offered") {
						t.Errorf("%s, %s: no refusal of %s is logged:\n%s", m.name, protocol, name, s.log)
					}
				}
			})
		}
	}
	all.Wait()
}

// cleared are mechanisms that a program uses without encryption, as far as it lets itself be talked into it.
var cleared = map[string][]string{
	"swaks smtp":     {"PLAIN", "LOGIN", "CRAM-MD5"},
	"msmtp smtp":     {"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"},
	"curl smtp":      {"PLAIN", "LOGIN", "CRAM-MD5"},
	"curl imap":      {"PLAIN", "LOGIN", "CRAM-MD5"},
	"curl pop3":      {"PLAIN", "LOGIN", "CRAM-MD5", "+APOP"},
	"mbsync imap":    {"PLAIN", "LOGIN", "CRAM-MD5"},
	"fetchmail imap": {"PASSWORD", "CRAM-MD5"},
	"fetchmail pop3": {"PASSWORD", "CRAM-MD5", "APOP"},
	"mutt smtp":      {"PLAIN", "LOGIN", "CRAM-MD5"},
	"mutt imap":      {"PLAIN", "LOGIN", "CRAM-MD5"},
	"mutt pop3":      {"PLAIN", "LOGIN", "USER", "CRAM-MD5"},
}

// sentAtOnce are the logins whose password a program sends without being asked for it: no server can prevent that.
var sentAtOnce = []string{
	"swaks smtp PLAIN", "msmtp smtp PLAIN", "mutt smtp PLAIN", "curl imap PLAIN", "mutt imap PLAIN", "mbsync imap PLAIN", "mbsync imap LOGIN",
	"fetchmail imap PASSWORD",
}

// TestProgramsInClear has every program log in without encryption, where somebody between hides STARTTLS and offers
// logins, and never a challenge.
func TestProgramsInClear(t *testing.T) {
	t.Parallel()
	s := start(t)
	between := &liar{lies: strings.NewReplacer("250 STARTTLS", "250 AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256",
		" STARTTLS", "", " LOGINDISABLED", " AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5",
		"STLS\r\n", "USER\r\nSASL PLAIN LOGIN CRAM-MD5\r\n", "POP3 Candor\r\n", "POP3 Candor <1896.697170952@"+hostname+">\r\n")}
	refusals := map[string]string{
		"smtp": "538 5.7.11 Not accepted without encryption. If a password was just sent, it may have been read by others. See ",
		"imap": inClearRefused[" LOGIN "],
		"pop3": inClearRefused["USER "],
	}
	var all sync.WaitGroup
	for _, m := range mailers {
		m.need(t)
		for _, protocol := range m.protocols {
			all.Go(func() {
				for _, mechanism := range cleared[m.name+" "+protocol] {
					p := newLiar(t, s.doorPort(protocol, false), between)
					shown, _ := m.run(t, s, choice{protocol, p.port, inClear, mechanism})
					heard := p.toUser.String()
					if !strings.Contains(heard, refusals[protocol]) {
						t.Errorf("%s, %s by %s: heard %q, want %q\n%s\n%q", m.name, protocol, mechanism, heard, refusals[protocol], shown, p.toServer.String())
					}
					if got, want := p.shows("secret"), slices.Contains(sentAtOnce, m.name+" "+protocol+" "+mechanism); got != want {
						t.Errorf("%s, %s by %s: the password crossed: %t, want %t: %q", m.name, protocol, mechanism, got, want, p.toServer.String())
					}
					if strings.Contains(heard, "\n334") || strings.Contains(heard, "\n+ ") {
						t.Errorf("%s, %s by %s: a challenge was sent: %q", m.name, protocol, mechanism, heard)
					}
				}
			})
		}
	}
	all.Wait()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) { // it is looked at afterwards
		if out := s.candor("", "--config", s.config, "auth", "exposed"); strings.Contains(out, "ann@example.org") {
			break
		} else if time.Now().After(end) {
			t.Fatalf("candor auth exposed: %s\n%s", out, s.log)
		}
	}
	if strings.Contains(s.log.String(), "login ok") {
		t.Errorf("a login succeeded:\n%s", s.log)
	}
}
