package interop

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"candor/internal/mailtest/tool"
)

// gnutls runs gnutls-cli on a port until the server ends the session.
func (s *server) gnutls(t *testing.T, starttls string, port int, input string, more ...string) (string, error) {
	t.Helper()
	args := []string{"--x509cafile", s.cert, "--verify-hostname", hostname, "--crlf", "--port", fmt.Sprint(port)}
	if starttls != "" {
		args = append(args, "--starttls-proto", starttls)
	}
	return output(t, input, tool.Need(t, "gnutls-cli"), append(append(args, more...), "127.0.0.1")...)
}

// TestGnuTLS speaks STARTTLS of each protocol with gnutls-cli, which finds nothing to object to, and agrees on the
// protocol's name; TLS 1.1 and the name of another protocol end in the right alert.
func TestGnuTLS(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, d := range s.tlsDoors() {
		protocol := map[string]string{"25": "smtp", "587": "smtp", "465": "smtp", "143": "imap", "993": "imap", "110": "pop3", "995": "pop3"}[d.name]
		bye := map[string]string{"smtp": "221 2.0.0 ", "imap": "a OK LOGOUT", "pop3": "+OK Bye"}[protocol]
		quit := map[string]string{"smtp": "QUIT\n", "imap": "a LOGOUT\n", "pop3": "QUIT\n"}[protocol]
		for version, name := range map[string]string{"1.2": "(TLS1.2-", "1.3": "(TLS1.3-"} {
			out, err := s.gnutls(t, d.starttls, d.port, quit, "--alpn", protocol, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS"+version)
			if err != nil || !strings.Contains(out, bye) || !strings.Contains(out, name) || !strings.Contains(out, "Application protocol: "+protocol) {
				t.Errorf("%s by TLS %s: %v\n%s", d.name, version, err, out)
			}
		}
		for alert, more := range map[string][]string{"[70]": {"--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.1"}, "[120]": {"--alpn", "http/1.1"}} {
			if out, err := s.gnutls(t, d.starttls, d.port, "", more...); err == nil || !strings.Contains(out, "Received alert "+alert) {
				t.Errorf("%s with %q: %v\n%s", d.name, more, err, out)
			}
		}
	}
}

// TestTLSToolsOnTheWrongPort begins TLS where STARTTLS is expected, and waits for a greeting where TLS is.
func TestTLSToolsOnTheWrongPort(t *testing.T) {
	t.Parallel()
	tool.Need(t, "openssl")
	tool.Need(t, "gnutls-cli")
	s := prepare(t, "[limits]\nexempt = [\"127.0.0.0/8\"]\nfirst_byte_timeout = \"5s\"\n")
	s.run()
	var all sync.WaitGroup
	for _, protocol := range []string{"smtp", "imap", "pop3"} {
		for name, run := range map[string]func(starttls string, port int){
			"s_client":   func(starttls string, port int) { s.sClient(t, door{"", starttls, port}, "") },
			"gnutls-cli": func(starttls string, port int) { s.gnutls(t, starttls, port, "") },
		} {
			all.Go(func() {
				p := newTap(t, s.doorPort(protocol, false))
				run("", p.port)
				if heard := p.toUser.String(); strings.Count(heard, "\n") != 1 {
					t.Errorf("%s, %s: heard %q, want the greeting alone", name, protocol, heard)
				}
				p = newTap(t, s.doorPort(protocol, true))
				run(protocol, p.port)
				if heard := p.toUser.String(); heard != overTLS[protocol] {
					t.Errorf("%s, %s: heard %q, want %q", name, protocol, heard, overTLS[protocol])
				}
			})
		}
	}
	all.Wait()
}
