package listen

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"
)

// ClientCertificates is how a listener asks its clients for certificates, and which it takes: those that chain to
// one of its authorities, and those that are pinned.
type ClientCertificates struct {
	// Required lets a handshake fail without a certificate that can be verified. Otherwise such a peer counts as one
	// without a certificate, and tls.fail says why.
	Required bool
	// From are the networks whose peers are asked; empty: all are.
	From        []netip.Prefix
	Authorities *Authorities // nil: only pins count
	// Pins are SHA-256 of a whole certificate or of its public key (SubjectPublicKeyInfo). Nothing else of a pinned
	// certificate is looked at, not even its dates.
	Pins [][sha256.Size]byte
}

// The most that is taken of a client's certificates (specification, section 2.10).
const (
	clientChain  = 10
	clientOctets = 100 << 10
)

// Authorities are the certificates that those of clients chain to.
type Authorities struct {
	roots *x509.CertPool
	sum   [sha256.Size]byte
}

// ReadAuthorities reads a PEM file.
//
// Errors: an explanation for a file that cannot be read or holds no certificate.
func ReadAuthorities(file string) (*Authorities, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	a := &Authorities{roots: x509.NewCertPool(), sum: sha256.Sum256(text)}
	if !a.roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate: name a PEM file with those that sign your clients' certificates", file)
	}
	return a, nil
}

// asks reports whether a peer at this address is asked for a certificate.
func (p *ClientCertificates) asks(a netip.Addr) bool {
	return p != nil && (len(p.From) == 0 || slices.ContainsFunc(p.From, func(n netip.Prefix) bool { return n.Contains(a) }))
}

// sum changes with what is accepted: old tickets are worth nothing then.
func (p *ClientCertificates) sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	if p.Authorities != nil {
		h.Write(p.Authorities.sum[:])
	}
	for _, pin := range p.Pins {
		h.Write(pin[:])
	}
	h.Sum(sum[:0])
	return sum
}

// demand makes a TLS configuration ask for certificates.
func (p *ClientCertificates) demand(c *tls.Config) {
	if p.Authorities != nil {
		c.ClientCAs = p.Authorities.roots // names them to the client
	}
	c.ClientAuth = tls.RequestClientCert
	if p.Required {
		c.ClientAuth = tls.RequireAnyClientCert
		c.VerifyConnection = func(cs tls.ConnectionState) error {
			if _, fail := p.identify(cs.PeerCertificates); fail != "" {
				return clientCertificateError(fail)
			}
			return nil
		}
	}
}

// clientCertificateError is what tls.fail says of a client's certificate.
type clientCertificateError string

func (e clientCertificateError) Error() string { return "client certificate: " + string(e) }

// identify verifies a certificate with its chain, also that of a resumed session. It returns what the field peer
// says of it, or else what tls.fail does (specification, sections 1.2 and 4.9).
func (p *ClientCertificates) identify(chain []*x509.Certificate) (peer, fail string) {
	size := 0
	for _, x := range chain {
		size += len(x.Raw)
	}
	if len(chain) == 0 || len(chain) > clientChain || size > clientOctets {
		return "", "cert-unparsable"
	}
	leaf := chain[0]
	if pin := p.pinned(leaf); pin != "" {
		return "cert-pinned:" + pin, ""
	}
	if p.Authorities == nil {
		return "", "pin-mismatch"
	}
	between := x509.NewCertPool()
	for _, x := range chain[1:] {
		between.AddCert(x)
	}
	now := time.Now()
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: p.Authorities.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return "", failure(leaf, now, err)
	}
	return "cert-pkix:" + certificateName(leaf), ""
}

// failure is the word for a chain that does not verify.
func failure(leaf *x509.Certificate, now time.Time, err error) string {
	var invalid x509.CertificateInvalidError
	switch {
	case now.Before(leaf.NotBefore):
		return "pkix-notyet"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "pkix-expired"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "pkix-eku"
	}
	return "pkix-untrusted"
}

// pinned returns the first 16 digits of the pin that the certificate has; empty if none.
func (p *ClientCertificates) pinned(x *x509.Certificate) string {
	for _, sum := range [...][sha256.Size]byte{sha256.Sum256(x.RawSubjectPublicKeyInfo), sha256.Sum256(x.Raw)} {
		if slices.Contains(p.Pins, sum) {
			return hex.EncodeToString(sum[:8])
		}
	}
	return ""
}

// certificateName is the first subject alternative name, a mail address before others, or else the common name.
func certificateName(x *x509.Certificate) string {
	for _, names := range [][]string{x.EmailAddresses, x.DNSNames, {x.Subject.CommonName}} {
		if len(names) > 0 && names[0] != "" {
			return printable(names[0])
		}
	}
	return "serial=" + x.SerialNumber.Text(16)
}

// identify takes what the client's certificate shows into the transport state.
func (c *Conn) identify() {
	if c.demands == nil || len(c.cs.PeerCertificates) == 0 {
		return
	}
	leaf := c.cs.PeerCertificates[0]
	c.transport.SPKI, c.transport.Cert = fingerprint(leaf.RawSubjectPublicKeyInfo), fingerprint(leaf.Raw)
	if c.transport.Peer, c.transport.Fail = c.demands.identify(c.cs.PeerCertificates); c.transport.Fail == "" {
		c.certificate = leaf
	}
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}
