package listen

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"candor/internal/mail"
)

// Certificates are the server's certificates, chosen by SNI; the first is the default one. They
// may be used and reloaded concurrently.
type Certificates struct {
	current atomic.Pointer[certificateSet]
	changed chan struct{} // holds an element after a change, for Staple
	staples string        // folder of OCSP responses; empty: none is kept
}

// certificateSet is never changed; a reload makes a new one, whose identity tells the listeners
// that the old tickets are worth nothing any more.
type certificateSet struct {
	hostname mail.Domain
	others   []mail.Domain // names of listeners
	list     []*certificate
}

// Pair names the PEM files of a certificate with its chain and of its key.
type Pair struct{ Cert, Key string }

// LoadCertificates reads PEM files and refuses what CFG-07 refuses. Warnings are for the operator
// (expired, does not cover hostname, none covers one of others): a server that starts with an old certificate is better
// than none.
func LoadCertificates(hostname mail.Domain, pairs []Pair, others ...mail.Domain) (c *Certificates, warnings []string, err error) {
	set, warnings, err := load(hostname, pairs, others)
	if err != nil {
		return nil, nil, err
	}
	c = &Certificates{changed: make(chan struct{}, 1)}
	c.current.Store(set)
	return c, warnings, nil
}

// Prepare reads the files of other pairs, for a server of another name; use takes them up. What is only a warning
// at the start is an error here, for the certificates in use are better; but not if these stay: then it is one again.
func (c *Certificates) Prepare(hostname mail.Domain, pairs []Pair, others ...mail.Domain) (use func(), warnings []string, err error) {
	set, warnings, err := load(hostname, pairs, others)
	switch {
	case err != nil:
		return nil, nil, err
	case set.equal(c.current.Load()): // the tickets stay good
		return func() {}, warnings, nil
	case len(warnings) > 0:
		return nil, nil, errors.New(strings.Join(warnings, "; "))
	}
	set.readStaples(c.staples)
	return func() { c.use(set) }, nil, nil
}

func (c *Certificates) use(set *certificateSet) {
	c.current.Store(set)
	select {
	case c.changed <- struct{}{}:
	default: // Staple has not seen the change before
	}
}

// equal reports whether both hold the same chains for the same names.
func (s *certificateSet) equal(other *certificateSet) bool {
	return s.hostname == other.hostname && slices.Equal(s.others, other.others) && slices.EqualFunc(s.list, other.list, func(a, b *certificate) bool {
		return slices.EqualFunc(a.Certificate.Certificate, b.Certificate.Certificate, bytes.Equal)
	})
}

func load(hostname mail.Domain, pairs []Pair, others []mail.Domain) (*certificateSet, []string, error) {
	if len(pairs) == 0 {
		return nil, nil, errors.New("no certificate is configured")
	}
	set := &certificateSet{hostname: hostname, others: others}
	var warnings []string
	for _, p := range pairs {
		cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			return nil, nil, fmt.Errorf("CFG-07: certificate %s with key %s: %w", p.Cert, p.Key, err)
		}
		served := &certificate{Certificate: &cert, file: p.Cert, issuer: issuerOf(&cert)}
		if text := served.refusal(); text != "" {
			return nil, nil, fmt.Errorf("CFG-07: certificate %s: %s", p.Cert, text)
		}
		if text := validity(cert.Leaf, time.Now()); text != "" {
			warnings = append(warnings, fmt.Sprintf("certificate %s %s", p.Cert, text))
		}
		set.list = append(set.list, served)
	}
	if leaf := set.list[0].Leaf; leaf.VerifyHostname(string(hostname)) != nil {
		warnings = append(warnings, fmt.Sprintf("certificate %s is not for %s but for %s",
			pairs[0].Cert, hostname, strings.Join(leaf.DNSNames, ", ")))
	}
	for _, name := range set.uncovered() {
		warnings = append(warnings, fmt.Sprintf("no certificate is for %s, the name of a listener", name))
	}
	return set, warnings, nil
}

// uncovered are the names of listeners that no certificate is for.
func (s *certificateSet) uncovered() (names []mail.Domain) {
	for _, name := range s.others {
		covers := func(c *certificate) bool { return c.Leaf.VerifyHostname(string(name)) == nil }
		if !slices.ContainsFunc(s.list, covers) {
			names = append(names, name)
		}
	}
	return names
}

// refusal says why the certificate must not be served (CFG-07); empty if it may.
func (c *certificate) refusal() string {
	leaf := c.Leaf
	if len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0 {
		return "it has no subject alternative name, without which no client accepts it; have it issued with the host name as DNS name"
	}
	if mustStaple(leaf) && !c.named() {
		return "it demands a stapled OCSP response (RFC 7633), but names no responder, or its issuer is not behind it in the file; add that, or have it issued without must-staple"
	}
	for _, der := range c.Certificate.Certificate {
		x, err := x509.ParseCertificate(der)
		if err != nil {
			return "its chain cannot be read: " + err.Error()
		}
		if text := weakness(x); text != "" {
			return fmt.Sprintf("%s: %s", x.Subject, text)
		}
	}
	return ""
}

// issuerOf is the certificate in the chain that signed the leaf; nil if it is not there.
func issuerOf(cert *tls.Certificate) *x509.Certificate {
	for _, der := range cert.Certificate[1:] {
		if x, err := x509.ParseCertificate(der); err == nil && cert.Leaf.CheckSignatureFrom(x) == nil {
			return x
		}
	}
	return nil
}

// weakness says what is too weak about a certificate of the chain.
func weakness(x *x509.Certificate) string {
	switch key := x.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 {
			return fmt.Sprintf("its RSA key has %d bits; use ECDSA P-256, or RSA with 2048 or more", bits)
		}
	case *ecdsa.PublicKey:
		if bits := key.Curve.Params().BitSize; bits < 256 {
			return fmt.Sprintf("its ECDSA key has %d bits; use P-256", bits)
		}
	}
	switch x.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.MD5WithRSA, x509.MD2WithRSA:
		return fmt.Sprintf("it is signed with %s; have it issued with SHA-256", x.SignatureAlgorithm)
	}
	return ""
}

// mustStaple reports whether the TLS feature extension asks for status_request (RFC 7633, section 4.1).
func mustStaple(x *x509.Certificate) bool {
	feature := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}
	const statusRequest = 5
	for _, e := range x.Extensions {
		if !e.Id.Equal(feature) {
			continue
		}
		var features []int
		if _, err := asn1.Unmarshal(e.Value, &features); err != nil {
			return true
		}
		for _, f := range features {
			if f == statusRequest {
				return true
			}
		}
	}
	return false
}

// validity says what is wrong with the dates; empty if nothing.
func validity(x *x509.Certificate, now time.Time) string {
	switch {
	case now.After(x.NotAfter):
		return fmt.Sprintf("expired on %s", x.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(x.NotBefore):
		return fmt.Sprintf("is not valid before %s", x.NotBefore.UTC().Format(time.DateOnly))
	}
	return ""
}

// choose returns the certificate for the name in hello that suits the client best, and the default
// one for a name that is unknown or absent: it never fails (RFC 6066, section 3).
func (s *certificateSet) choose(hello *tls.ClientHelloInfo) *certificate {
	if len(s.list) == 1 {
		return s.list[0]
	}
	name := strings.ToLower(hello.ServerName)
	if name != "" {
		if cert := suited(hello, s.list, name); cert != nil {
			return cert
		}
	}
	// The default certificate may have a sibling with another kind of key for the same names.
	unnamed := *hello
	unnamed.ServerName = ""
	if len(s.list[0].Leaf.DNSNames) > 0 {
		if cert := suited(&unnamed, s.list, s.list[0].Leaf.DNSNames[0]); cert != nil {
			return cert
		}
	}
	return s.list[0]
}

// serve chooses the certificate for hello and notes it on its connection, which a channel may be bound to (RFC 5929,
// section 4).
func (s *certificateSet) serve(hello *tls.ClientHelloInfo) *certificate {
	cert := s.choose(hello)
	if w, ok := hello.Conn.(*wire); ok {
		w.served = cert.Leaf
		w.hello.Store(true)
	}
	return cert
}

// suited returns the first certificate for name that the client supports, or else the first for name.
func suited(hello *tls.ClientHelloInfo, list []*certificate, name string) *certificate {
	var first *certificate
	for _, cert := range list {
		if cert.Leaf.VerifyHostname(strings.Replace(name, "*", "x", 1)) != nil {
			continue
		}
		if hello.SupportsCertificate(cert.Certificate) == nil {
			return cert
		}
		if first == nil {
			first = cert
		}
	}
	return first
}

// CertificateStats are the dates of a certificate, in seconds since 1970.
type CertificateStats struct {
	File          string `json:"file"`
	Expires       int64  `json:"expires"`
	StapleExpires int64  `json:"staple_expires"` // of the OCSP response; 0: there is none
}

// Stats returns the dates of each certificate, the default one first.
func (c *Certificates) Stats() []CertificateStats {
	list := c.current.Load().list
	all := make([]CertificateStats, len(list))
	for i, cert := range list {
		all[i] = CertificateStats{File: cert.file, Expires: cert.Leaf.NotAfter.Unix()}
		if s := cert.staple.Load(); s != nil {
			all[i].StapleExpires = s.ends.Unix()
		}
	}
	return all
}
