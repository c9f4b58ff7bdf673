package relay

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"time"

	"candor/internal/mail"
)

// TLS 1.2 suites and groups of the specification, section 2.9. TLS 1.3 suites cannot be chosen.
var (
	suites = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	classicGroups = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}
	hybridGroups  = append([]tls.CurveID{tls.X25519MLKEM768}, classicGroups...)
)

// verification is what a server's certificate proved.
type verification struct {
	name string // that matched; empty: none
	fail string // why not
	spki string
	cert string
}

// config makes the TLS configuration for one handshake. It refuses no certificate, since a plain
// relay would go on in clear; what the certificate is worth goes to v. No session is ever resumed:
// every delivery looks again.
func (r *Relay) config(h host, groups []tls.CurveID, v *verification) *tls.Config {
	c := &tls.Config{
		MinVersion:             tls.VersionTLS12,
		CipherSuites:           suites,
		CurvePreferences:       groups,
		SessionTicketsDisabled: true,
		InsecureSkipVerify:     true,
		VerifyPeerCertificate:  r.bound,
		VerifyConnection: func(cs tls.ConnectionState) error {
			*v = r.verify(h, cs)
			return nil
		},
	}
	if !h.addr.IsValid() {
		c.ServerName = string(h.name)
	}
	return c
}

// errChain ends the handshake with a server that sends more certificates than anybody needs.
var errChain = errors.New("tls: the server's certificates are over the limit")

// bound refuses a chain that would only cost time (specification, section 2.10).
func (r *Relay) bound(chain [][]byte, _ [][]*x509.Certificate) error {
	octets := 0
	for _, der := range chain {
		octets += len(der)
	}
	if len(chain) > r.o.Chain || octets > r.o.CertificateOctets {
		return errChain
	}
	return nil
}

// verify checks a certificate chain against the roots and the host's name (specification, section
// 4.6), for the record.
func (r *Relay) verify(h host, cs tls.ConnectionState) verification {
	if len(cs.PeerCertificates) == 0 {
		return verification{fail: "pkix-untrusted"}
	}
	leaf := cs.PeerCertificates[0]
	v := verification{spki: fingerprint(leaf.RawSubjectPublicKeyInfo), cert: fingerprint(leaf.Raw)}
	inter := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		inter.AddCert(c)
	}
	now := r.o.Now()
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: r.o.Roots, Intermediates: inter, CurrentTime: now}); err != nil {
		v.fail = pkixFail(err, leaf, now)
		return v
	}
	name := string(h.name)
	if h.addr.IsValid() {
		name = h.addr.String()
	}
	if err := leaf.VerifyHostname(name); err != nil {
		v.fail = "pkix-name"
		return v
	}
	v.name = name
	return v
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// pkixFail names the reason for which a chain was not accepted (specification, section 4.9).
func pkixFail(err error, leaf *x509.Certificate, now time.Time) string {
	if now.Before(leaf.NotBefore) {
		return "pkix-notyet"
	}
	if now.After(leaf.NotAfter) {
		return "pkix-expired"
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		switch invalid.Reason {
		case x509.Expired:
			return "pkix-expired"
		case x509.IncompatibleUsage:
			return "pkix-eku"
		}
	}
	return "pkix-untrusted"
}

// observed is the transport of a connection whose handshake is complete. A name that came from
// unsigned DNS binds the certificate to a host, but not the host to the domain.
func (r *Relay) observed(h host, cs tls.ConnectionState, v verification) mail.Transport {
	t := r.transport(mail.EncryptedUnauthenticated)
	t.Mode = mail.StartTLS
	t.Observe(cs)
	t.Name, t.Fail, t.SPKI, t.Cert = v.name, v.fail, v.spki, v.cert
	if v.name != "" {
		t.State = mail.EncryptedNameUnbound
		if h.fixed {
			t.State = mail.AuthenticatedPKIX
		}
	}
	return t
}

// handshakeFail names a handshake's failure.
func handshakeFail(err error) string {
	if errors.Is(err, errChain) {
		return "handshake-bad-certificate"
	}
	return mail.HandshakeFail(err)
}
