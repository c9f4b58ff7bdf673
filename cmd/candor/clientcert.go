package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"candor/internal/server/listen"
)

// checkClientCert refuses a listener that asks for certificates without saying whose.
func (c *config) checkClientCert(at func(string) string, l *listenerConfig) error {
	switch l.ClientCert {
	case "request", "require":
	case "":
		for key, unset := range map[string]bool{"client_ca": l.ClientCA == "", "client_pins": l.ClientPins == nil, "client_cert_from": l.ClientCertFrom == nil} {
			if !unset {
				return c.refuse(at(key), "", `%s has no effect without client_cert: add client_cert = "request", or "require", or remove it`, key)
			}
		}
		return nil
	default:
		return c.refuse(at("client_cert"), "", `client_cert %q is not known: use "request" or "require", or leave it out`, l.ClientCert)
	}
	switch {
	case l.Service == "http" || l.TLS == modeNone:
		return c.refuse(at("client_cert"), "", "listener %s cannot ask for certificates: remove client_cert, or give a mail service with TLS to it", l.Address)
	case l.ClientCA == "" && len(l.ClientPins) == 0:
		return c.refuse(at("client_cert"), "", `client_cert says not whose certificates are good: add client_ca = "ca.pem", or client_pins = ["sha256:…"]`)
	case l.Service == "smtp" && len(l.ClientCertFrom) == 0:
		return c.refuse(at("client_cert"), "", `a public MX asks nobody but peers that you know: add client_cert_from = ["192.0.2.25"]`)
	}
	for i, pin := range l.ClientPins {
		if _, err := parsePin(pin); err != nil {
			return c.refuse(at("client_pins"), "", "client_pins[%d]: %v", i, err)
		}
	}
	if _, err := parsePrefixes(l.ClientCertFrom); err != nil {
		return c.refuse(at("client_cert_from"), "", "client_cert_from: %v", err)
	}
	return nil
}

// parsePin reads "sha256:" with 64 hexadecimal digits; colons between them, as openssl prints them, do no harm.
func parsePin(s string) (pin [sha256.Size]byte, err error) {
	digits, ok := strings.CutPrefix(s, "sha256:")
	b, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if !ok || err != nil || copy(pin[:], b) != len(b) || len(b) != sha256.Size {
		return pin, fmt.Errorf(`%q is not a pin: write "sha256:" and the 64 hexadecimal digits of the certificate's or its public key's SHA-256`, s)
	}
	return pin, nil
}

// clientCertificates is how a checked listener asks its clients for certificates; nil if it does not.
func (c *config) clientCertificates(l listenerConfig) (*listen.ClientCertificates, error) {
	if l.ClientCert == "" {
		return nil, nil
	}
	p := &listen.ClientCertificates{Required: l.ClientCert == "require"}
	p.From, _ = parsePrefixes(l.ClientCertFrom)
	for _, text := range l.ClientPins {
		pin, _ := parsePin(text)
		p.Pins = append(p.Pins, pin)
	}
	if l.ClientCA == "" {
		return p, nil
	}
	var err error
	if p.Authorities, err = listen.ReadAuthorities(l.ClientCA); err != nil {
		return nil, c.refuse("listener", "", "client_ca of listener %s: %v", l.Name, err)
	}
	return p, nil
}
