package main

import (
	"strings"

	"candor/internal/server/listen"
)

// checkProxies applies CFG-12.
func (c *config) checkProxies(at func(string) string, l *listenerConfig) error {
	for i, s := range l.ProxyFrom {
		p, err := parsePrefix(s)
		if err != nil {
			return c.refuse(at("proxy_from"), "", "proxy_from[%d]: %v", i, err)
		}
		if least, wide := tooWide(p); wide {
			return c.refuse(at("proxy_from"), "CFG-12", "whoever connects from %s could claim any address: name the proxies, or public networks of at most /%d", s, least)
		}
	}
	switch {
	case l.ProxyTLSTrusted == nil:
		return nil
	case len(l.ProxyFrom) == 0:
		return c.refuse(at("proxy_tls_trusted"), "CFG-12", `proxy_tls_trusted says not which proxies: add proxy_from = ["192.0.2.10"], or remove it`)
	case strings.TrimSpace(*l.ProxyTLSTrusted) == "":
		return c.refuse(at("proxy_tls_trusted"), "CFG-12", `proxy_tls_trusted needs a reason, such as "HAProxy on the same rack ends TLS": write one, or remove it`)
	case l.Service == "http":
		return c.refuse(at("proxy_tls_trusted"), "CFG-12", "an http listener has no use for proxy_tls_trusted: remove it")
	case l.ClientCert == "require":
		return c.refuse(at("proxy_tls_trusted"), "CFG-12", `where TLS ends at a proxy there is no certificate to require: remove proxy_tls_trusted, or use client_cert = "request"`)
	}
	return nil
}

// proxies are what the connections of a checked listener come through; nil if clients connect directly.
func (c *config) proxies(l listenerConfig) *listen.Proxies {
	if len(l.ProxyFrom) == 0 {
		return nil
	}
	from, _ := parsePrefixes(l.ProxyFrom)
	return &listen.Proxies{From: from, TrustTLS: l.ProxyTLSTrusted != nil}
}
