package interop

import (
	"sync"
	"testing"
)

// methods are those that a program can be set to, of what the server offers, and what the log then says; "" leaves the
// choice to the program. By itself mutt chooses SCRAM-SHA-256-PLUS, and has no data of the channel for it: over IMAP it
// goes on to the next, over SMTP and POP3 it does not.
var methods = map[string]map[string]string{
	"swaks smtp":     {"": "", "PLAIN": "PLAIN", "LOGIN": "LOGIN"},
	"msmtp smtp":     {"": "", "PLAIN": "PLAIN", "LOGIN": "LOGIN", "SCRAM-SHA-256": "SCRAM-SHA-256"},
	"curl smtp":      {"": "", "PLAIN": "PLAIN", "LOGIN": "LOGIN"},
	"curl imap":      {"": "", "PLAIN": "PLAIN", "LOGIN": "LOGIN"},
	"curl pop3":      {"": "", "PLAIN": "PLAIN", "LOGIN": "LOGIN"},
	"mbsync imap":    {"": "", "PLAIN": "PLAIN", "LOGIN": "IMAP-LOGIN", "SCRAM-SHA-256": "SCRAM-SHA-256"},
	"fetchmail imap": {"": "", "PASSWORD": "IMAP-LOGIN"},
	"fetchmail pop3": {"": "", "PASSWORD": "POP3-USER"},
	"mutt smtp":      {"PLAIN": "PLAIN", "LOGIN": "LOGIN", "SCRAM-SHA-256": "SCRAM-SHA-256"},
	"mutt imap":      {"": "", "PLAIN": "PLAIN", "LOGIN": "LOGIN", "SCRAM-SHA-256": "SCRAM-SHA-256"},
	"mutt pop3":      {"PLAIN": "PLAIN", "USER": "POP3-USER", "SCRAM-SHA-256": "SCRAM-SHA-256"},
}

// TestProgramsRightly logs in with every program, protocol and mechanism, by both kinds of TLS.
func TestProgramsRightly(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.sendPlain(t, "ann@example.org", "for programs") // without mail fetchmail ends with status 1
	s.waitFor(t, "ann@example.org", "for programs")
	var all sync.WaitGroup
	var maildrop sync.Mutex // one session at a time has it
	for _, m := range mailers {
		m.need(t)
		for _, protocol := range m.protocols {
			all.Go(func() {
				if protocol == "pop3" {
					maildrop.Lock()
					defer maildrop.Unlock()
				}
				for mechanism, method := range methods[m.name+" "+protocol] {
					for _, implicit := range []bool{true, false} {
						s.expectLogin(t, m, protocol, implicit, mechanism, method)
					}
				}
			})
		}
	}
	all.Wait()
}

// expectLogin runs a program through a tap, whose port tells its login from others.
func (s *server) expectLogin(t *testing.T, m mailer, protocol string, implicit bool, mechanism, method string) {
	kind, mode := upgraded, "tls.mode=starttls"
	if implicit {
		kind, mode = wrapped, "tls.mode=implicit"
	}
	p := newTap(t, s.doorPort(protocol, implicit))
	shown, err := m.run(t, s, choice{protocol, p.port, kind, mechanism})
	if err != nil {
		t.Errorf("%s, %s, %s by %q: %v\n%s", m.name, protocol, kind, mechanism, err, shown)
		return
	}
	if !s.logged(0, "login ok", "rport="+p.lastPort(), "method="+method, mode) {
		t.Errorf("%s, %s, %s by %q: no login by %q from port %s:\n%s\n%s", m.name, protocol, kind, mechanism, method, p.lastPort(), shown, s.log)
	}
}
