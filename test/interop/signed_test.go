package interop

import (
	"bufio"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"candor/internal/mailtest/tool"
)

// TestSignedMessages: a DKIM-signed and an S/MIME-signed message still verify after the whole path.
func TestSignedMessages(t *testing.T) {
	t.Parallel()
	openssl := tool.Need(t, "openssl")
	s := start(t)

	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var signed strings.Builder
	plain := "From: Eve <eve@elsewhere.example>\r\nTo: bob@example.org\r\nSubject: dkim  with   spaces\r\n\r\nTrailing space \r\n\ttab\r\n.\r\nr\xc3\xa4ksm\xc3\xb6rg\xc3\xa5s\r\n\r\n\r\n"
	if err := dkim.Sign(&signed, strings.NewReader(plain), &dkim.SignOptions{
		Domain: "elsewhere.example", Selector: "s", Signer: crypto.Signer(private),
		HeaderCanonicalization: dkim.CanonicalizationSimple, BodyCanonicalization: dkim.CanonicalizationSimple,
	}); err != nil {
		t.Fatal(err)
	}
	s.sendText(t, "bob@example.org", signed.String())

	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("text"), []byte("Content-Type: text/plain\r\n\r\nSigned text\r\nsecond line\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("", openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=eve/emailAddress=eve@elsewhere.example", "-keyout", at("key"), "-out", at("cert"))
	s.must("", openssl, "cms", "-sign", "-crlfeol", "-in", at("text"), "-signer", at("cert"), "-inkey", at("key"), "-out", at("smime"))
	smime, err := os.ReadFile(at("smime"))
	if err != nil {
		t.Fatal(err)
	}
	s.sendText(t, "bob@example.org", "From: eve@elsewhere.example\r\nSubject: smime\r\n"+strings.ReplaceAll(strings.ReplaceAll(string(smime), "\r\n", "\n"), "\n", "\r\n"))
	s.waitFor(t, "bob@example.org", "dkim")
	s.waitFor(t, "bob@example.org", "smime")

	lookup := func(string) ([]string, error) {
		return []string{"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)}, nil
	}
	for door, read := range map[string]func(subject string) string{
		"IMAP": func(subject string) string { return s.message(t, "bob@example.org", subject) },
		"POP3": func(subject string) string { return s.pop3Message(t, subject) },
	} {
		t.Run(door, func(t *testing.T) {
			verdicts, err := dkim.VerifyWithOptions(strings.NewReader(read("dkim")), &dkim.VerifyOptions{LookupTXT: lookup})
			if err != nil || len(verdicts) != 1 || verdicts[0].Err != nil {
				t.Errorf("DKIM: %v, %+v", err, verdicts)
			}
			text := write(t, "fetched", read("smime"))
			if out, err := output(t, "", openssl, "cms", "-verify", "-in", text, "-CAfile", at("cert"), "-out", "/dev/null"); err != nil {
				t.Errorf("S/MIME: %v\n%s", err, out)
			}
		})
	}
}

// pop3Message returns bob's message with the subject over POP3.
func (s *server) pop3Message(t *testing.T, subject string) string {
	t.Helper()
	conn, err := dialTLS(s, s.pop3s)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	ask := func(line string) string {
		if line != "" {
			io.WriteString(conn, line+"\r\n")
		}
		reply, err := r.ReadString('\n')
		if err != nil || !strings.HasPrefix(reply, "+OK") {
			t.Fatalf("%s: %q, %v", line, reply, err)
		}
		return reply
	}
	ask("")
	ask("USER bob@example.org")
	ask("PASS secret")
	var n int
	fmt.Sscanf(ask("STAT"), "+OK %d", &n)
	for i := 1; i <= n; i++ {
		ask(fmt.Sprintf("RETR %d", i))
		var text strings.Builder
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if line == ".\r\n" {
				break
			}
			text.WriteString(strings.TrimPrefix(line, "."))
		}
		if strings.Contains(text.String(), "Subject: "+subject) {
			return text.String()
		}
	}
	t.Fatalf("no message with subject %q among %d", subject, n)
	return ""
}
