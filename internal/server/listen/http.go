package listen

import "crypto/tls"

// HTTP is not served by a Handler: HTTPS gives its server the TLS side.
const HTTP Service = "http"

// HTTPS returns the configuration of an HTTP server: the same certificates, suites and groups as
// every door, and ticket keys of its own.
func (c *Certificates) HTTPS() *tls.Config { return newServiceTLS(HTTP, c).outer() }
