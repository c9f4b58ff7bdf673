package sasl

import (
	"crypto"
	_ "crypto/sha512" // of certificates
	"crypto/tls"
	"crypto/x509"
)

// The types of channel binding.
const (
	TLSExporter       = "tls-exporter"         // RFC 9266
	TLSServerEndPoint = "tls-server-end-point" // RFC 5929, section 4
)

// Channel is a TLS connection to which an exchange can be bound (RFC 5056), so that it fails when somebody between
// the ends has made it one connection with each.
type Channel struct {
	cs     *tls.ConnectionState
	server *x509.Certificate
}

// NewChannel returns the channel of a connection whose server has shown certificate server (nil: unknown). It is nil
// where no type of binding is defined: without TLS, below TLS 1.2, and under TLS 1.2 without extended master secret
// if the certificate gives no hash either.
func NewChannel(cs *tls.ConnectionState, server *x509.Certificate) *Channel {
	if cs == nil || cs.Version < tls.VersionTLS12 {
		return nil
	}
	c := &Channel{cs, server}
	if cs.Version == tls.VersionTLS12 && endPointHash(server) == 0 && c.exporter() == nil {
		return nil
	}
	return c
}

// data returns the binding data of a type, or nil for a type that this channel does not have.
func (c *Channel) data(kind string) []byte {
	switch {
	case c == nil:
		return nil
	case kind == TLSExporter:
		return c.exporter()
	case kind == TLSServerEndPoint:
		return endPoint(c.server)
	}
	return nil
}

// best returns the type to choose, with its data.
func (c *Channel) best() (kind string, data []byte) {
	if data := c.exporter(); data != nil {
		return TLSExporter, data
	}
	return TLSServerEndPoint, endPoint(c.server)
}

// exporter returns the data of RFC 9266, section 4.2. The context is of zero length, which under TLS 1.2 is not the
// same as none (RFC 5705, section 4). Without extended master secret there is no data.
func (c *Channel) exporter() []byte {
	data, err := c.cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	if err != nil {
		return nil
	}
	return data
}

// endPoint is the hash of a server's certificate; nil if there is none.
func endPoint(certificate *x509.Certificate) []byte {
	hash := endPointHash(certificate)
	if hash == 0 {
		return nil
	}
	return digest(hash, certificate.Raw)
}

// endPointHash is that of the certificate's signature, MD5 and SHA-1 raised to SHA-256. It is 0 where the RFC defines
// none: for signatures without a hash, as Ed25519.
func endPointHash(certificate *x509.Certificate) crypto.Hash {
	if certificate == nil {
		return 0
	}
	switch certificate.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		return crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		return crypto.SHA512
	}
	return 0
}
