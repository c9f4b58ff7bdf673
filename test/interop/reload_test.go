package interop

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// replace changes text in the server's configuration.
func (s *server) replace(was, is string) {
	s.t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil || !strings.Contains(string(text), was) {
		s.t.Fatalf("no %q in the configuration: %v\n%s", was, err, text)
	}
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), was, is, 1)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// reload puts the configuration into force.
func (s *server) reload() {
	s.t.Helper()
	s.candor("", "reload", "--config", s.config)
}

// TestReloadCertificates: SIGHUP takes up new certificates without dropping a session, and keeps those in use when
// the new ones cannot be used.
func TestReloadCertificates(t *testing.T) {
	t.Parallel()
	s := start(t)
	session := s.imapLogin(t, "ann@example.org")
	other := prepare(t, "") // for its certificate
	for _, f := range []string{"cert.pem", "key.pem"} {
		b, err := os.ReadFile(filepath.Join(other.dir, "tls", f))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "tls", f), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.await("configuration reloaded")
	if _, err := session.do("NOOP"); err != nil {
		t.Errorf("the session that was open: %v", err)
	}
	s.imapLogin(t, "ann@example.org") // trusts the certificate that is in the file now
	s.replace(`cert = "tls/cert.pem"`, `cert = "`+s.cert+`"`)
	if err := os.WriteFile(filepath.Join(s.dir, "tls", "key.pem"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.await("reload refused")
	s.imapLogin(t, "ann@example.org")
}

// TestReload: listeners come, go and change; name, limits and networks count for new sessions; no session ends.
func TestReload(t *testing.T) {
	t.Parallel()
	s := start(t)
	free := freePorts(t, 1)
	imap, old := s.imapWire(t), s.smtpWire(t)
	pop3 := s.tlsWire(t, s.pop3s)
	pop3.until("+OK")

	s.replace(`hostname = "mail.example.org"`, `hostname = "mx.example.org"`)
	s.replace("[limits]\n", "[limits]\nmessage_size = \"64KiB\"\n")
	s.replace(fmt.Sprintf(`address = "127.0.0.1:%d"`, s.imaps), fmt.Sprintf(`address = "127.0.0.1:%d"`, free[0])) // goes, and another comes
	s.replace(fmt.Sprintf(`address = "127.0.0.1:%d"`, s.smtp), fmt.Sprintf(`address = "0.0.0.0:%d"`, s.smtp))     // overlaps what it replaces
	pop := fmt.Sprintf("service = \"pop3\"\naddress = \"127.0.0.1:%d\"\ntls = \"required\"", s.pop3)
	s.replace(pop, strings.NewReplacer("pop3", "http", "required", "none").Replace(pop)) // keeps its socket
	certificateFor(t, s, "mx.example.org")
	s.reload()

	imap.say("b NOOP\r\n")
	imap.until("b OK")
	pop3.say("CAPA\r\n")
	pop3.until("+OK")
	old.say("EHLO again.example\r\n")
	old.until("250-mail.example.org")
	old.until("250-SIZE 52428800")
	old.until("250 ")
	if conn, err := dialPort(s.imaps); err == nil {
		conn.Close()
		t.Error("a listener that is gone accepts")
	}
	fresh := s.plainWire(t, s.smtp)
	fresh.until("220 mx.example.org ")
	fresh.say("EHLO client.example\r\n")
	fresh.until("250-SIZE 65536")
	renamed, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", free[0]), &tls.Config{RootCAs: s.clientTLS().RootCAs, ServerName: "mx.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	newWireClient(t, renamed).until("* OK")
	r, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get(fmt.Sprintf("http://127.0.0.1:%d/", s.pop3))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if location := r.Header.Get("Location"); !strings.Contains(location, "mx.example.org") {
		t.Errorf("HTTP in the place of POP3 redirects to %q", location)
	}
	s.replace(fmt.Sprintf(`address = "0.0.0.0:%d"`, s.smtp), fmt.Sprintf(`address = "127.0.0.1:%d"`, s.smtp))
	s.reload()
	s.smtpWire(t)
	if got := s.candor("", "status", "--config", s.config); !strings.Contains(got, "mx.example.org has been running") || strings.Contains(got, "refused") {
		t.Errorf("status: %s", got)
	}
	s.stop()
}

// certificateFor puts a certificate for another host name in the place of the server's.
func certificateFor(t *testing.T, s *server, host string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "other")
	s.candor("", "quickstart", "--hostname", host, "--domain", "example.org", "--data", dir, "--ports", "high")
	for _, f := range []string{"cert.pem", "key.pem"} {
		b, err := os.ReadFile(filepath.Join(dir, "tls", f))
		if err == nil {
			err = os.WriteFile(filepath.Join(s.dir, "tls", f), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestReloadRefusals: what cannot be put into force changes nothing, and says where, why, and what to write.
func TestReloadRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	good, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	taken := start(t).smtp
	for name, c := range map[string]struct{ was, is, want string }{
		"syntax":     {"hostname =", "hostname", ":1:"},
		"rule":       {`tls = "required"`, `tls = "opportunistic"`, "CFG-01"},
		"data":       {`data     = "."`, `data     = "elsewhere"`, "data cannot change while the server runs"},
		"memory":     {"[limits]\n", "[limits]\nmemory = \"300MiB\"\n", "memory cannot change while the server runs"},
		"port taken": {fmt.Sprintf(`address = "127.0.0.1:%d"`, s.smtp), fmt.Sprintf(`address = "127.0.0.1:%d"`, taken), "is in use"},
		"other name": {`hostname = "mail.example.org"`, `hostname = "mx.example.org"`, "is not for mx.example.org"},
		"no file":    {`cert = "tls/cert.pem"`, `cert = "tls/absent.pem"`, "absent.pem"},
	} {
		// A new limit shows whether anything of the file came into force.
		if err := os.WriteFile(s.config, []byte(strings.Replace(string(good), "[limits]\n", "[limits]\nmessage_size = \"64KiB\"\n", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		s.replace(c.was, c.is)
		if name == "data" { // only a signal finds the server
			s.cmd.Process.Signal(syscall.SIGHUP)
			s.await(c.want)
			s.replace(c.is, c.was)
		} else if out, err := s.try("", "reload", "--config", s.config); exitCode(err) != 1 || !strings.Contains(out, c.want) || !strings.Contains(out, s.config) {
			t.Errorf("%s: exit %d, no %q in %s", name, exitCode(err), c.want, out)
		}
		client := s.plainWire(t, s.smtp)
		client.until("220 mail.example.org ")
		client.say("EHLO client.example\r\n")
		client.until("250-SIZE 52428800")
		if out := s.candor("", "status", "--config", s.config); !strings.Contains(out, "was refused: ") || !strings.Contains(out, c.want) {
			t.Errorf("%s: status %s", name, out)
		}
	}
	if err := os.WriteFile(s.config, good, 0o600); err != nil {
		t.Fatal(err)
	}
	s.reload()
	if out := s.candor("", "status", "--config", s.config); strings.Contains(out, "refused") {
		t.Errorf("after a good reload: %s", out)
	}
	s.stop()
	if out, err := s.try("", "reload", "--config", s.config); exitCode(err) != 1 || !strings.Contains(out, "it is not running") {
		t.Errorf("without a server: %v, %s", err, out)
	}
}
