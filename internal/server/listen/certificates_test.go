package listen

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
)

// TestCertificateRefused: CFG-07.
func TestCertificateRefused(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		change func(*x509.Certificate)
		key    crypto.Signer
		want   string
	}{
		{"good", func(*x509.Certificate) {}, ecdsaKey(t), ""},
		{"no name", func(x *x509.Certificate) { x.DNSNames = nil }, ecdsaKey(t), "no subject alternative name"},
		{"weak RSA", func(*x509.Certificate) {}, weak, "1024 bits"},
		{"small curve", func(*x509.Certificate) {}, small, "224 bits"},
		{"must-staple", func(x *x509.Certificate) { x.ExtraExtensions = []pkix.Extension{demandStaple} }, ecdsaKey(t), "RFC 7633"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			x := template(string(testHost))
			tc.change(x)
			_, _, err := LoadCertificates(testHost, []Pair{writePair(t, x, tc.key)})
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "CFG-07")):
				t.Errorf("got %v, want CFG-07 and %q", err, tc.want)
			}
		})
	}
	t.Run("key of another", func(t *testing.T) {
		t.Parallel()
		a, b := writePair(t, template(string(testHost)), ecdsaKey(t)), writePair(t, template(string(testHost)), ecdsaKey(t))
		if _, _, err := LoadCertificates(testHost, []Pair{{a.Cert, b.Key}}); err == nil || !strings.Contains(err.Error(), "CFG-07") {
			t.Errorf("got %v, want CFG-07", err)
		}
	})
	if text := weakness(&x509.Certificate{SignatureAlgorithm: x509.SHA1WithRSA}); !strings.Contains(text, "SHA-256") {
		t.Errorf("SHA-1: %q", text)
	}
}

// TestCertificateWarned: what only warns at the start is refused by a reload, and the one in use stays.
func TestCertificateWarned(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*x509.Certificate)
		want   string
	}{
		{"expired", func(x *x509.Certificate) { x.NotAfter = time.Now().Add(-time.Minute) }, "expired on"},
		{"early", func(x *x509.Certificate) { x.NotBefore = time.Now().Add(time.Minute) }, "not valid before"},
		{"other name", func(x *x509.Certificate) { x.DNSNames = []string{"www.example.org"} }, "not for mx.example.org but for www.example.org"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			x := template(string(testHost))
			tc.change(x)
			bad := writePair(t, x, ecdsaKey(t))
			_, warnings, err := LoadCertificates(testHost, []Pair{bad})
			if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], tc.want) {
				t.Errorf("at the start: %q, %v; want a warning with %q", warnings, err, tc.want)
			}
			c := certificates(t)
			before := c.current.Load()
			if _, _, err := c.Prepare(testHost, []Pair{bad}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("reload: %v, want an error with %q", err, tc.want)
			}
			if c.current.Load() != before {
				t.Error("the certificate in use did not stay")
			}
			began, _, err := LoadCertificates(testHost, []Pair{bad})
			if err != nil {
				t.Fatal(err)
			}
			if _, again, err := began.Prepare(testHost, []Pair{bad}); err != nil || !slices.Equal(again, warnings) {
				t.Errorf("reload of the one in use: %q, %v; want the warnings of the start", again, err)
			}
		})
	}
}

// TestListenerNames: each name of a listener needs a certificate: a warning and A-120 at the start, refused by a reload.
func TestListenerNames(t *testing.T) {
	t.Parallel()
	own, other := writePair(t, template(string(testHost)), ecdsaKey(t)), writePair(t, template("imap.example.net"), ecdsaKey(t))
	c, warnings, err := LoadCertificates(testHost, []Pair{own}, "imap.example.net")
	if err != nil || !slices.Equal(warnings, []string{"no certificate is for imap.example.net, the name of a listener"}) {
		t.Errorf("at the start: %q, %v", warnings, err)
	}
	if a := c.Alarms(time.Now()); !slices.ContainsFunc(a, func(a mail.Alarm) bool { return a.ID == "A-120" && a.Subject == "imap.example.net" }) {
		t.Errorf("got the alarms %+v", a)
	}
	use, warnings, err := c.Prepare(testHost, []Pair{own, other}, "imap.example.net")
	if err != nil || len(warnings) > 0 {
		t.Fatalf("reload with a certificate for it: %q, %v", warnings, err)
	}
	use()
	for _, a := range c.Alarms(time.Now()) {
		if a.ID == "A-120" {
			t.Errorf("it stays: %+v", a)
		}
	}
	if _, _, err := c.Prepare(testHost, []Pair{own, other}, "pop.example.net"); err == nil || !strings.Contains(err.Error(), "pop.example.net") {
		t.Errorf("reload without one: %v", err)
	}
}
