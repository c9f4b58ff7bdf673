package listen

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"
)

const week = 7 * 24 * time.Hour

var demandStaple = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}}

// responder answers as that of an authority does, for a week.
type responder struct {
	ca *clientAuthority

	mu     sync.Mutex
	asked  []string                                // hosts
	fail   error                                   // instead of an answer
	change func(*ocsp.Response)                    // before it is signed
	signer *tls.Certificate                        // instead of the authority
	spoil  func(der []byte) (status int, _ []byte) // after it is signed
}

// hosts are those that have been asked.
func (r *responder) hosts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

// become lets the responder behave in another way.
func (r *responder) become(another func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	another()
}

// RoundTrip implements http.RoundTripper.
func (r *responder) RoundTrip(q *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, q.URL.Host)
	question, err := io.ReadAll(q.Body)
	if err != nil || r.fail != nil {
		return nil, errors.Join(err, r.fail)
	}
	parsed, err := ocsp.ParseRequest(question)
	if err != nil {
		return nil, err
	}
	x := ocsp.Response{Status: ocsp.Good, SerialNumber: parsed.SerialNumber, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(week)}
	if r.change != nil {
		r.change(&x)
	}
	signer := &r.ca.Certificate
	if r.signer != nil {
		signer, x.Certificate = r.signer, r.signer.Leaf
	}
	der, err := ocsp.CreateResponse(r.ca.Leaf, signer.Leaf, x, signer.PrivateKey.(crypto.Signer))
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if r.spoil != nil {
		status, der = r.spoil(der)
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: io.NopCloser(bytes.NewReader(der))}, nil
}

// writeChain writes a certificate of the authority for a server, with the authority's behind it.
func (a *clientAuthority) writeChain(t testing.TB, change func(*x509.Certificate)) Pair {
	t.Helper()
	cert := a.issue(t, func(x *x509.Certificate) {
		x.EmailAddresses, x.DNSNames, x.ExtKeyUsage = nil, []string{string(testHost)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		x.OCSPServer, x.NotAfter = []string{"http://ocsp.example.org/"}, time.Now().Add(10*week)
		if change != nil {
			change(x)
		}
	})
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pair := Pair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	writePEM(t, pair.Key, "PRIVATE KEY", key)
	var chain []byte
	for _, der := range [][]byte{cert.Leaf.Raw, a.Leaf.Raw} {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if err := os.WriteFile(pair.Cert, chain, 0o600); err != nil {
		t.Fatal(err)
	}
	return pair
}

// stapling runs Staple until the test ends; wait lets it come to rest.
func stapling(t *testing.T, c *Certificates, r *responder) (log *logBuffer, stop func()) {
	log = &logBuffer{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Staple(ctx, &http.Client{Transport: r}, slog.New(slog.NewTextHandler(log, nil)))
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return log, stop
}

// TestStaple: a response is renewed at half of its life, serves until it ends, and outlives a restart.
func TestStaple(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca := newClientAuthority(t)
		pair, dir := ca.writeChain(t, nil), filepath.Join(t.TempDir(), "ocsp")
		certs := certificates(t, pair)
		certs.KeepStaples(dir)
		served := func() []byte { return certs.current.Load().list[0].serve().OCSPStaple }
		if served() != nil {
			t.Fatal("a response out of nowhere")
		}
		r := &responder{ca: ca}
		log, stop := stapling(t, certs, r)
		synctest.Wait()
		first := served()
		if got := certs.Stats()[0]; got.StapleExpires != time.Now().Add(week).Unix() || got.Expires != time.Now().Add(10*week).Unix() || got.File != pair.Cert {
			t.Errorf("shown as %+v", got)
		}
		if len(first) == 0 || !slices.Equal(r.hosts(), []string{"ocsp.example.org"}) {
			t.Fatalf("after the start: %d octets, asked %q\n%s", len(first), r.hosts(), log)
		}
		time.Sleep(week/2 - time.Minute)
		if synctest.Wait(); len(r.hosts()) != 1 {
			t.Error("asked again before half of its life")
		}
		time.Sleep(2 * time.Minute)
		second := served()
		if synctest.Wait(); len(r.hosts()) != 2 || bytes.Equal(first, second) {
			t.Error("not asked again after half of its life")
		}

		stop()
		asked := len(r.hosts())
		certs = certificates(t, pair)
		if certs.KeepStaples(dir); !bytes.Equal(served(), second) {
			t.Error("a restart loses the response")
		}
		r.become(func() { r.fail = errors.New("no route") })
		log, _ = stapling(t, certs, r)
		if synctest.Wait(); len(r.hosts()) != asked {
			t.Error("asked although a fresh response was kept")
		}
		time.Sleep(week/2 + time.Hour)
		if synctest.Wait(); len(r.hosts()) == asked || !bytes.Equal(served(), second) || !strings.Contains(log.String(), "renewing an ocsp response failed") {
			t.Errorf("while the responder is away: asked %d times, %d octets\n%s", len(r.hosts())-asked, len(served()), log)
		}
		if n := len(r.hosts()) - asked; n > 10 {
			t.Errorf("asked %d times in an hour", n)
		}
		time.Sleep(week / 2)
		if synctest.Wait(); served() != nil {
			t.Error("a response is stapled after its end")
		}
		r.become(func() { r.fail = nil })
		time.Sleep(longestRetry)
		if synctest.Wait(); len(served()) == 0 {
			t.Errorf("no response after the responder came back\n%s", log)
		}
	})
}

// TestStapleRefused: only a response that says "good", now, of this certificate, by who may say so, is stapled.
func TestStapleRefused(t *testing.T) {
	t.Parallel()
	ca, other := newClientAuthority(t), newClientAuthority(t)
	signer := func(a *clientAuthority, usage x509.ExtKeyUsage, life time.Duration) *tls.Certificate {
		return a.issue(t, func(x *x509.Certificate) {
			x.ExtKeyUsage, x.NotAfter = []x509.ExtKeyUsage{usage}, time.Now().Add(life)
		})
	}
	pair := ca.writeChain(t, nil)
	cert := certificates(t, pair).current.Load().list[0]
	for name, tc := range map[string]struct {
		*responder
		want string // of the error; empty: it is good
	}{
		"good":                  {&responder{}, ""},
		"delegated":             {&responder{signer: signer(ca, x509.ExtKeyUsageOCSPSigning, time.Hour)}, ""},
		"without a next update": {&responder{change: func(x *ocsp.Response) { x.NextUpdate = time.Time{} }}, ""},
		"of a server":           {&responder{signer: signer(ca, x509.ExtKeyUsageServerAuth, time.Hour)}, "may not sign"},
		"by an expired signer":  {&responder{signer: signer(ca, x509.ExtKeyUsageOCSPSigning, -time.Minute)}, "may not sign"},
		"by a stranger":         {&responder{signer: signer(other, x509.ExtKeyUsageOCSPSigning, time.Hour)}, "signature"},
		"by another authority":  {&responder{ca: other}, "signature"},
		"revoked":               {&responder{change: func(x *ocsp.Response) { x.Status, x.RevokedAt = ocsp.Revoked, time.Now() }}, "revoked"},
		"unknown":               {&responder{change: func(x *ocsp.Response) { x.Status = ocsp.Unknown }}, "does not know"},
		"of another":            {&responder{change: func(x *ocsp.Response) { x.SerialNumber = big.NewInt(5) }}, "no response matching"},
		"old":                   {&responder{change: func(x *ocsp.Response) { x.ThisUpdate, x.NextUpdate = time.Now().Add(-week), time.Now().Add(-time.Hour) }}, "another time"},
		"of the future":         {&responder{change: func(x *ocsp.Response) { x.ThisUpdate = time.Now().Add(time.Hour) }}, "another time"},
		"try later":             {&responder{spoil: func([]byte) (int, []byte) { return 200, ocsp.TryLaterErrorResponse }}, "try later"},
		"not found":             {&responder{spoil: func(der []byte) (int, []byte) { return 404, der }}, "Not Found"},
		"HTML":                  {&responder{spoil: func([]byte) (int, []byte) { return 200, []byte("<html>") }}, "asn1"},
		"cut":                   {&responder{spoil: func(der []byte) (int, []byte) { return 200, der[:len(der)/2] }}, "asn1"},
		"endless":               {&responder{spoil: func(der []byte) (int, []byte) { return 200, append(der, make([]byte, responseOctets)...) }}, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.ca == nil {
				tc.ca = ca
			}
			r, err := askResponders(t.Context(), &http.Client{Transport: tc.responder}, cert.Leaf, cert.issuer)
			switch {
			case tc.want == "" && (err != nil || !time.Now().Before(r.ends)):
				t.Errorf("got %v, %v", r, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestStapleRevoked: what a responder vouched for before it revoked the certificate is stapled no more.
func TestStapleRevoked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca := newClientAuthority(t)
		certs, dir := certificates(t, ca.writeChain(t, nil)), t.TempDir()
		certs.KeepStaples(dir)
		r := &responder{ca: ca}
		log, _ := stapling(t, certs, r)
		synctest.Wait()
		r.become(func() {
			r.change = func(x *ocsp.Response) { x.Status, x.RevokedAt = ocsp.Revoked, time.Now() }
		})
		time.Sleep(week/2 + time.Minute)
		synctest.Wait()
		left, err := os.ReadDir(dir)
		if certs.current.Load().list[0].serve().OCSPStaple != nil || len(left) > 0 || err != nil || !strings.Contains(log.String(), "the certificate is revoked") {
			t.Errorf("still stapled, or kept: %v, %v\n%s", left, err, log)
		}
	})
}

// TestStapleChange: after a reload the new certificate's responder is asked, the first that answers; what was kept for the old
// one goes.
func TestStapleChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca := newClientAuthority(t)
		certs, dir := certificates(t, ca.writeChain(t, nil)), t.TempDir()
		certs.KeepStaples(dir)
		r := &responder{ca: ca}
		log, _ := stapling(t, certs, r)
		synctest.Wait()
		next := ca.writeChain(t, func(x *x509.Certificate) {
			x.OCSPServer = []string{"ldap://ocsp.example.org/", "http://second.example.org/"}
		})
		use, _, err := certs.Prepare(testHost, []Pair{next})
		if err != nil {
			t.Fatal(err)
		}
		use()
		synctest.Wait()
		if certs.current.Load().list[0].serve().OCSPStaple == nil || !slices.Equal(r.hosts(), []string{"ocsp.example.org", "second.example.org"}) {
			t.Errorf("asked %q\n%s", r.hosts(), log)
		}
		if left, err := os.ReadDir(dir); len(left) != 1 || err != nil {
			t.Errorf("kept %v, %v", left, err)
		}
	})
}

// TestMustStaple: a certificate that demands a response is refused when none can be had, and is said to lack one.
func TestMustStaple(t *testing.T) {
	t.Parallel()
	ca := newClientAuthority(t)
	demand := func(x *x509.Certificate) { x.ExtraExtensions = []pkix.Extension{demandStaple} }
	if _, _, err := LoadCertificates(testHost, []Pair{ca.writeChain(t, demand)}); err != nil {
		t.Errorf("with responder and issuer: %v", err)
	}
	_, _, err := LoadCertificates(testHost, []Pair{ca.writeChain(t, func(x *x509.Certificate) { demand(x); x.OCSPServer = nil })})
	if err == nil || !strings.Contains(err.Error(), "CFG-07") {
		t.Errorf("without a responder: %v", err)
	}
	alone := ca.writeChain(t, demand)
	text, err := os.ReadFile(alone.Cert)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := pem.Decode(text)
	writePEM(t, alone.Cert, "CERTIFICATE", leaf.Bytes)
	if _, _, err := LoadCertificates(testHost, []Pair{alone}); err == nil || !strings.Contains(err.Error(), "RFC 7633") {
		t.Errorf("without its issuer: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		ca := newClientAuthority(t)
		log, _ := stapling(t, certificates(t, ca.writeChain(t, demand)), &responder{ca: ca, fail: errors.New("no route")})
		if synctest.Wait(); !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "no route") {
			t.Errorf("nothing is said:\n%s", log)
		}
	})
}

// TestStapleServed: clients that ask for a response get it, in both versions.
func TestStapleServed(t *testing.T) {
	t.Parallel()
	ca := newClientAuthority(t)
	certs := certificates(t, ca.writeChain(t, nil))
	cert := certs.current.Load().list[0]
	r, err := askResponders(t.Context(), &http.Client{Transport: &responder{ca: ca}}, cert.Leaf, cert.issuer)
	if err != nil {
		t.Fatal(err)
	}
	cert.attach(r)
	ts := serve(t, Options{Listeners: []Listener{{Service: IMAP, Mode: Implicit}}, Handlers: map[Service]Handler{IMAP: echo}, Certificates: certs})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := clientTLS()
		config.MaxVersion = version
		c := tls.Client(ts.dial(t, 0), config)
		expect(t, c, "hello\r\n")
		if got := c.OCSPResponse(); !bytes.Equal(got, r.der) {
			t.Errorf("%s: got a response of %d octets", tls.VersionName(version), len(got))
		}
	}
}
