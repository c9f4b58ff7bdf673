// Package mailtest holds test instruments: a world of real parts, a runner of transcripts, and the suites
// that every maker of a contract runs. Only tests import it.
package mailtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
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
	"candor/internal/server/listen"
	"candor/internal/store/directory"
	"candor/internal/store/kv"
	"candor/internal/store/mailbox"
)

// Hostname is the server's name in every World.
const Hostname mail.Domain = "mx.example.org"

// World is an embedded store in a temporary folder with a directory and mailboxes on it, and a
// certificate for Hostname, localhost and 127.0.0.1.
type World struct {
	DB           kv.DB
	Directory    *directory.Directory
	Mailboxes    *mailbox.Store
	Certificates *listen.Certificates
	Roots        *x509.CertPool // verifies the certificate
	Log          *slog.Logger   // into Logged
	Logged       *Buffer
}

// NewWorld makes a World whose directory text describes, one entry a line:
//
//	domain example.org
//	account ann@example.org [password]
//	quota ann@example.org OCTETS MESSAGES
//	alias sales@example.org ann@example.org …
//
// An account's domain need not be named first. The World ends with the test.
func NewWorld(t testing.TB, text string) *World {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	db, err := kv.Open(ctx, kv.Options{Dir: filepath.Join(dir, "store")})
	if err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Cleanup(func() { db.Close() })
	w := &World{DB: db, Logged: &Buffer{}}
	w.Log = slog.New(slog.NewTextHandler(w.Logged, nil))
	if w.Directory, err = directory.Open(ctx, db, directory.Options{Hostname: Hostname, Log: w.Log, Cost: directory.Cost{Memory: 8, Passes: 1}}); err != nil {
		t.Fatalf("opening the directory: %v", err)
	}
	t.Cleanup(func() { w.Directory.Close() })
	if w.Mailboxes, err = mailbox.Open(ctx, db, mailbox.Options{Quota: w.quota}); err != nil {
		t.Fatalf("opening the mailboxes: %v", err)
	}
	t.Cleanup(func() { w.Mailboxes.Close() })
	pair, roots := writeCertificate(t, dir)
	w.Roots = roots
	if w.Certificates, _, err = listen.LoadCertificates(Hostname, []listen.Pair{pair}); err != nil {
		t.Fatalf("loading the certificate: %v", err)
	}
	w.fill(t, text)
	return w
}

func (w *World) fill(t testing.TB, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "domain":
			w.domain(t, f[1])
		case "account":
			w.account(t, f[1], strings.Join(f[2:], " "))
		case "quota":
			w.setQuota(t, f[1], f[2:])
		case "alias":
			w.alias(t, f[1], f[2:])
		default:
			t.Fatalf("directory: %q is not understood", line)
		}
	}
}

func (w *World) domain(t testing.TB, name string) {
	d, err := mail.ParseDomain(name)
	if err == nil {
		err = w.Directory.AddDomain(t.Context(), d)
	}
	if err != nil && !mail.IsKind(err, mail.Exists) {
		t.Fatalf("domain %s: %v", name, err)
	}
}

func (w *World) account(t testing.TB, name, password string) {
	a := address(t, name)
	w.domain(t, string(a.Domain))
	acc, err := w.Directory.AddAccount(t.Context(), a, password)
	if err != nil {
		t.Fatalf("account %s: %v", name, err)
	}
	if err := w.Mailboxes.CreateAccount(t.Context(), acc.ID); err != nil {
		t.Fatalf("account %s: %v", name, err)
	}
}

// setQuota sets the octets and the messages that an account may hold.
func (w *World) setQuota(t testing.TB, name string, bounds []string) {
	var q directory.Quota
	if _, err := fmt.Sscan(strings.Join(bounds, " "), &q.Storage, &q.Messages); err != nil {
		t.Fatalf("quota %s: %v", name, err)
	}
	if err := w.Directory.SetQuota(t.Context(), address(t, name), q); err != nil {
		t.Fatalf("quota %s: %v", name, err)
	}
}

func (w *World) quota(id mail.AccountID) mailbox.Quota { return mailbox.Quota(w.Directory.Quota(id)) }

func (w *World) alias(t testing.TB, name string, targets []string) {
	a := directory.Alias{Address: address(t, name)}
	w.domain(t, string(a.Address.Domain))
	for _, target := range targets {
		a.Targets = append(a.Targets, address(t, target))
	}
	if err := w.Directory.AddAlias(t.Context(), a); err != nil {
		t.Fatalf("alias %s: %v", name, err)
	}
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// AccountID returns the id of the account with address a.
func (w *World) AccountID(t testing.TB, a string) mail.AccountID {
	t.Helper()
	all, err := w.Directory.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, acc := range all {
		if acc.Address == address(t, a) {
			return acc.ID
		}
	}
	t.Fatalf("no account %s", a)
	return 0
}

// mailbox finds a mailbox of an account, made if it is absent.
func (w *World) mailbox(t testing.TB, account, name string) (*mailbox.Account, mailbox.Info) {
	t.Helper()
	a, err := w.Mailboxes.Account(t.Context(), w.AccountID(t, account))
	if err != nil {
		t.Fatal(err)
	}
	info, err := a.Lookup(t.Context(), name)
	if mail.IsKind(err, mail.NotFound) {
		info, err = a.Create(t.Context(), name, "")
	}
	if err != nil {
		t.Fatalf("%s of %s: %v", name, account, err)
	}
	return a, info
}

// Append puts a message into a mailbox, which is made if it is absent. Lines may end in LF.
func (w *World) Append(t testing.TB, account, name, text string, flags ...string) mailbox.UID {
	t.Helper()
	a, info := w.mailbox(t, account, name)
	body, err := w.Mailboxes.NewBody(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer body.Discard()
	text = crlf(text)
	if _, err := io.WriteString(body, text); err != nil {
		t.Fatal(err)
	}
	blob, err := body.Finish()
	if err != nil {
		t.Fatal(err)
	}
	m := mailbox.Message{Blob: blob, BlobSize: int64(len(text)), Flags: flags, Received: time.Date(2026, 9, 1, 10, 0, 0, 0, time.UTC)}
	uids, err := a.Append(t.Context(), info.ID, []mailbox.Message{m}, nil)
	if err != nil {
		t.Fatalf("append to %s of %s: %v", name, account, err)
	}
	return uids[0]
}

// Messages returns the text of every message of a mailbox.
func (w *World) Messages(t testing.TB, account, name string) []string {
	t.Helper()
	a, info := w.mailbox(t, account, name)
	m, err := a.Open(t.Context(), info.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var all []string
	for _, uid := range m.State().UIDs {
		body, err := m.OpenBody(t.Context(), uid)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if _, err := body.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		body.Close()
		all = append(all, b.String())
	}
	return all
}

// Serve serves one listener on a loopback port until the test ends and returns its address.
func (w *World) Serve(t testing.TB, service listen.Service, mode listen.Mode, h listen.Handler) net.Addr {
	t.Helper()
	return w.ServeListener(t, listen.Listener{Service: service, Mode: mode}, h)
}

// ServeListener is Serve for a listener with exceptions, say. Its name is that of the service.
func (w *World) ServeListener(t testing.TB, l listen.Listener, h listen.Handler) net.Addr {
	t.Helper()
	l.Name, l.Address, l.Hostname = string(l.Service), "127.0.0.1:0", Hostname
	s, err := listen.New(listen.Options{
		Listeners:    []listen.Listener{l},
		Certificates: w.Certificates,
		Handlers:     map[listen.Service]listen.Handler{l.Service: h},
		Limits:       listen.Limits{Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Log:          w.Log,
	})
	if err != nil {
		t.Fatalf("listening: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	ready := make(chan struct{})
	wg.Go(func() {
		if err := s.Serve(ctx, time.Second, func() { close(ready) }); err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	<-ready
	return s.Addrs()[0]
}

// ClientTLS returns the TLS configuration of a client that trusts the World's certificate.
func (w *World) ClientTLS() *tls.Config {
	return &tls.Config{RootCAs: w.Roots, ServerName: string(Hostname), MinVersion: tls.VersionTLS12}
}

func writeCertificate(t testing.TB, dir string) (listen.Pair, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: string(Hostname)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{string(Hostname), "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pair := listen.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for file, block := range map[string]*pem.Block{pair.Cert: {Type: "CERTIFICATE", Bytes: der}, pair.Key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c)
	return pair, roots
}

// Buffer is a bytes.Buffer for concurrent use.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}
