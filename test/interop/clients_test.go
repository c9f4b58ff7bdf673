package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest/tool"
)

// TestSwaks sends through every port with swaks, and shows that AUTH does not exist before TLS.
func TestSwaks(t *testing.T) {
	t.Parallel()
	swaks := tool.Need(t, "swaks")
	s := start(t)
	common := []string{"--server", "127.0.0.1", "--ehlo", "client.example", "--to", "bob@example.org", "--tls-verify", "--tls-ca-path", s.cert}
	for name, args := range map[string][]string{
		"25 in clear":         {"--port", fmt.Sprint(s.smtp), "--from", "eve@elsewhere.example"},
		"25 with STARTTLS":    {"--port", fmt.Sprint(s.smtp), "--from", "eve@elsewhere.example", "--tls"},
		"587 PLAIN":           {"--port", fmt.Sprint(s.submission), "--from", "ann@example.org", "--tls", "--auth", "PLAIN", "--auth-user", "ann@example.org", "--auth-password", "secret"},
		"587 LOGIN":           {"--port", fmt.Sprint(s.submission), "--from", "ann@example.org", "--tls", "--auth", "LOGIN", "--auth-user", "ann@example.org", "--auth-password", "secret"},
		"465 PLAIN":           {"--port", fmt.Sprint(s.submissions), "--from", "ann@example.org", "--tlsc", "--auth", "PLAIN", "--auth-user", "ann@example.org", "--auth-password", "secret"},
		"465 LOGIN pipelined": {"--port", fmt.Sprint(s.submissions), "--from", "ann@example.org", "--tlsc", "--pipeline", "--auth", "LOGIN", "--auth-user", "ann@example.org", "--auth-password", "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			subject := "swaks " + name
			out := s.must("", swaks, append(append([]string{"--header", "Subject: " + subject}, common...), args...)...)
			if !strings.Contains(out, "250 2.0.0") {
				t.Errorf("no 250 2.0.0 in\n%s", out)
			}
			s.waitFor(t, "bob@example.org", subject)
		})
	}
	for name, args := range map[string][]string{
		"AUTH before TLS on 587": {"--port", fmt.Sprint(s.submission), "--from", "ann@example.org", "--auth", "PLAIN", "--auth-user", "ann@example.org", "--auth-password", "secret"},
		"AUTH on 25":             {"--port", fmt.Sprint(s.smtp), "--tls", "--from", "ann@example.org", "--auth", "PLAIN", "--auth-user", "ann@example.org", "--auth-password", "secret"},
		"wrong password":         {"--port", fmt.Sprint(s.submission), "--from", "ann@example.org", "--tls", "--auth", "PLAIN", "--auth-user", "ann@example.org", "--auth-password", "wrong"},
		"another's address":      {"--port", fmt.Sprint(s.submission), "--from", "bob@example.org", "--tls", "--auth", "PLAIN", "--auth-user", "ann@example.org", "--auth-password", "secret"},
		"relaying through 25":    {"--port", fmt.Sprint(s.smtp), "--from", "eve@elsewhere.example", "--to", "dave@elsewhere.example"},
		"unknown recipient":      {"--port", fmt.Sprint(s.smtp), "--from", "eve@elsewhere.example", "--to", "nobody@example.org"},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			out, err := output(t, "", swaks, append(append([]string{"--header", "Subject: refused"}, common...), args...)...)
			if err == nil {
				t.Errorf("swaks succeeded:\n%s", out)
			}
			if strings.Contains(out, "334 ") {
				t.Errorf("a challenge was sent:\n%s", out)
			}
		})
	}
	if n := s.count(t, "bob@example.org", "refused"); n != 0 {
		t.Errorf("%d refused messages were delivered", n)
	}
}

// TestCurl uses curl's own SMTP, IMAP and POP3 with TLS demanded.
func TestCurl(t *testing.T) {
	t.Parallel()
	curl := tool.Need(t, "curl")
	s := start(t)
	message := write(t, "message", "From: ann@example.org\r\nTo: bob@example.org\r\nSubject: from curl\r\n\r\nHello.\r\n.\r\n..dots\r\n")
	base := func(user string, args ...string) []string {
		return append([]string{"--silent", "--show-error", "--ssl-reqd", "--cacert", s.cert, "--user", user + ":secret"}, args...)
	}
	at := func(port int) string { return fmt.Sprintf("%s:%d:127.0.0.1", hostname, port) }
	for _, u := range []struct {
		scheme string
		port   int
	}{{"smtp", s.submission}, {"smtps", s.submissions}} {
		s.must("", curl, base("ann@example.org", "--resolve", at(u.port), "--mail-from", "ann@example.org", "--mail-rcpt", "bob@example.org",
			"--upload-file", message, fmt.Sprintf("%s://%s:%d", u.scheme, hostname, u.port))...)
	}
	s.waitCount(t, "bob@example.org", "from curl", 2)
	for _, u := range []struct {
		scheme, path string
		port         int
	}{{"imap", "/INBOX;MAILINDEX=1", s.imap}, {"imaps", "/INBOX;MAILINDEX=1", s.imaps}, {"pop3", "/1", s.pop3}, {"pop3s", "/1", s.pop3s}} {
		t.Run(u.scheme, func(t *testing.T) {
			out := s.must("", curl, base("bob@example.org", "--resolve", at(u.port), fmt.Sprintf("%s://%s:%d%s", u.scheme, hostname, u.port, u.path))...)
			if !strings.Contains(out, "\r\n\r\nHello.\r\n.\r\n..dots\r\n") || !strings.Contains(out, "\r\nCandor-Transport: v=1;") {
				t.Errorf("got %q", out)
			}
		})
	}
}

// TestOpenSSL speaks STARTTLS of each protocol with s_client, whose verdict on the certificate must be clean.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	openssl := tool.Need(t, "openssl")
	s := start(t)
	for _, c := range []struct {
		name, starttls, quit, want string
		port                       int
	}{
		{"25", "smtp", "QUIT\r\n", "221 ", s.smtp},
		{"587", "smtp", "QUIT\r\n", "221 ", s.submission},
		{"143", "imap", "a LOGOUT\r\n", "a OK", s.imap},
		{"110", "pop3", "QUIT\r\n", "+OK", s.pop3},
		{"465", "", "QUIT\r\n", "221 ", s.submissions},
		{"993", "", "a LOGOUT\r\n", "a OK", s.imaps},
		{"995", "", "QUIT\r\n", "+OK", s.pop3s},
	} {
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			t.Run(c.name+version, func(t *testing.T) {
				args := []string{"s_client", "-connect", fmt.Sprintf("127.0.0.1:%d", c.port), "-servername", hostname, "-verify_hostname", hostname, "-CAfile", s.cert, "-verify_return_error", "-crlf", "-quiet", version}
				if c.starttls != "" {
					args = append(args, "-starttls", c.starttls)
				}
				out := s.must(strings.ReplaceAll(c.quit, "\r", ""), openssl, args...)
				if !strings.Contains(out, c.want) {
					t.Errorf("no %q in\n%s", c.want, out)
				}
			})
		}
		for _, version := range []string{"-tls1", "-tls1_1"} {
			t.Run(c.name+version+" refused", func(t *testing.T) {
				args := []string{"s_client", "-connect", fmt.Sprintf("127.0.0.1:%d", c.port), "-cipher", "ALL:@SECLEVEL=0", version}
				if c.starttls != "" {
					args = append(args, "-starttls", c.starttls)
				}
				if out, err := output(t, "", openssl, args...); err == nil {
					t.Errorf("the handshake succeeded:\n%s", out)
				}
			})
		}
	}
}

// TestSCRAM logs in with SCRAM-SHA-256 by GNU SASL itself; TestProgramsRightly does by programs.
func TestSCRAM(t *testing.T) {
	t.Parallel()
	gsasl := tool.Need(t, "gsasl")
	s := start(t)
	out, err := gsaslLogin(t, gsasl, s.cert, s.imap, "--no-cb", "--mechanism", "SCRAM-SHA-256")
	if err != nil || !strings.Contains(out, "Session finished") && !strings.Contains(out, "authentication success") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestMbsync synchronises 500 messages both ways with flags, deletes and new folders; a second run does nothing.
func TestMbsync(t *testing.T) {
	t.Parallel()
	mbsync := tool.Need(t, "mbsync")
	s := start(t)
	home := t.TempDir()
	local := filepath.Join(home, "mail")
	conf := filepath.Join(home, "mbsyncrc")
	text := fmt.Sprintf(`IMAPAccount a
Host 127.0.0.1
Port %d
User ann@example.org
Pass secret
SSLType STARTTLS
CertificateFile %s
SystemCertificates no

IMAPStore remote
Account a

MaildirStore local
Path %s/
Inbox %s/INBOX
SubFolders Verbatim

Channel c
Far :remote:
Near :local:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
`, s.imap, s.cert, local, local)
	if err := os.MkdirAll(local, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	maildir := func(name string) string { return filepath.Join(local, name) }
	sync := func() string { return s.must("", mbsync, "-c", conf, "-V", "c") }
	sync()

	// 500 messages come up from the Maildir, a third of them seen and flagged, in a new folder.
	for _, d := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(maildir("Projects"), d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 500 {
		flags := ""
		if i%3 == 0 {
			flags = "FS"
		}
		name := fmt.Sprintf("%d.%d.test:2,%s", time.Now().Unix(), i, flags)
		body := fmt.Sprintf("From: ann@example.org\nTo: bob@example.org\nSubject: number %d\nMessage-ID: <%d@test>\n\nBody %d\n", i, i, i)
		if err := os.WriteFile(filepath.Join(maildir("Projects"), "cur", name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sync()
	if got := s.status(t, "ann@example.org", "Projects"); got != "MESSAGES 500 UNSEEN 333" {
		t.Fatalf("after the upload: %s", got)
	}

	// Changes on the server come down: flags, deletes, a new folder.
	s.imapScript(t, "ann@example.org", "SELECT Projects", `UID STORE 1:100 +FLAGS (\Answered)`, `UID STORE 401:500 +FLAGS (\Deleted)`, "EXPUNGE", "CREATE Projects/Old", "UID COPY 1:10 Projects/Old")
	sync()
	if n := countFiles(t, maildir("Projects"), ""); n != 400 {
		t.Errorf("the Maildir holds %d messages, want 400", n)
	}
	if n := countFiles(t, maildir("Projects"), "R"); n != 100 {
		t.Errorf("%d messages are answered, want 100", n)
	}
	if n := countFiles(t, maildir("Projects/Old"), ""); n != 10 {
		t.Errorf("the new folder holds %d messages, want 10", n)
	}

	// Changes in the Maildir go up: deletes and flags.
	removed := 0
	for _, f := range files(t, maildir("Projects")) {
		if strings.HasSuffix(f, ",FRS") && removed < 20 {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
			removed++
		}
	}
	sync()
	if got := s.status(t, "ann@example.org", "Projects"); !strings.HasPrefix(got, "MESSAGES 380 ") {
		t.Errorf("after deleting 20 in the Maildir: %s", got)
	}
	before, state := listing(t, local), s.mailboxState(t, "ann@example.org", "Projects")
	out := sync()
	if after := listing(t, local); before != after {
		t.Errorf("a further run changed the Maildir:\n%s", out)
	}
	if now := s.mailboxState(t, "ann@example.org", "Projects"); now != state {
		t.Errorf("a further run changed the mailbox from %+v to %+v:\n%s", state, now, out)
	}
}

func files(t *testing.T, maildir string) []string {
	t.Helper()
	var all []string
	for _, d := range []string{"cur", "new"} {
		m, err := filepath.Glob(filepath.Join(maildir, d, "*"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m...)
	}
	return all
}

func countFiles(t *testing.T, maildir, flag string) int {
	n := 0
	for _, f := range files(t, maildir) {
		if _, flags, _ := strings.Cut(filepath.Base(f), ":2,"); strings.Contains(flags, flag) {
			n++
		}
	}
	return n
}

// listing names every message file below dir.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, ":2,") {
			b.WriteString(path + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestFetchmail empties a maildrop over POP3 and an INBOX over IMAP.
func TestFetchmail(t *testing.T) {
	t.Parallel()
	fetchmail := tool.Need(t, "fetchmail")
	s := start(t)
	for _, c := range []struct {
		proto, ssl string
		port       int
	}{{"pop3", "ssl", s.pop3s}, {"pop3", "sslproto tls1.2+", s.pop3}, {"imap", "ssl", s.imaps}, {"imap", "sslproto tls1.2+", s.imap}} {
		t.Run(c.proto+" "+c.ssl, func(t *testing.T) {
			s.sendPlain(t, "bob@example.org", "for fetchmail")
			s.waitFor(t, "bob@example.org", "for fetchmail")
			out := filepath.Join(t.TempDir(), "out")
			rc := write(t, "fetchmailrc", fmt.Sprintf("poll 127.0.0.1 protocol %s port %d username \"bob@example.org\" password \"secret\" %s sslcertck sslcertfile %s sslcommonname %s no rewrite mda \"cat >> %s\"\n", c.proto, c.port, c.ssl, s.cert, hostname, out))
			s.must("", fetchmail, "-f", rc, "--pidfile", filepath.Join(t.TempDir(), "pid"), "--nosyslog", "-v")
			got, err := os.ReadFile(out)
			if err != nil || !strings.Contains(string(got), "Subject: for fetchmail") {
				t.Errorf("fetched %q, %v", got, err)
			}
			if n := s.count(t, "bob@example.org", "for fetchmail"); n != 0 {
				t.Errorf("%d messages are left", n)
			}
		})
	}
}

// TestMutt reads a mailbox over IMAP with mutt and saves a message.
func TestMutt(t *testing.T) {
	t.Parallel()
	mutt := tool.Need(t, "mutt")
	s := start(t)
	s.sendPlain(t, "bob@example.org", "for mutt")
	s.waitFor(t, "bob@example.org", "for mutt")
	// With GNU SASL, mutt chooses SCRAM-SHA-256-PLUS without data of the channel over TLS 1.3, gives it up, and over
	// POP3 takes the answer to that for the one to its next login.
	const unbound = "set pop_authenticators=scram-sha-256:plain\n"
	for name, c := range map[string]struct {
		url, more string
	}{
		"imaps":       {fmt.Sprintf("imaps://127.0.0.1:%d/INBOX", s.imaps), ""},
		"STARTTLS":    {fmt.Sprintf("imap://127.0.0.1:%d/INBOX", s.imap), "set ssl_starttls=yes\nset ssl_force_tls=yes\n"},
		"SCRAM":       {fmt.Sprintf("imaps://127.0.0.1:%d/INBOX", s.imaps), "set imap_authenticators=scram-sha-256\n"},
		"pops":        {fmt.Sprintf("pops://127.0.0.1:%d/", s.pop3s), unbound},
		"pop by STLS": {fmt.Sprintf("pop://127.0.0.1:%d/", s.pop3), "set ssl_starttls=yes\nset ssl_force_tls=yes\n" + unbound},
	} {
		t.Run(name, func(t *testing.T) {
			saved := filepath.Join(t.TempDir(), "saved")
			rc := write(t, "muttrc", fmt.Sprintf("set imap_user=\"bob@example.org\"\nset imap_pass=secret\nset pop_user=\"bob@example.org\"\nset pop_pass=secret\nset certificate_file=%s\nset ssl_verify_host=no\nset folder=/nonexistent\nset confirmcreate=no\nset confirmappend=no\nset delete=no\nset move=no\nset pop_delete=no\nset sleep_time=0\nset wait_key=no\n%s", s.cert, c.more))
			push := "push <limit>all<enter><first-entry><copy-message><kill-line>" + saved + "<enter><exit>"
			out, err := onTerminal(t, mutt, "-n", "-F", rc, "-f", c.url, "-e", push)
			got, readErr := os.ReadFile(saved)
			if readErr != nil || !strings.Contains(string(got), "Subject: for mutt") {
				t.Errorf("mutt saved %q (%v, %v)\n%s\n%s", got, err, readErr, out, s.log)
			}
		})
	}
}
