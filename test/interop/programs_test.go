package interop

import (
	"fmt"
	"strings"
	"testing"

	"candor/internal/mailtest/tool"
)

// choice is what a person sets in a program.
type choice struct {
	protocol  string // smtp, imap or pop3
	port      int
	security  security
	mechanism string // empty: what the program chooses
}

// security is how a program encrypts.
type security string

const (
	inClear  security = "none"
	upgraded security = "STARTTLS"
	wrapped  security = "TLS"
)

// mailer is a mail program: run logs ann in as c says, and reads or sends something. It returns what the program shows.
type mailer struct {
	name      string
	protocols []string
	run       func(t *testing.T, s *server, c choice) (string, error)
}

var mailers = []mailer{
	{"swaks", []string{"smtp"}, runSwaks},
	{"msmtp", []string{"smtp"}, runMsmtp},
	{"curl", []string{"smtp", "imap", "pop3"}, runCurl},
	{"mbsync", []string{"imap"}, runMbsync},
	{"fetchmail", []string{"imap", "pop3"}, runFetchmail},
	{"mutt", []string{"smtp", "imap", "pop3"}, runMutt},
}

// need skips the test where the program is not installed.
func (m mailer) need(t *testing.T) { tool.Need(t, m.name) }

func runSwaks(t *testing.T, s *server, c choice) (string, error) {
	args := []string{
		"--server", "127.0.0.1", "--port", fmt.Sprint(c.port), "--ehlo", "client.example", "--timeout", "20", "--tls-verify", "--tls-ca-path", s.cert,
		"--from", "ann@example.org", "--to", "ann@example.org", "--auth-user", "ann@example.org", "--auth-password", "secret", "--auth",
	}
	if c.mechanism != "" {
		args = append(args, c.mechanism)
	}
	switch c.security {
	case upgraded:
		args = append(args, "--tls")
	case wrapped:
		args = append(args, "--tlsc")
	}
	return output(t, "", tool.Need(t, "swaks"), args...)
}

func runMsmtp(t *testing.T, s *server, c choice) (string, error) {
	security := map[security]string{inClear: "tls off", upgraded: "tls on\ntls_starttls on", wrapped: "tls on\ntls_starttls off"}[c.security]
	method := "on"
	if c.mechanism != "" {
		method = strings.ToLower(c.mechanism)
	}
	file := write(t, "msmtprc", fmt.Sprintf("account a\nhost 127.0.0.1\nport %d\n%s\ntls_trust_file %s\ntls_host_override %s\nauth %s\nuser ann@example.org\npassword secret\nfrom ann@example.org\ntimeout 20\n",
		c.port, security, s.cert, hostname, method))
	return output(t, "Subject: by msmtp\n\nHello\n", tool.Need(t, "msmtp"), "-d", "-C", file, "-a", "a", "ann@example.org")
}

func runCurl(t *testing.T, s *server, c choice) (string, error) {
	scheme := c.protocol
	if c.security == wrapped {
		scheme += "s"
	}
	user := "ann%40example.org"
	if c.mechanism != "" {
		user += ";AUTH=" + c.mechanism
	}
	args := []string{
		"--silent", "--show-error", "--verbose", "--max-time", "20", "--cacert", s.cert, "--resolve", fmt.Sprintf("%s:%d:127.0.0.1", hostname, c.port),
		fmt.Sprintf("%s://%s:secret@%s:%d/", scheme, user, hostname, c.port),
	}
	if c.security == upgraded {
		args = append(args, "--ssl-reqd")
	}
	if c.protocol == "smtp" {
		args = append(args, "--mail-from", "ann@example.org", "--mail-rcpt", "ann@example.org", "--upload-file", write(t, "message", "Subject: by curl\r\n\r\nHello\r\n"))
	}
	return output(t, "", tool.Need(t, "curl"), args...)
}

func runMbsync(t *testing.T, s *server, c choice) (string, error) {
	methods := ""
	if c.mechanism != "" {
		methods = "AuthMechs " + c.mechanism + "\n"
	}
	security := map[security]string{inClear: "None", upgraded: "STARTTLS", wrapped: "IMAPS"}[c.security]
	local := t.TempDir()
	file := write(t, "mbsyncrc", fmt.Sprintf("IMAPAccount a\nHost 127.0.0.1\nPort %d\nUser ann@example.org\nPass secret\nSSLType %s\n%sCertificateFile %s\nSystemCertificates no\nTimeout 20\n\nIMAPStore far\nAccount a\n\nMaildirStore near\nPath %s/\nInbox %s/INBOX\n\nChannel c\nFar :far:\nNear :near:\nCreate Near\nSyncState *\n",
		c.port, security, methods, s.cert, local, local))
	return output(t, "", tool.Need(t, "mbsync"), "-c", file, "-Dn", "c")
}

func runFetchmail(t *testing.T, s *server, c choice) (string, error) {
	options := map[security]string{inClear: "sslproto ''", upgraded: "sslproto tls1.2+", wrapped: "ssl"}[c.security]
	if c.security != inClear {
		options += fmt.Sprintf(" sslcertck sslcertfile %s sslcommonname %s", s.cert, hostname)
	}
	protocol, method := c.protocol, ""
	switch c.mechanism {
	case "":
	case "APOP":
		protocol = "apop"
	default:
		method = "auth " + strings.ToLower(c.mechanism)
	}
	file := write(t, "fetchmailrc", fmt.Sprintf("poll 127.0.0.1 protocol %s port %d %s timeout 20 username \"ann@example.org\" password \"secret\" %s keep fetchall no rewrite mda \"cat >/dev/null\"\n", protocol, c.port, method, options))
	return output(t, "", tool.Need(t, "fetchmail"), "-f", file, "--pidfile", write(t, "pid", ""), "--nosyslog", "-v")
}

func runMutt(t *testing.T, s *server, c choice) (string, error) {
	scheme := map[string]string{"smtp": "smtp", "imap": "imap", "pop3": "pop"}[c.protocol]
	text := fmt.Sprintf("set certificate_file=%s\nset ssl_verify_host=no\nset folder=/nonexistent\nset record=\nset from=ann@example.org\nset use_from=yes\nset sleep_time=0\nset wait_key=no\nset connect_timeout=20\n", s.cert)
	if c.security == upgraded {
		text += "set ssl_starttls=yes\nset ssl_force_tls=yes\n"
	} else {
		text += "set ssl_starttls=no\nset ssl_force_tls=no\n"
	}
	text += fmt.Sprintf("set %[1]s_pass=secret\n", scheme)
	if c.mechanism != "" {
		text += fmt.Sprintf("set %s_authenticators=%q\n", scheme, strings.ToLower(c.mechanism))
	}
	if c.security == wrapped {
		scheme += "s"
	}
	url := fmt.Sprintf("%s://ann%%40example.org@127.0.0.1:%d/", scheme, c.port)
	if c.protocol == "smtp" {
		file := write(t, "muttrc", text+fmt.Sprintf("set smtp_url=%q\n", url))
		return output(t, "Hello\n", tool.Need(t, "mutt"), "-n", "-F", file, "-s", "by mutt", "ann@example.org")
	}
	if c.protocol == "imap" {
		url += "INBOX"
	}
	return onTerminal(t, tool.Need(t, "mutt"), "-n", "-F", write(t, "muttrc", text), "-f", url, "-e", "push <exit>")
}
