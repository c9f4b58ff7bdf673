package interop

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/smtp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"candor/internal/mailtest/tool"
)

// gsaslLogin logs in as ann with the tool of GNU SASL and returns what it printed; a password that is refused gives an error.
func gsaslLogin(t *testing.T, gsasl, cert string, port int, more ...string) (string, error) {
	t.Helper()
	args := append([]string{
		"--imap", "--connect", fmt.Sprintf("127.0.0.1:%d", port), "--x509-ca-file", cert, "--authentication-id", "ann@example.org",
		"--password", "secret", "--hostname", hostname,
	}, more...)
	return output(t, "", gsasl, args...)
}

// awaitLine waits until a line of the log has all parts.
func (s *server) awaitLine(parts ...string) {
	s.t.Helper()
	s.awaitLineAfter(0, parts...)
}

// awaitLineAfter is awaitLine for what is logged behind the first octets.
func (s *server) awaitLineAfter(octets int, parts ...string) {
	s.t.Helper()
	if !s.logged(octets, parts...) {
		s.t.Fatalf("no line of the log has %q:\n%s", parts, s.log)
	}
}

// logged waits until a line behind the first octets of the log has all parts, and reports whether one came.
func (s *server) logged(octets int, parts ...string) bool {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for line := range strings.Lines(s.log.String()[octets:]) {
			if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
				return true
			}
		}
	}
	return false
}

// TestChannelBinding logs in by SCRAM-SHA-256-PLUS with GNU SASL, directly and with somebody between whose
// certificate the program trusts.
func TestChannelBinding(t *testing.T) {
	t.Parallel()
	gsasl := tool.Need(t, "gsasl")
	s := start(t)
	if out, err := gsaslLogin(t, gsasl, s.cert, s.imap, "--mechanism", "SCRAM-SHA-256-PLUS"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	boundSubmission(t, s)
	s.awaitLine("login ok", "method=SCRAM-SHA-256-PLUS", "cb=exporter", "tls.state=authenticated-bound", "svc=imap")
	s.awaitLine("login ok", "method=SCRAM-SHA-256-PLUS", "cb=exporter", "tls.state=authenticated-bound", "svc=submission")

	relay := between(t, s.imap, false)
	if out, err := gsaslLogin(t, gsasl, relay.cert, relay.port, "--mechanism", "SCRAM-SHA-256-PLUS"); err == nil {
		t.Errorf("relayed: it logged in\n%s", out)
	}
	s.awaitLine("login deny", "user=ann@example.org", "reason=cb-mismatch")

	strip := between(t, s.imap, true)
	if out, err := gsaslLogin(t, gsasl, strip.cert, strip.port, "--mechanism", "SCRAM-SHA-256"); err == nil {
		t.Errorf("with the names removed: it logged in\n%s", out)
	}
	hiddenPlus(t, strip.port)
	s.awaitLine("login deny", "user=ann@example.org", "reason=scram-downgrade-suspected")
}

// boundSubmission logs in to submission by another library.
func boundSubmission(t *testing.T, s *server) {
	t.Helper()
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.submissions), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	state := conn.ConnectionState()
	binding, err := scram.NewTLSExporterBinding(&state)
	if err != nil {
		t.Fatal(err)
	}
	ann, err := scram.SHA256.NewClient("ann@example.org", "secret", "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClient(conn, hostname)
	if err == nil {
		err = c.Auth(plusAuth{ann.NewConversationWithChannelBinding(binding)})
	}
	if err != nil {
		t.Errorf("submission: %v", err)
	}
}

// plusAuth is SCRAM-SHA-256-PLUS for net/smtp.
type plusAuth struct{ *scram.ClientConversation }

func (a plusAuth) Start(*smtp.ServerInfo) (string, []byte, error) {
	first, err := a.Step("")
	return "SCRAM-SHA-256-PLUS", []byte(first), err
}

func (a plusAuth) Next(challenge []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	response, err := a.Step(string(challenge))
	return []byte(response), err
}

// hiddenPlus logs in through who has removed the names that bind, as a program does that could bind its login.
func hiddenPlus(t *testing.T, port int) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	say := func(c io.ReadWriter, line string) (reply string) {
		io.WriteString(c, line)
		text := make([]byte, 4096)
		n, err := c.Read(text)
		if err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
		return string(text[:n])
	}
	say(conn, "") // the greeting
	say(conn, "a STARTTLS\r\n")
	c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec
	if got := say(c, "b CAPABILITY\r\n"); !strings.Contains(got, "AUTH=SCRAM-SHA-256 ") || strings.Contains(got, "-PLUS") {
		t.Errorf("capabilities: %q", got)
	}
	say(c, "") // the end of CAPABILITY
	first := base64.StdEncoding.EncodeToString([]byte("y,,n=ann@example.org,r=abcdefghijklmnop"))
	told := "+ " + base64.StdEncoding.EncodeToString([]byte("e=server-does-support-channel-binding")) + "\r\n"
	if got := say(c, "c AUTHENTICATE SCRAM-SHA-256 "+first+"\r\n"); got != told {
		t.Errorf("AUTHENTICATE: %q, want %q", got, told)
	}
	if got := say(c, "\r\n"); !strings.HasPrefix(got, "c NO [AUTHENTICATIONFAILED]") {
		t.Errorf("after the server's error: %q", got)
	}
}

// interceptor sits between a program and the server, with a certificate of its own for the server's name.
type interceptor struct {
	cert string // PEM file
	port int
}

// between relays IMAP with STARTTLS; strip removes the names that bind from what the server offers.
func between(t *testing.T, target int, strip bool) interceptor {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), DNSNames: []string{hostname, "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { intercept(c, config, target, strip) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return interceptor{write(t, "between.pem", string(text)), l.Addr().(*net.TCPAddr).Port}
}

// intercept begins TLS with both ends at STARTTLS, then passes on what they say.
func intercept(client net.Conn, config *tls.Config, target int, strip bool) {
	defer client.Close()
	server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", target))
	if err != nil {
		return
	}
	defer server.Close()
	for _, c := range []net.Conn{client, server} {
		c.SetDeadline(time.Now().Add(30 * time.Second))
	}
	fromClient, fromServer := bufio.NewReader(client), bufio.NewReader(server)
	greeting, _ := fromServer.ReadString('\n')
	io.WriteString(client, greeting)
	for {
		line, err := fromClient.ReadString('\n')
		if err != nil {
			return
		}
		io.WriteString(server, line)
		tag, _, _ := strings.Cut(line, " ")
		for {
			reply, err := fromServer.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(client, reply)
			if strings.HasPrefix(reply, tag+" ") {
				break
			}
		}
		if strings.Contains(strings.ToUpper(line), "STARTTLS") {
			break
		}
	}
	toClient := tls.Server(client, config)
	toServer := tls.Client(server, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec
	if toClient.Handshake() != nil || toServer.Handshake() != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(toServer, toClient)
		server.Close()
	}()
	lines := bufio.NewReader(toServer)
	for {
		line, err := lines.ReadString('\n')
		if strip {
			line = strings.ReplaceAll(line, " AUTH=SCRAM-SHA-256-PLUS", "")
		}
		io.WriteString(toClient, line)
		if err != nil {
			break
		}
	}
	client.Close()
	<-done
}

// withoutEMS asks for TLS 1.2 without extended master secret, where nothing can be exported, and would bind to
// it all the same; then by the certificate, which is offered.
const withoutEMS = `
import base64, hashlib, hmac, imaplib, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.check_hostname = False
context.maximum_version = ssl.TLSVersion.TLSv1_2
context.options |= 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET
def login(header, data):
    m = imaplib.IMAP4_SSL(sys.argv[1], int(sys.argv[3]), ssl_context=context)
    assert "AUTH=SCRAM-SHA-256-PLUS" in m.capabilities, m.capabilities
    bare = "n=ann@example.org,r=abcdefghijklmnop"
    state = []
    def answer(challenge):
        challenge = challenge.decode()
        if not state:
            state.append(0)
            return header + bare
        if challenge.startswith("v="):
            return ""
        if challenge.startswith("e="):
            return None
        parts = dict(p.split("=", 1) for p in challenge.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", b"secret", base64.b64decode(parts["s"]), int(parts["i"]))
        final = "c=%s,r=%s" % (base64.b64encode(header.encode() + data(m)).decode(), parts["r"])
        key = hmac.digest(salted, b"Client Key", "sha256")
        message = ",".join((bare, challenge, final)).encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        return final + ",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
    try:
        m.authenticate("SCRAM-SHA-256-PLUS", answer)
        return "ok"
    except imaplib.IMAP4.error as e:
        return "refused"
print(login("p=tls-exporter,,", lambda m: b"\0" * 32),
    login("p=tls-server-end-point,,", lambda m: hashlib.sha256(m.sock.getpeercert(True)).digest()))
`

// TestBindingWithoutEMS is the last row but one of the specification, section 9.3.
func TestBindingWithoutEMS(t *testing.T) {
	t.Parallel()
	python := tool.Need(t, "python3")
	s := start(t)
	if out := s.must("", python, write(t, "ems.py", withoutEMS), "127.0.0.1", s.cert, fmt.Sprint(s.imaps)); out != "refused ok\n" {
		t.Errorf("got %q", out)
	}
	s.awaitLine("login deny", "reason=cb-unsupported-type")
	s.awaitLine("login ok", "method=SCRAM-SHA-256-PLUS", "cb=endpoint", "tls.state=authenticated-bound")
}
