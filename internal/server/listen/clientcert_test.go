package listen

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clientAuthority signs certificates for clients.
type clientAuthority struct {
	pair Pair
	tls.Certificate
}

func newClientAuthority(t testing.TB) *clientAuthority {
	t.Helper()
	x := template("ca.example.org")
	x.KeyUsage = x509.KeyUsageCertSign
	a := &clientAuthority{pair: writePair(t, x, ecdsaKey(t))}
	var err error
	if a.Certificate, err = tls.LoadX509KeyPair(a.pair.Cert, a.pair.Key); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *clientAuthority) authorities(t testing.TB) *Authorities {
	t.Helper()
	all, err := ReadAuthorities(a.pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// tellPeer says what is known of the peer, and ends.
func tellPeer(_ context.Context, c *Conn) {
	p := c.Peer()
	fmt.Fprintf(c, "peer=%s certificate=%t %s %s fail=%s", p.Transport.Peer, p.ClientCertificate != nil, p.Transport.SPKI, p.Transport.Cert, p.Transport.Fail)
}

// told returns what the server says until it ends the connection.
func told(r io.Reader) (string, error) {
	text, err := io.ReadAll(r)
	return string(text), err
}

// issue makes a client certificate; change may alter it before it is signed.
func (a *clientAuthority) issue(t testing.TB, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	x := template()
	x.IsCA, x.EmailAddresses, x.ExtKeyUsage = false, []string{"ann@example.org"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if change != nil {
		change(x)
	}
	key := ecdsaKey(t)
	der, err := x509.CreateCertificate(rand.Reader, x, a.Leaf, key.Public(), a.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestClientCertificate: a certificate that verifies names the peer; another counts as none where it is only
// requested, and ends the handshake where it is required.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	ca, other := newClientAuthority(t), newClientAuthority(t)
	ann, pinned, pinnedKey := ca.issue(t, nil), other.issue(t, nil), other.issue(t, nil)
	policy := func(required bool) *ClientCertificates {
		return &ClientCertificates{
			Required: required, Authorities: ca.authorities(t),
			Pins: [][sha256.Size]byte{sha256.Sum256(pinned.Leaf.Raw), sha256.Sum256(pinnedKey.Leaf.RawSubjectPublicKeyInfo)},
		}
	}
	elsewhere := policy(true)
	elsewhere.From = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	ts := serve(t, Options{
		Listeners: []Listener{
			{Service: IMAP, Mode: Implicit, Name: "request", Clients: policy(false)},
			{Service: IMAP, Mode: Implicit, Name: "require", Clients: policy(true)},
			{Service: IMAP, Mode: Implicit, Name: "elsewhere", Clients: elsewhere},
			{Service: IMAP, Mode: Implicit, Name: "pins", Clients: &ClientCertificates{Pins: policy(false).Pins}},
		},
		Handlers: map[Service]Handler{IMAP: tellPeer}, Limits: Limits{Exempt: loopbackNet},
	})
	const request, require, notAsked, pins = 0, 1, 2, 3
	expired := ca.issue(t, func(x *x509.Certificate) { x.NotAfter = time.Now().Add(-time.Minute) })
	early := ca.issue(t, func(x *x509.Certificate) { x.NotBefore = time.Now().Add(time.Minute) })
	server := ca.issue(t, func(x *x509.Certificate) { x.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	device := ca.issue(t, func(x *x509.Certificate) { x.EmailAddresses, x.Subject.CommonName = nil, "scanner\r\n1" })
	long := ca.issue(t, nil)
	for len(long.Certificate) <= clientChain {
		long.Certificate = append(long.Certificate, ca.Leaf.Raw)
	}
	for _, tc := range []struct {
		name       string
		cert       *tls.Certificate
		door       int
		peer, fail string // fail of a door where a certificate is required: the handshake fails
	}{
		{"none", nil, request, "", ""},
		{"good", ann, request, "cert-pkix:ann@example.org", ""},
		{"good, required", ann, require, "cert-pkix:ann@example.org", ""},
		{"pinned", pinned, require, "cert-pinned:", ""},
		{"pinned key", pinnedKey, pins, "cert-pinned:", ""},
		{"only common name", device, request, "cert-pkix:scanner??1", ""},
		{"other authority", other.issue(t, nil), request, "", "pkix-untrusted"},
		{"expired", expired, request, "", "pkix-expired"},
		{"early", early, request, "", "pkix-notyet"},
		{"of a server", server, request, "", "pkix-eku"},
		{"long chain", long, request, "", "cert-unparsable"},
		{"no pin", ann, pins, "", "pin-mismatch"},
		{"other authority, required", other.issue(t, nil), require, "", "pkix-untrusted"},
		{"expired, required", expired, require, "", "pkix-expired"},
		{"none, required", nil, require, "", "didn't provide"},
		{"not asked", ann, notAsked, "", ""},
	} {
		for version, newest := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
			t.Run(tc.name+"/"+version, func(t *testing.T) {
				t.Parallel()
				config := clientTLS()
				config.MaxVersion = newest
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if tc.cert == nil {
						return &tls.Certificate{}, nil
					}
					return tc.cert, nil
				}
				got, err := told(tls.Client(ts.dial(t, tc.door), config))
				if tc.door == require && tc.fail != "" {
					if err == nil || got != "" {
						t.Fatalf("got %q, %v; want a failed handshake", got, err)
					}
					ts.expectLog(t, "tls handshake failed", tc.fail)
					return
				}
				want := "peer=" + tc.peer
				if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, " fail="+tc.fail) || strings.Contains(got, "certificate=true") != (tc.peer != "") {
					t.Errorf("got %q, %v; want %s and fail=%s", got, err, want, tc.fail)
				}
			})
		}
	}
}

// TestTicketsOfClients: a session with a certificate is resumed as long as the same ones are accepted.
func TestTicketsOfClients(t *testing.T) {
	t.Parallel()
	ca := newClientAuthority(t)
	o := Options{
		Listeners: []Listener{{Service: IMAP, Mode: Implicit, Clients: &ClientCertificates{Required: true, Authorities: ca.authorities(t)}}},
		Handlers:  map[Service]Handler{IMAP: tellPeer}, Certificates: certificates(t),
	}
	ts := serve(t, o)
	config := clientTLS()
	config.Certificates = []tls.Certificate{*ca.issue(t, nil)}
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	resumes := func() bool {
		t.Helper()
		c := tls.Client(ts.dial(t, 0), config)
		got, err := told(c)
		if !strings.HasPrefix(got, "peer=cert-pkix:ann@example.org ") {
			t.Fatalf("got %q, %v", got, err)
		}
		return c.ConnectionState().DidResume
	}
	change := func(p *ClientCertificates) {
		t.Helper()
		l := ts.Listeners()[0]
		l.Address, l.Clients = "127.0.0.1:0", p
		next := Options{Listeners: []Listener{l}, Handlers: o.Handlers, Certificates: o.Certificates, Sockets: ts.socketsOf(l)}
		if err := ts.Change(next); err != nil {
			t.Fatal(err)
		}
	}
	if resumes() || !resumes() {
		t.Error("a session is not resumed, or the first one is")
	}
	change(&ClientCertificates{Required: true, Authorities: ca.authorities(t)})
	if !resumes() {
		t.Error("a change of something else ends the tickets")
	}
	pin := [][sha256.Size]byte{sha256.Sum256(ca.Leaf.Raw)}
	change(&ClientCertificates{Required: true, Authorities: ca.authorities(t), Pins: pin})
	if resumes() {
		t.Error("a ticket outlives a change of what is accepted")
	}
}

// TestReadAuthorities: a file without certificates is named.
func TestReadAuthorities(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAuthorities(file); err == nil || !strings.Contains(err.Error(), file+" holds no certificate") {
		t.Errorf("got %v", err)
	}
	if _, err := ReadAuthorities(file + "x"); err == nil {
		t.Error("a file that is not there is read")
	}
}
