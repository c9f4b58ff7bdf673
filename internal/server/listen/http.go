package listen

import "crypto/tls"

// HTTP is not served by a Handler: HTTPS gives its server the TLS side.
const HTTP Service = "http"

// HTTPS returns the configuration of an HTTP server: the same certificates, suites and groups as
// every door, and ticket keys of its own.
func (c *Certificates) HTTPS() *tls.Config {
	s := newServiceTLS(HTTP, c)
	outer := s.outer()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		inner, err := s.configFor(hello)
		if err != nil {
			return nil, err
		}
		inner = inner.Clone()
		inner.NextProtos = []string{"h2", "http/1.1"}
		return inner, nil
	}
	outer.NextProtos = []string{"h2", "http/1.1"}
	return outer
}
