package interop

import (
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"candor/internal/mailtest/tool"
)

// postfix is a Postfix in a folder of its own, beside whatever the machine runs.
type postfix struct {
	dir     string
	maildir string
}

// startPostfix runs a Postfix that listens on address and delivers mail for remote.example into one Maildir. more
// is appended to main.cf.
func startPostfix(t *testing.T, address, more string) *postfix {
	t.Helper()
	program := tool.Need(t, "postfix")
	if os.Geteuid() != 0 {
		tool.Lacking(t, "Postfix can only be started by root")
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: the path must be short and open to the postfix user.
	dir, err := os.MkdirTemp("", "candor-postfix-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &postfix{dir: dir, maildir: filepath.Join(dir, "vmail", "box")}
	for _, d := range []string{"etc", "spool", "data", "vmail"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "chmod", "755", dir)
	run(t, "chown", "postfix", filepath.Join(dir, "data"), filepath.Join(dir, "vmail"))
	run(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=mx.remote.example",
		"-addext", "subjectAltName=DNS:mx.remote.example", "-keyout", filepath.Join(dir, "key.pem"), "-out", filepath.Join(dir, "cert.pem"))
	main := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.remote.example
mydestination =
inet_interfaces = all
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
virtual_mailbox_domains = remote.example
virtual_mailbox_base = %[1]s/vmail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:%[2]s
virtual_gid_maps = static:%[3]s
virtual_minimum_uid = 1
smtpd_tls_cert_file = %[1]s/cert.pem
smtpd_tls_key_file = %[1]s/key.pem
smtpd_tls_security_level = may
smtpd_peername_lookup = no
smtp_host_lookup = native
smtp_dns_support_level = disabled
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
%[4]s
`, dir, owner.Uid, owner.Gid, more)
	master := address + " inet n - n - - smtpd\n"
	for _, s := range []string{
		"pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr", "rewrite unix - - n - - trivial-rewrite",
		"bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce", "verify unix - - n - 1 verify",
		"flush unix n - n 1000? 0 flush", "proxymap unix - - n - - proxymap", "smtp unix - - n - - smtp", "relay unix - - n - - smtp",
		"error unix - - n - - error", "retry unix - - n - - error", "discard unix - - n - - discard", "virtual unix - n n - - virtual",
		"anvil unix - - n - 1 anvil", "scache unix - - n - 1 scache", "tlsmgr unix - - n 1000? 1 tlsmgr", "postlog unix-dgram n - n - 1 postlogd",
	} {
		master += s + "\n"
	}
	for name, text := range map[string]string{"main.cf": main, "master.cf": master} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, program, "-c", filepath.Join(dir, "etc"), "start")
	t.Cleanup(func() { exec.Command(program, "-c", filepath.Join(dir, "etc"), "stop").Run() })
	waitPort(t, address)
	return p
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := output(t, "", name, args...); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func waitPort(t *testing.T, address string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		} else if time.Now().After(end) {
			t.Fatalf("nothing listens at %s: %v", address, err)
		}
	}
}

func (p *postfix) log() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return string(b)
}

// received waits for a message whose text holds mark in Postfix's Maildir.
func (p *postfix) received(t *testing.T, mark string) string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, f := range files(t, p.maildir) {
			if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), mark) {
				return string(b)
			}
		}
	}
	t.Fatalf("Postfix received nothing with %q:\n%s", mark, p.log())
	return ""
}

// TestPostfixSends: Postfix delivers to us over verified TLS.
func TestPostfixSends(t *testing.T) {
	t.Parallel()
	s := start(t)
	port := freePorts(t, 1)[0]
	address := fmt.Sprintf("127.0.0.1:%d", port)
	p := startPostfix(t, address, fmt.Sprintf("relayhost = [127.0.0.1]:%d\nsmtp_tls_security_level = secure\nsmtp_tls_secure_cert_match = %s\nsmtp_tls_CAfile = %s\nsmtp_tls_loglevel = 1\n", s.smtp, hostname, copyFor(t, s.cert)))
	c, err := smtp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := "From: Eve <eve@elsewhere.example>\r\nTo: bob@example.org\r\nSubject: through postfix\r\n\r\n.dot\r\n..dots\r\n" + strings.Repeat("x", 900) + "\r\n"
	if err := sendOver(c, "bob@example.org", text); err != nil {
		t.Fatal(err)
	}
	s.waitFor(t, "bob@example.org", "through postfix")
	got := s.message(t, "bob@example.org", "through postfix")
	for _, want := range []string{"with UTF8SMTPS id ", "state=encrypted-unauthenticated;", "floor=clear;", "\r\n\r\n.dot\r\n..dots\r\n" + strings.Repeat("x", 900) + "\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if !strings.Contains(p.log(), "Verified TLS connection established") {
		t.Errorf("Postfix did not verify us:\n%s", p.log())
	}
}

// copyFor copies a file to where the postfix user may read it.
func copyFor(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp("", "candor-cert-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(f.Name()) })
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Chmod(0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// serveZone answers DNS questions on loopback from records in master file form; other names do not exist.
func serveZone(t *testing.T, records ...string) string {
	t.Helper()
	zone := map[string][]dns.RR{}
	for _, r := range records {
		rr, err := dns.NewRR(r)
		if err != nil {
			t.Fatal(err)
		}
		zone[rr.Header().Name] = append(zone[rr.Header().Name], rr)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		rrs, known := zone[strings.ToLower(q.Question[0].Name)]
		for _, rr := range rrs {
			if rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		if !known {
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: handler}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
	return conn.LocalAddr().String()
}

// TestPostfixReceives: we find Postfix by MX and deliver to it over TLS; a recipient that it refuses comes back in a
// report, and one whose server is down waits in the queue for the operator.
func TestPostfixReceives(t *testing.T) {
	t.Parallel()
	host := fmt.Sprintf("127.19.%d.%d", os.Getpid()>>8&0xff, os.Getpid()&0xff) // mail goes to port 25: each run has its own
	address := net.JoinHostPort(host, "25")
	free, err := net.Listen("tcp", address)
	if err != nil {
		tool.Lacking(t, "another mail server has port 25: "+err.Error())
	}
	free.Close()
	p := startPostfix(t, address, "smtpd_recipient_restrictions = check_recipient_access inline:{{ nobody@remote.example = REJECT no such person }}, permit_mynetworks, reject\n")
	upstream := serveZone(t, "remote.example. 60 MX 10 mx.remote.example.", "mx.remote.example. 60 A "+host,
		"down.example. 60 MX 10 mx.down.example.", "mx.down.example. 60 A 127.0.0.18", "null.example. 60 MX 0 .")
	s := prepare(t, fmt.Sprintf("[dns]\nupstreams = [%q]\n[outbound]\nprivate_targets = [\"127.0.0.0/8\"]\n[limits]\nexempt = [\"127.0.0.0/8\"]\n", upstream))
	s.account("ann@example.org", "secret")
	s.run()

	s.submit(t, "friend@remote.example", "to postfix", "räksmörgås\r\n.dot\r\n")
	got := p.received(t, "Subject: to postfix")
	for _, want := range []string{"with UTF8SMTPSA id ", "tls TLS_AES_128_GCM_SHA256", "Message-ID: <", "Date: ", "räksmörgås\n.dot\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	_, ours, _ := strings.Cut(got, "Received: from [authenticated]")
	if strings.Contains(got, "Candor-Transport") || strings.Contains(ours, "127.0.0.1") {
		t.Errorf("what must not leave the machine left it:\n%s", got)
	}
	s.await("tls.state=encrypted-unauthenticated tls.floor=clear")

	for to, why := range map[string]string{"nobody@remote.example": "no such person", "x@null.example": "5.1.10", "x@absent.example": "5.1.2"} {
		s.submit(t, to, "bounced "+to, "hello\r\n")
		s.await("rcpt=" + to)
		found := ""
		for end := time.Now().Add(20 * time.Second); found == "" && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			for _, m := range s.inbox(t, "ann@example.org") {
				if strings.Contains(m, "Final-Recipient: rfc822; "+to) || strings.Contains(m, "Final-Recipient: rfc822;"+to) {
					found = m
				}
			}
		}
		for _, want := range []string{"Return-Path: <>", "report-type=delivery-status", "Action: failed", why, "bounced " + to} {
			if !strings.Contains(found, want) {
				t.Errorf("no %q in the report on %s:\n%s\n%s", want, to, found, s.inbox(t, "ann@example.org"))
			}
		}
	}

	s.submit(t, "x@down.example", "waits", "hello\r\n")
	s.await("rcpt=x@down.example")
	list := s.candor("", "queue", "list", "--config", s.config)
	if !strings.Contains(list, "x@down.example") {
		t.Fatalf("the queue: %s\n%s", list, s.log)
	}
	id := strings.Fields(list)[0]
	if out := s.candor("", "queue", "show", id, "--config", s.config); !strings.Contains(out, "1 attempts") {
		t.Errorf("queue show: %s", out)
	}
	if out := s.candor("", "queue", "retry", id, "--config", s.config); !strings.Contains(out, "1 will be tried") {
		t.Errorf("queue retry: %s", out)
	}
	if out := s.candor("", "queue", "remove", id, "--config", s.config); !strings.Contains(out, "1 removed") {
		t.Errorf("queue remove: %s", out)
	}
	if out := s.candor("", "queue", "list", "--json", "--config", s.config); strings.TrimSpace(out) != "" {
		t.Errorf("the queue after remove: %s", out)
	}
}

// submit sends as ann over 465.
func (s *server) submit(t *testing.T, to, subject, body string) {
	t.Helper()
	conn, err := dialTLS(s, s.submissions)
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClient(conn, hostname)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Auth(smtp.PlainAuth("", "ann@example.org", "secret", hostname)); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail("ann@example.org"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt(to); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(w, "From: ann@example.org\r\nTo: %s\r\nSubject: %s\r\n\r\n%s", to, subject, body)
	if err := w.Close(); err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	c.Quit()
}

// inbox returns the text of every message in INBOX.
func (s *server) inbox(t *testing.T, user string) []string {
	t.Helper()
	c := s.imapLogin(t, user)
	defer c.conn.Close()
	if _, err := c.do("EXAMINE INBOX"); err != nil {
		t.Fatal(err)
	}
	lines, err := c.do("UID FETCH 1:* BODY.PEEK[]")
	if err != nil {
		t.Fatal(err)
	}
	return lines
}
