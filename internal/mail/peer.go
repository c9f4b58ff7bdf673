package mail

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
)

// Peer is what a door knows of the other end of a connection.
type Peer struct {
	Remote, Local netip.AddrPort
	Transport     Transport
	TLS           *tls.ConnectionState // nil unless TLS ends here
	// Certificate is ours, as it was served on this connection or, if TLS was resumed, on the one before; nil without TLS.
	Certificate *x509.Certificate
	// ClientCertificate is the peer's, if the listener asked for one and verified it; SASL EXTERNAL rests on it.
	ClientCertificate *x509.Certificate
}
