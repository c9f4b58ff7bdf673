package listen

import (
	"crypto/tls"
	"net"
)

// HTTP is not served by a Handler: HTTPS gives its server the TLS side, and HTTPSocket the socket.
const HTTP Service = "http"

// HTTPS returns the configuration of an HTTP server: the same certificates, suites and groups as
// every door, and ticket keys of its own.
func (c *Certificates) HTTPS() *tls.Config { return newServiceTLS(HTTP, c).outer(variant{}) }

// HTTPSocket accepts at the place of an HTTP listener. Closing it leaves the socket itself open.
func (s *Sockets) HTTPSocket(p Place) net.Listener { return newLease(s.at(p)) }
