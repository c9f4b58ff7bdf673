package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest/tool"
)

const legacyRule = `
[legacy_auth.panel-%[1]s]
mechanism  = "%[1]s"
accounts   = ["ann@example.org"]
networks   = ["127.0.0.1/32"]
credential = "app:panel-%[1]s"
until      = %[2]s
reason     = "panel firmware"
owner      = "karin"
`

// TestLegacyAuth: a device logs in by a mechanism that a rule allows it, with the password that was generated for it,
// as long as the rule lasts.
func TestLegacyAuth(t *testing.T) {
	t.Parallel()
	gsasl, swaks := tool.Need(t, "gsasl"), tool.Need(t, "swaks")
	rules := func(until time.Time) string {
		day := until.UTC().Format(time.DateOnly)
		return fmt.Sprintf(legacyRule, "CRAM-MD5", day) + fmt.Sprintf(legacyRule, "SCRAM-SHA-1", day) + "\n[limits]\nexempt = [\"127.0.0.0/8\"]\n"
	}
	now := time.Now()
	s := prepare(t, rules(now.AddDate(0, 0, 6)))
	s.account("ann@example.org", "secret")
	passwords := map[string]string{}
	add := func(mechanism string) {
		out := s.candor("", "--config", s.config, "account", "app-password", "add", "ann@example.org", "--name", "panel-"+mechanism, "--legacy", mechanism)
		passwords[mechanism] = strings.TrimSpace(out)
	}
	add("CRAM-MD5")
	s.run()
	if out := s.candor("", "--config", s.config, "status"); !strings.Contains(out, "--legacy SCRAM-SHA-1") || !strings.Contains(out, "Alarm A-133 panel-CRAM-MD5: Exception panel-CRAM-MD5 (panel firmware, karin) ends in ") {
		t.Errorf("status does not tell of the rules:\n%s", out)
	}
	add("SCRAM-SHA-1")
	login := func(mechanism, password string) error {
		out, err := output(t, "", gsasl, "--imap", "--connect", fmt.Sprintf("127.0.0.1:%d", s.imap), "--x509-ca-file", s.cert,
			"--authentication-id", "ann@example.org", "--password", password, "--hostname", hostname, "--mechanism", mechanism)
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		return err
	}
	for mechanism, credential := range map[string]string{"CRAM-MD5": "CRAM-MD5", "SCRAM-SHA-1-PLUS": "SCRAM-SHA-1"} {
		if err := login(mechanism, passwords[credential]); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
		s.awaitLine("login ok", "method="+mechanism)
		if err := login(mechanism, "secret"); err == nil {
			t.Errorf("%s takes a password that was not generated for it", mechanism)
		}
	}
	s.must("", swaks, "--server", "127.0.0.1", "--port", fmt.Sprint(s.submission), "--tls", "--auth", "CRAM-MD5",
		"--auth-user", "ann@example.org", "--auth-password", passwords["CRAM-MD5"], "--from", "ann@example.org", "--to", "ann@example.org", "--ehlo", "panel")
	s.awaitLine("login ok", "method=CRAM-MD5", "svc=submission")
	if out := s.candor("", "--config", s.config, "auth", "mechanisms"); !strings.Contains(out, "offered to 127.0.0.1/32 until ") {
		t.Errorf("auth mechanisms:\n%s", out)
	}

	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	ended := strings.ReplaceAll(string(text), now.AddDate(0, 0, 6).UTC().Format(time.DateOnly), now.AddDate(0, 0, -1).UTC().Format(time.DateOnly))
	if err := os.WriteFile(s.config, []byte(ended), 0o600); err != nil {
		t.Fatal(err)
	}
	s.candor("", "--config", s.config, "reload")
	if err := login("CRAM-MD5", passwords["CRAM-MD5"]); err == nil {
		t.Error("after the end of the rule a login succeeded")
	}
	s.awaitLine("login deny", "method=CRAM-MD5", "reason=legacy-expired")
	if out := s.candor("", "--config", s.config, "status"); !strings.Contains(out, "has ended") {
		t.Errorf("status does not tell of the end:\n%s", out)
	}
}

// TestExternal logs in with a client certificate.
func TestExternal(t *testing.T) {
	t.Parallel()
	gsasl := tool.Need(t, "gsasl")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(3), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := write(t, "client.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	keyFile := write(t, "client.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	port := freePorts(t, 1)[0]
	s := prepare(t, fmt.Sprintf("[[listener]]\nservice = \"imap\"\naddress = \"127.0.0.1:%d\"\ntls = \"required\"\nclient_cert = \"request\"\nclient_ca = %q\n", port, cert))
	s.account("ann@example.org", "secret")
	s.run()
	login := func(more ...string) (string, error) {
		return output(t, "", gsasl, append([]string{
			"--imap", "--connect", fmt.Sprintf("127.0.0.1:%d", port), "--x509-ca-file", s.cert, "--mechanism", "EXTERNAL", "--authorization-id", "",
		}, more...)...)
	}
	withCertificate := []string{"--x509-cert-file", cert, "--x509-key-file", keyFile}
	if out, err := login(withCertificate...); err == nil {
		t.Errorf("a certificate of nobody logged in:\n%s", out)
	}
	s.awaitLine("login deny", "method=EXTERNAL", "reason=not-offered")
	s.candor("", "--config", s.config, "account", "certificate", "add", "ann@example.org", "--name", "laptop", "--file", cert)
	if out, err := login(withCertificate...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	s.awaitLine("login ok", "user=ann@example.org", "method=EXTERNAL")
	if out, err := login(); err == nil {
		t.Errorf("without a certificate:\n%s", out)
	}
	if out := s.candor("", "--config", s.config, "account", "certificate", "list", "ann@example.org"); !strings.Contains(out, "laptop  sha256:") {
		t.Errorf("certificate list: %q", out)
	}
	s.candor("", "--config", s.config, "account", "certificate", "remove", "ann@example.org", "laptop")
	if out, err := login(withCertificate...); err == nil {
		t.Errorf("a certificate that was taken away logged in:\n%s", out)
	}
}
