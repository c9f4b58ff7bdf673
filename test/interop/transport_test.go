package interop

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest/tool"
)

// selfSigned writes a certificate for a name and its key.
func selfSigned(t testing.TB, name string) (cert, key string, leaf *x509.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, x, x, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	cert = write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	key = write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return cert, key, leaf
}

// sClient runs s_client on a port until the server ends the session.
func (s *server) sClient(t testing.TB, d door, input string, more ...string) (string, error) {
	t.Helper()
	args := []string{"s_client", "-connect", fmt.Sprintf("127.0.0.1:%d", d.port), "-crlf", "-ign_eof"}
	if d.starttls != "" {
		args = append(args, "-starttls", d.starttls)
	}
	return output(t, input, tool.Need(t, "openssl"), append(args, more...)...)
}

// TestServerName: the certificate follows the name that the client asks for; a name that nobody knows gets the default
// one, and no sign of others.
func TestServerName(t *testing.T) {
	t.Parallel()
	cert, key, _ := selfSigned(t, "second.example.net")
	s := prepare(t, fmt.Sprintf("[limits]\nexempt = [\"127.0.0.0/8\"]\n[[tls.certificate]]\ncert = %q\nkey = %q\n", cert, key))
	s.run()
	for _, d := range s.someDoors() {
		for name, want := range map[string]string{"second.example.net": "second.example.net", hostname: hostname, "stranger.example": hostname, "": hostname} {
			server := []string{"-servername", name}
			if name == "" {
				server = []string{"-noservername"}
			}
			out, err := s.sClient(t, d, "QUIT\na LOGOUT\n", server...)
			if !strings.Contains(out, "CN = "+want) || err != nil {
				t.Errorf("%s, %q: no certificate of %s: %v\n%s", d.name, name, want, err, out)
			}
			if want != "second.example.net" && strings.Contains(out, "second.example") {
				t.Errorf("%s, %q: tells of another name\n%s", d.name, name, out)
			}
		}
	}
}

// TestProtocolNames: ALPN as openssl has it, on every port.
func TestProtocolNames(t *testing.T) {
	t.Parallel()
	s := start(t)
	ids := map[string]string{"25": "smtp", "587": "smtp", "465": "smtp", "143": "imap", "993": "imap", "110": "pop3", "995": "pop3"}
	for _, d := range s.tlsDoors() {
		out, err := s.sClient(t, d, "QUIT\na LOGOUT\n", "-alpn", "x-unknown,"+ids[d.name])
		if !strings.Contains(out, "ALPN protocol: "+ids[d.name]) || err != nil {
			t.Errorf("%s: %v\n%s", d.name, err, out)
		}
		for _, id := range []string{"http/1.1", "acme-tls/1"}[:scale(1, 2)] {
			if out, err := s.sClient(t, d, "", "-alpn", id); !strings.Contains(out, "alert number 120") || err == nil {
				t.Errorf("%s with %s: %v\n%s", d.name, id, err, out)
			}
		}
	}
}

// TestTickets: a session is resumed at its own service, and at no other; nothing is remembered of the login in it.
func TestTickets(t *testing.T) {
	t.Parallel()
	s := start(t)
	doors := map[string]door{}
	for _, d := range s.tlsDoors() {
		doors[d.name] = d
	}
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		for _, c := range []struct {
			first, then string
			resumed     bool
		}{
			{"993", "993", true},
			{"465", "587", true},
			{"25", "465", false},
			{"25", "993", false},
			{"995", "110", true},
			{"993", "143", true},
			{"25", "25", true},
			{"993", "995", false},
			{"995", "465", false},
		}[:scale(4, 9)] {
			session := filepath.Join(t.TempDir(), "session.pem")
			if out, err := s.sClient(t, doors[c.first], "a LOGIN bob@example.org secret\nQUIT\na LOGOUT\n", version, "-sess_out", session); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			out, err := s.sClient(t, doors[c.then], "a SELECT INBOX\nQUIT\na LOGOUT\n", version, "-sess_in", session)
			if err != nil || strings.Contains(out, "Reused, TLS") != c.resumed || strings.Contains(out, "a OK [READ-WRITE]") {
				t.Errorf("%s from %s at %s: %v, want resumed: %t\n%s", version, c.first, c.then, err, c.resumed, out)
			}
		}
	}
}

// TestCutStreams: what is cut off within a message, with or without close_notify, is neither stored nor acknowledged (T-21, X-51);
// after a whole one it is no matter how the stream ends.
func TestCutStreams(t *testing.T) {
	t.Parallel()
	s := start(t)
	text := func(subject string) string { return "Subject: " + subject + "\r\n\r\nHello\r\n" }
	mailFrom := "EHLO x.example\r\nMAIL FROM:<eve@elsewhere.example>\r\nRCPT TO:<ann@example.org>\r\n"
	submitted := "EHLO x.example\r\nAUTH PLAIN " + plainBob + "\r\nMAIL FROM:<bob@example.org>\r\nRCPT TO:<ann@example.org>\r\n"
	for _, c := range []struct {
		name   string
		door   door
		script string
		stored bool
	}{
		{"data", door{"", "smtp", s.smtp}, mailFrom + "DATA\r\n" + text("cut data"), false},
		{"data-clear", door{"", "clear", s.smtp}, mailFrom + "DATA\r\n" + text("cut data-clear"), false},
		{"data-dot", door{"", "", s.submissions}, submitted + "DATA\r\n" + text("cut data-dot") + ".", false},
		{"bdat", door{"", "", s.submissions}, submitted + "BDAT 1000 LAST\r\n" + text("cut bdat"), false},
		{"bdat-chunk", door{"", "", s.submissions}, submitted + fmt.Sprintf("BDAT %d\r\n%s", len(text("cut bdat-chunk")), text("cut bdat-chunk")), false},
		{"append", door{"", "", s.imaps}, "a LOGIN ann@example.org secret\r\nb APPEND INBOX {1000+}\r\n" + text("cut append"), false},
		{"append-crlf", door{"", "", s.imaps}, fmt.Sprintf("a LOGIN ann@example.org secret\r\nb APPEND INBOX {%d+}\r\n%s", len(text("cut append-crlf")), text("cut append-crlf")), false},
		{"whole-data", door{"", "", s.submissions}, submitted + "DATA\r\n" + text("cut whole-data") + ".\r\n", true},
		{"whole-bdat", door{"", "", s.submissions}, submitted + fmt.Sprintf("BDAT %d LAST\r\n%s", len(text("cut whole-bdat")), text("cut whole-bdat")), true},
		{"whole-append", door{"", "", s.imaps}, fmt.Sprintf("a LOGIN ann@example.org secret\r\nb APPEND INBOX {%d+}\r\n%s\r\n", len(text("cut whole-append")), text("cut whole-append")), true},
	} {
		for _, notify := range []bool{false, true} {
			raw, err := dialPort(c.door.port)
			if err != nil {
				t.Fatal(err)
			}
			answer := s.cut(t, raw, c.door.starttls, c.script, notify)
			acknowledged := strings.Contains(answer, " accepted\r\n") || strings.Contains(answer, "b OK")
			if acknowledged != c.stored {
				t.Errorf("%s, close_notify %t: answered\n%s", c.name, notify, answer)
			}
		}
		want := 0
		if c.stored {
			want = 2
		}
		s.waitCount(t, "ann@example.org", "cut "+c.name, want)
	}
}

// plainBob logs bob in.
const plainBob = "AGJvYkBleGFtcGxlLm9yZwBzZWNyZXQ="

// cut sends a script and ends the stream behind it, and returns what the server answers.
func (s *server) cut(t testing.TB, raw net.Conn, starttls, script string, notify bool) string {
	t.Helper()
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(time.Minute))
	conn := raw
	if starttls == "smtp" {
		io.WriteString(raw, "EHLO x.example\r\n")
		for r := bufio.NewReader(raw); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, "250 ") {
				io.WriteString(raw, "STARTTLS\r\n")
			}
			if strings.Contains(line, "220 2.0.0") {
				break
			}
		}
	}
	if starttls != "clear" {
		conn = tls.Client(raw, s.clientTLS())
	}
	if _, err := io.WriteString(conn, script); err != nil {
		t.Fatal(err)
	}
	if c, ok := conn.(*tls.Conn); ok && notify {
		c.CloseWrite()
	}
	raw.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// TestClientCertificate: a peer that is asked for its certificate is named in Received by what it shows.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	cert, key, leaf := selfSigned(t, "relay.example.net")
	s := prepare(t, "[limits]\nexempt = [\"127.0.0.0/8\"]\n")
	pin := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	asked := strings.Replace(string(text), "tls = \"opportunistic\"\n",
		fmt.Sprintf("tls = \"opportunistic\"\nclient_cert = \"request\"\nclient_cert_from = [\"127.0.0.1\"]\nclient_pins = [\"sha256:%x\"]\n", pin), 1)
	if err := os.WriteFile(s.config, []byte(asked), 0o600); err != nil {
		t.Fatal(err)
	}
	s.account("ann@example.org", "secret")
	s.run()
	const script = "EHLO relay.example.net\nMAIL FROM:<eve@elsewhere.example>\nRCPT TO:<ann@example.org>\nDATA\nSubject: %s\n\nHello\n.\nQUIT\n"
	for subject, c := range map[string]struct {
		more []string
		want string
	}{
		"certificate": {[]string{"-cert", cert, "-key", key}, "client certificate: pinned:" + hex.EncodeToString(pin[:8])},
		"nothing":     {nil, "client certificate: none"},
	} {
		if out, err := s.sClient(t, door{"25", "smtp", s.smtp}, fmt.Sprintf(script, subject), c.more...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		s.waitFor(t, "ann@example.org", subject)
		if got := s.message(t, "ann@example.org", subject); !strings.Contains(got, c.want) {
			t.Errorf("%s: no %q in\n%s", subject, c.want, got)
		}
	}
}
