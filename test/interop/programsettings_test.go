package interop

import (
	"strings"
	"sync"
	"testing"
)

// doorPort returns the port of a service that begins in clear, or with TLS from the start.
func (s *server) doorPort(protocol string, implicit bool) int {
	ports := map[string][2]int{"smtp": {s.submission, s.submissions}, "imap": {s.imap, s.imaps}, "pop3": {s.pop3, s.pop3s}}[protocol]
	if implicit {
		return ports[1]
	}
	return ports[0]
}

// overTLS are.
var overTLS = map[string]string{
	"smtp": "421 4.7.0 " + hostname + " " + fromTheStart + ", not STARTTLS or none\r\n",
	"imap": "* BYE " + fromTheStart + ", not STARTTLS or none\r\n",
	"pop3": "-ERR [SYS/PERM] " + fromTheStart + "\r\n",
}

// inClearRefused are, by what a program sends that is answered so.
var inClearRefused = map[string]string{
	"MAIL FROM:":    "530 5.7.0 Encryption required first: set connection security to STARTTLS (587) or SSL/TLS (465)\r\n",
	" LOGIN ":       " NO [PRIVACYREQUIRED] Not accepted without encryption: set SSL/TLS on port 993 (or STARTTLS). A password just sent may have been read by others\r\n",
	" AUTHENTICATE": " NO [PRIVACYREQUIRED] Not accepted without encryption: set SSL/TLS on port 993 (or STARTTLS). A password just sent may have been read by others\r\n",
	"USER ":         "-ERR [SYS/PERM] Encryption required: set SSL/TLS on port 995 (or STLS). A password just sent may have been read by others\r\n",
}

// TestProgramsOnTheWrongPort sets every program and protocol to each kind of encryption that the port does not have:
// the rows of the specification, section 2.7, and no encryption at all.
func TestProgramsOnTheWrongPort(t *testing.T) {
	t.Parallel()
	s := prepare(t, "[limits]\nexempt = [\"127.0.0.0/8\"]\nfirst_byte_timeout = \"5s\"\n")
	s.account("ann@example.org", "secret")
	s.run()
	var all sync.WaitGroup
	programs := map[string]int{}
	for _, m := range mailers {
		m.need(t)
		for _, protocol := range m.protocols {
			programs[protocol]++
			all.Go(func() {
				s.expectOverTLS(t, m, protocol, upgraded)
				s.expectOverTLS(t, m, protocol, inClear)
				s.expectNotTLS(t, m, protocol)
				s.expectInClearRefused(t, m, protocol)
			})
		}
	}
	all.Wait()
	for protocol, service := range map[string]string{"smtp": "submission", "imap": "imap", "pop3": "pop3"} {
		for seen, want := range map[string]int{"silence expected=tls": 2 * programs[protocol], "tls expected=starttls": programs[protocol]} {
			n := 0
			for line := range strings.Lines(s.log.String()) {
				if strings.Contains(line, "wrong-protocol seen="+seen) && strings.Contains(line, "svc="+service) {
					n++
				}
			}
			if n != want {
				t.Errorf("%s: the log has seen=%s %d times, want %d", service, seen, n, want)
			}
		}
	}
	if strings.Contains(s.log.String(), "login ok") {
		t.Errorf("a login succeeded:\n%s", s.log)
	}
}

// attempt runs a program through a tap, and checks that it fails without its password being seen.
func (s *server) attempt(t *testing.T, m mailer, protocol string, implicit bool, kind security) (sent, heard string) {
	p := newTap(t, s.doorPort(protocol, implicit))
	shown, err := m.run(t, s, choice{protocol, p.port, kind, ""})
	if err == nil && m.name != "mutt" { // which ends well whatever it could not do
		t.Errorf("%s, %s, %s: it worked:\n%s", m.name, protocol, kind, shown)
	}
	if p.shows("secret") {
		t.Errorf("%s, %s, %s: the password crossed in clear: %q", m.name, protocol, kind, p.toServer.String())
	}
	return p.toServer.String(), p.toUser.String()
}

// expectOverTLS sets a program to something else on a port with TLS from the start.
func (s *server) expectOverTLS(t *testing.T, m mailer, protocol string, kind security) {
	if _, heard := s.attempt(t, m, protocol, true, kind); heard != overTLS[protocol] {
		t.Errorf("%s, %s, %s: heard %q, want %q", m.name, protocol, kind, heard, overTLS[protocol])
	}
}

// expectNotTLS sets a program to TLS on a port that begins in clear: it gets the greeting and no more.
func (s *server) expectNotTLS(t *testing.T, m mailer, protocol string) {
	if _, heard := s.attempt(t, m, protocol, false, wrapped); strings.Count(heard, "\n") != 1 {
		t.Errorf("%s, %s: heard %q, want the greeting alone", m.name, protocol, heard)
	}
}

// expectInClearRefused sets a program to no encryption: it sees beforehand that there is no login, or is told.
func (s *server) expectInClearRefused(t *testing.T, m mailer, protocol string) {
	sent, heard := s.attempt(t, m, protocol, false, inClear)
	for command, refusal := range inClearRefused {
		if strings.Contains(sent, command) && !strings.Contains(heard, refusal) {
			t.Errorf("%s, %s: heard %q, want %q", m.name, protocol, heard, refusal)
		}
	}
}
