package listen

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"candor/internal/mail"
)

const (
	testHost = mail.Domain("mx.example.org")
	patience = 20 * time.Second
)

// writePair writes a self-signed certificate made after template, whose key is signer.
func writePair(t testing.TB, template *x509.Certificate, signer crypto.Signer) Pair {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pair := Pair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	writePEM(t, pair.Cert, "CERTIFICATE", der)
	writePEM(t, pair.Key, "PRIVATE KEY", keyDER)
	return pair
}

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func ecdsaKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(names ...string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true,
	}
}

func certificates(t testing.TB, pairs ...Pair) *Certificates {
	t.Helper()
	if len(pairs) == 0 {
		pairs = []Pair{writePair(t, template(string(testHost)), ecdsaKey(t))}
	}
	c, _, err := LoadCertificates(testHost, pairs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// clientTLS does not verify: these tests are about the server.
func clientTLS(protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: string(testHost), NextProtos: protocols} //nolint:gosec
}

type testServer struct {
	*Server
	log    *logBuffer
	cancel context.CancelFunc
	done   chan struct{}
}

// serve starts a server that ends with the test.
func serve(t testing.TB, o Options) *testServer {
	t.Helper()
	ts := &testServer{log: &logBuffer{}, done: make(chan struct{})}
	o.Log = slog.New(slog.NewTextHandler(ts.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.Certificates == nil {
		o.Certificates = certificates(t)
	}
	for i := range o.Listeners {
		l := &o.Listeners[i]
		l.Address, l.Hostname = "127.0.0.1:0", testHost
		if l.Name == "" {
			l.Name = string(l.Service) + ":" + l.Mode.String()
		}
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ts.Server = s
	var ctx context.Context
	ctx, ts.cancel = context.WithCancel(context.Background())
	ready := make(chan struct{})
	go func() {
		defer close(ts.done)
		if err := s.Serve(ctx, 100*time.Millisecond, func() { close(ready) }); err != nil {
			t.Error(err)
		}
	}()
	<-ready
	t.Cleanup(ts.stop)
	return ts
}

// socketsOf are the sockets of a server with one listener, as a change needs them.
func (ts *testServer) socketsOf(l Listener) *Sockets {
	return &Sockets{open: map[string]*socket{Place{l.Name, l.Address}.key(): ts.doors[0].lease.socket}}
}

func (ts *testServer) stop() {
	ts.cancel()
	<-ts.done
}

// one serves a single listener.
func one(t testing.TB, service Service, mode Mode, h Handler) *testServer {
	t.Helper()
	return serve(t, Options{Listeners: []Listener{{Service: service, Mode: mode}}, Handlers: map[Service]Handler{service: h}})
}

func (ts *testServer) dial(t testing.TB, i int) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", ts.Addrs()[i].String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// expectLog waits until some line of the log has all the parts.
func (ts *testServer) expectLog(t testing.TB, parts ...string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for line := range strings.Lines(ts.log.String()) {
			if hasAll(line, parts) {
				return
			}
		}
	}
	t.Fatalf("no line of the log has %q:\n%s", parts, ts.log)
}

func hasAll(line string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(line, p) {
			return false
		}
	}
	return true
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// echo greets, then returns each line with "= " in front. STARTTLS upgrades; QUIT ends. What
// ends the session otherwise is written as "! error" where it still can be.
func echo(ctx context.Context, c *Conn) {
	c.WriteString("hello\r\n")
	c.Flush()
	for {
		line, err := c.ReadLine(1000)
		switch {
		case errors.Is(err, ErrLineTooLong):
			c.WriteString("! too long\r\n")
		case err != nil:
			return
		case string(line) == "STARTTLS\r\n":
			if err := c.StartTLS(ctx, "go\r\n"); err != nil {
				c.WriteString("! " + err.Error() + "\r\n")
				return
			}
			continue
		case string(line) == "QUIT\r\n":
			c.WriteString("bye\r\n")
			return
		default:
			c.WriteString("= ")
			c.Write(line)
		}
		if c.Buffered() == 0 {
			c.Flush()
		}
	}
}

// expect reads exactly want.
func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(r, got)
	if string(got[:n]) != want || err != nil {
		t.Fatalf("got %q, %v; want %q", got[:n], err, want)
	}
}

// expectEnd reads to the end of the connection, which must come after want. A reset counts as an end.
func expectEnd(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got, err := io.ReadAll(r)
	if string(got) != want || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %q, %v; want %q and the end", got, err, want)
	}
}

func send(t testing.TB, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatalf("sending %.80q: %v", s, err)
	}
}

var loopbackNet = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
