package mail

import (
	"crypto/tls"
	"net/netip"
)

// Peer is what a door knows of the other end of a connection.
type Peer struct {
	Remote, Local netip.AddrPort
	Transport     Transport
	TLS           *tls.ConnectionState // nil unless TLS ends here
}
