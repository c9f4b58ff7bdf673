package main

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
)

// TestSentInClear: every form in which a password comes without encryption is refused as always, and a right one is
// found in the background: its owner is told by a message and at the next encrypted login (specification, section 2.6;
//
func TestSentInClear(t *testing.T) {
	s := serveHere(t, `[[listener]]
service = "imap"
address = "127.0.0.1:0"
tls = "required"
name = "imap"
[[listener]]
service = "pop3"
address = "127.0.0.1:0"
tls = "required"
name = "pop3"
[[listener]]
service = "submission"
address = "127.0.0.1:0"
tls = "required"
name = "submission"
[[listener]]
service = "smtp"
address = "127.0.0.1:0"
tls = "opportunistic"
name = "smtp"
`)
	const password = "secret words"
	plain := base64.StdEncoding.EncodeToString([]byte("\x00ann@example.org\x00" + password))
	ann := mail.Address{Local: "ann", Domain: "example.org"}
	for _, c := range []struct{ listener, send, refused string }{
		{"submission", "EHLO x\r\nAUTH PLAIN " + plain + "\r\n", "538 5.7.11"},
		{"smtp", "EHLO x\r\nAUTH PLAIN " + plain + "\r\n", "502 5.5.1"},
		{"imap", "a LOGIN ann@example.org \"secret words\"\r\n", "a NO [PRIVACYREQUIRED]"},
		{"imap", "a LOGIN {15+}\r\nann@example.org {12+}\r\nsecret words\r\n", "a NO [PRIVACYREQUIRED]"},
		{"imap", "a AUTHENTICATE PLAIN " + plain + "\r\n", "a NO [PRIVACYREQUIRED]"},
		{"pop3", "USER ann@example.org\r\nPASS secret words\r\nNOOP\r\n", "-ERR [SYS/PERM] Encryption required"},
		{"pop3", "AUTH PLAIN " + plain + "\r\n", "-ERR [SYS/PERM] Encryption required"},
	} {
		for end := time.Now().Add(20 * time.Second); !s.exposed(t, ann); { // two a second are looked at
			if time.Now().After(end) {
				t.Fatalf("%s: %q was not found", c.listener, c.send)
			}
			conn := s.dial(t, c.listener)
			io.WriteString(conn, c.send)
			until(t, conn, c.refused)
			conn.Close()
		}
		if err := s.directory.SetPassword(t.Context(), ann, password); err != nil {
			t.Fatal(err)
		}
	}
	if log := s.log.String(); strings.Contains(log, password) || strings.Contains(log, plain) {
		t.Error("the password is in the log")
	}
}

// exposed reports whether the account's password is, or is within half a second.
func (s *openServer) exposed(t *testing.T, a mail.Address) bool {
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if all, err := s.directory.ExposedCredentials(t.Context()); err != nil || len(all) == 1 && all[0].Account == a {
			return err == nil
		}
	}
	return false
}

// TestExposureIsTold: the owner of an exposed password gets a message and an alert, the operator a list and an alarm.
func TestExposureIsTold(t *testing.T) {
	s := serveHere(t, wrongListeners)
	conn := s.dial(t, "imap")
	io.WriteString(conn, "a LOGIN ann@example.org \"secret words\"\r\n")
	until(t, conn, "a NO [PRIVACYREQUIRED]")
	right := s.dial(t, "imap")
	io.WriteString(right, "a STARTTLS\r\n")
	until(t, right, "a OK Begin TLS negotiation now\r\n")
	secure := tls.Client(right, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is about the server
	for end := time.Now().Add(20 * time.Second); !strings.Contains(s.command(t, "auth", "exposed"), "ann@example.org  main password"); {
		if time.Now().After(end) {
			t.Fatal("not found")
		}
	}
	io.WriteString(secure, "b LOGIN ann@example.org \"secret words\"\r\n")
	until(t, secure, "* OK [ALERT] A password of this account was sent without encryption on ")
	io.WriteString(secure, "c ID (\"name\" \"Thunderbird\" \"version\" \"128\")\r\nd STATUS INBOX (MESSAGES)\r\n")
	until(t, secure, "(MESSAGES 4)") // three were there
	io.WriteString(secure, "e SELECT INBOX\r\nf FETCH 4 BODY[]\r\n")
	until(t, secure, "was sent without")
	if out := s.command(t, "status"); !strings.Contains(out, "Alarm A-134 ann@example.org/1: The password for ann@example.org was sent without encryption from 127.0.0.0/24") {
		t.Errorf("no alarm:\n%s", out)
	}
	if out := s.command(t, "clients", "--account", "ann@example.org"); !strings.Contains(out, "Thunderbird") || !strings.Contains(out, "Set *Connection security*") && !strings.Contains(out, "set *Connection security*") {
		t.Errorf("clients:\n%s", out)
	}
	for remove, list := range map[string]string{"IMAP-LOGIN": "keeps_working", "DIGEST-MD5": "", "LOGIN": ""} {
		var report map[string]any
		out := s.command(t, "auth", "census", "--remove", remove, "--json")
		if err := json.Unmarshal([]byte(out), &report); err != nil || strings.Count(out, "\n") != 1 || report["remove"] != remove {
			t.Fatalf("--remove %s: %v\n%s", remove, err, out)
		}
		for _, l := range []string{"keeps_working", "needs_setting", "unknown"} {
			if got, ok := report[l].([]any); !ok || (len(got) == 1) != (l == list) {
				t.Errorf("--remove %s: %s is %v in\n%s", remove, l, report[l], out)
			}
		}
	}
	if out := s.command(t, "auth", "census", "--remove", "digest-md5"); !strings.HasPrefix(out, "Nothing breaks: nobody has used DIGEST-MD5 since ") {
		t.Errorf("the answer of the mailing list:\n%s", out)
	}
}
