package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"candor/internal/mail"
)

// modeWord is a TLS mode, or what stands in its place.
type modeWord string

const modeWords = `"implicit", "required", "opportunistic", "none"`

// The four TLS modes by the words of the specification, section 2.1.
const (
	modeImplicit      = "implicit"
	modeRequired      = "required"
	modeOpportunistic = "opportunistic"
	modeNone          = "none"
)

// defaultListeners are those of the specification, section 2.1.
var defaultListeners = []listenerConfig{
	{Service: "smtp", Address: ":25", TLS: modeOpportunistic},
	{Service: "submission", Address: ":587", TLS: modeRequired},
	{Service: "submission", Address: ":465", TLS: modeImplicit},
	{Service: "imap", Address: ":143", TLS: modeRequired},
	{Service: "imap", Address: ":993", TLS: modeImplicit},
	{Service: "pop3", Address: ":110", TLS: modeRequired},
	{Service: "pop3", Address: ":995", TLS: modeImplicit},
	{Service: "http", Address: ":443", TLS: modeImplicit},
	{Service: "http", Address: ":80", TLS: modeNone},
}

// check refuses what the specification, section 2.2 refuses, and fills in defaults.
func (c *config) check() error {
	for _, step := range []func() error{c.checkNames, c.checkListeners, c.checkInsecure, c.checkLegacy, c.checkTLS, c.checkSubmission, c.checkOAuth, c.checkDNS, c.checkAuth, c.checkSMTP, c.checkDestinations, c.checkDANE, c.checkLater, c.checkNetworks, c.checkLimits, c.checkQuota, c.checkRecords, c.closeListeners} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *config) checkNames() error {
	if c.Hostname == "" {
		return c.refuse("hostname", "", `hostname is missing: add hostname = "mail.example.org", the name that MX records and certificates give this server`)
	}
	h, err := mail.ParseDomain(c.Hostname)
	if _, literal := h.Literal(); err != nil || literal {
		return c.refuse("hostname", "", "hostname %q is not a domain name: write it like mail.example.org", c.Hostname)
	}
	c.hostname = h
	if c.Data == "" {
		return c.refuse("data", "", `data is missing: add data = "." for the folder of this file`)
	}
	return nil
}

func (c *config) checkListeners() error {
	if len(c.Listeners) == 0 {
		c.Listeners = slices.Clone(defaultListeners)
	}
	for i := range c.Listeners {
		if err := c.checkListener(i, &c.Listeners[i]); err != nil {
			return err
		}
		for j := range i {
			if err := c.checkPair(j, i); err != nil {
				return err
			}
		}
	}
	return c.nameListeners()
}

// checkPair refuses a listener whose port an earlier one has taken.
func (c *config) checkPair(earlier, i int) error {
	e, l := &c.Listeners[earlier], &c.Listeners[i]
	if !overlap(e.Address, l.Address) {
		return nil
	}
	at := fmt.Sprintf("listener.%d.address", i)
	switch {
	case (e.TLS == modeImplicit) != (l.TLS == modeImplicit):
		return c.refuse(at, "CFG-03", "%s has an implicit and a STARTTLS listener, which cannot share a port: in one the client speaks first in TLS, in the other the server speaks first in clear text. Give one of them another port", l.Address)
	case e.Address == l.Address:
		return c.refuse(at, "", "%s is listed twice: remove one", l.Address)
	}
	return c.refuse(at, "", `%s is taken by the listener %s already: remove one, or give each an address of its own ("" and "[::]" take IPv4 and IPv6)`, l.Address, e.Address)
}

// overlap reports whether two listeners would take the same address and port.
func overlap(a, b string) bool {
	hostA, portA := bind(a)
	hostB, portB := bind(b)
	takes := func(all, one netip.Addr) bool {
		return all == one || all == netip.IPv6Unspecified() || all == netip.IPv4Unspecified() && one.Is4()
	}
	return portA == portB && portA != 0 && (takes(hostA, hostB) || takes(hostB, hostA))
}

// nameListeners gives each listener without a name that of its service with its port, or with its whole address
// where that is not unique: logs and metrics know listeners by name.
func (c *config) nameListeners() error {
	names := map[string]int{}
	for i := range c.Listeners {
		l := &c.Listeners[i]
		_, port := bind(l.Address)
		if l.Name == "" {
			l.Name = fmt.Sprintf("%s:%d", l.Service, port)
			if _, taken := names[l.Name]; taken {
				l.Name = l.Service + ":" + l.Address
			}
		}
		if _, taken := names[l.Name]; taken {
			return c.refuse(fmt.Sprintf("listener.%d.name", i), "", "two listeners have the name %q: give each its own", l.Name)
		}
		names[l.Name] = i
	}
	return nil
}

func (c *config) checkListener(i int, l *listenerConfig) error {
	at := func(key string) string { return fmt.Sprintf("listener.%d.%s", i, key) }
	switch l.Service {
	case "smtp", "submission", "imap", "pop3", "http":
	case "lmtp", "sieve":
		return c.refuse(at("service"), "", "service %q is not in this version: remove the listener", l.Service)
	default:
		return c.refuse(at("service"), "", "service %q is not known: use smtp, submission, imap, pop3 or http", l.Service)
	}
	host, portText, err := net.SplitHostPort(l.Address)
	port, portErr := strconv.ParseUint(portText, 10, 16)
	if err != nil || portErr != nil {
		return c.refuse(at("address"), "", `address %q is not host:port: write it like ":143" or "192.0.2.1:143"`, l.Address)
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		return c.refuse(at("address"), "", "address %q does not begin with an IP address: write it like \":143\" or \"192.0.2.1:143\"", l.Address)
	}
	if l.Hostname != "" {
		if _, err := mail.ParseDomain(l.Hostname); err != nil {
			return c.refuse(at("hostname"), "", "hostname %q is not a domain name", l.Hostname)
		}
	}
	if err := c.checkClientCert(at, l); err != nil {
		return err
	}
	if err := c.checkProxies(at, l); err != nil {
		return err
	}
	return c.checkMode(at, l, int(port))
}

// checkMode applies CFG-01, 04, 05 and 08.
func (c *config) checkMode(at func(string) string, l *listenerConfig, port int) error {
	switch l.TLS {
	case modeImplicit, modeRequired, modeOpportunistic, modeNone:
	case "":
		return c.refuse(at("tls"), "", "listener %s has no tls mode: set tls to one of %s", l.Address, modeWords)
	default:
		return c.refuse(at("tls"), "", "tls %q says nothing definite: use one of %s", l.TLS, modeWords)
	}
	login := l.Service == "submission" || l.Service == "imap" || l.Service == "pop3"
	switch {
	case port == 25 && login, l.Service == "smtp" && l.Auth != nil && *l.Auth:
		return c.refuse(at("service"), "CFG-05", `nobody logs in on port 25: use service = "submission" on port 465 with tls = "implicit"`)
	case l.Auth != nil:
		return c.refuse(at("auth"), "", "auth is not a setting: submission, imap and pop3 offer it after TLS, smtp never. Remove it")
	case login && l.TLS == modeOpportunistic:
		return c.refuse(at("tls"), "CFG-01", `opportunistic is refused where people log in, since their password could travel in clear: use tls = %q`, legalMode(l.Service, port))
	case isOneOf(port, 465, 993, 995) && l.Service == "smtp":
		return c.refuse(at("service"), "CFG-04", "servers send mail to port 25, never to port %d, which speaks TLS from the first byte: use port 25", port)
	case isOneOf(port, 25, 587, 143, 110) && l.Service == "http":
		return c.refuse(at("service"), "CFG-04", "port %d is for mail: use port 443 for HTTP", port)
	case isOneOf(port, 465, 993, 995) && l.TLS != modeImplicit:
		return c.refuse(at("tls"), "CFG-04", `port %d speaks TLS from the first byte: use tls = "implicit", or port %d for STARTTLS`, port, map[int]int{465: 587, 993: 143, 995: 110}[port])
	case (isOneOf(port, 25, 587, 143, 110) || l.Service == "smtp") && l.TLS == modeImplicit:
		return c.refuse(at("tls"), "CFG-04", `clients of port %d expect STARTTLS: use tls = %q`, port, legalMode(l.Service, port))
	case l.Service == "http" && l.TLS != modeImplicit && l.TLS != modeNone:
		return c.refuse(at("tls"), "CFG-04", `HTTP has no STARTTLS: use tls = "implicit", or "none" for the port that only redirects`)
	case l.Service == "smtp" && l.TLS == modeRequired && strings.TrimSpace(l.Reason) == "":
		return c.refuse(at("tls"), "CFG-08", `required on a public MX loses mail from servers without TLS (RFC 3207, section 4): use tls = "opportunistic", or add reason = "…"`)
	}
	return nil
}

// legalMode is the shortest legal alternative for a service on a port.
func legalMode(service string, port int) string {
	switch {
	case service == "smtp":
		return modeOpportunistic
	case isOneOf(port, 465, 993, 995, 443):
		return modeImplicit
	}
	return modeRequired
}

func isOneOf(n int, of ...int) bool { return slices.Contains(of, n) }

// bind returns the address and port of a checked listener address; no host is the unspecified address.
func bind(address string) (netip.Addr, uint16) {
	host, portText, _ := net.SplitHostPort(address)
	port, _ := strconv.ParseUint(portText, 10, 16)
	if host == "" {
		return netip.IPv6Unspecified(), uint16(port)
	}
	a, _ := netip.ParseAddr(host)
	return a, uint16(port)
}

func loopback(address string) bool {
	a, _ := bind(address)
	return a.IsLoopback()
}

func (c *config) checkTLS() error {
	t := &c.TLS
	if (t.Cert == "") != (t.Key == "") {
		return c.refuse("tls", "", "tls.cert and tls.key go together: set both")
	}
	for i, p := range t.Certificates {
		if p.Cert == "" || p.Key == "" {
			return c.refuse(fmt.Sprintf("tls.certificate.%d", i), "", "a certificate needs cert and key: set both")
		}
	}
	if t.Cert == "" && len(t.Certificates) == 0 {
		return c.refuse("tls", "", `no certificate: set cert = "tls/cert.pem" and key = "tls/key.pem" under [tls] ('candor quickstart' makes a pair)`)
	}
	if t.MinVersion != nil {
		return c.refuse("tls.min_version", "CFG-06", `TLS 1.2 and 1.3 are always both on, and nothing older: remove min_version. For single old machines there is [insecure] with allow = "tls1.0"`)
	}
	if t.Suites != nil {
		return c.refuse("tls.suites", "CFG-06", "the cipher suites are those of RFC 9325 and cannot be changed: remove suites")
	}
	return nil
}

func (c *config) checkSubmission() error {
	for i, s := range c.Submission.RelayNetworks {
		p, err := parsePrefix(s)
		if err != nil {
			return c.refuse("submission.relay_networks", "", "relay_networks[%d]: %v", i, err)
		}
		if least, wide := tooWide(p); wide {
			return c.refuse("submission.relay_networks", "CFG-09", "%s would let strangers relay: name single hosts, or networks of at most /%d", s, least)
		}
	}
	return nil
}

// tooWide reports whether a network has strangers in it: all public ones of less than least bits.
func tooWide(p netip.Prefix) (least int, wide bool) {
	least = 24
	if p.Addr().Is6() {
		least = 48
	}
	return least, p.Bits() == 0 || (!private(p) && p.Bits() < least)
}

// private reports whether all of p is private or loopback (RFC 1918, RFC 4193).
func private(p netip.Prefix) bool {
	for _, s := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "fc00::/7", "fe80::/10", "::1/128"} {
		if n := netip.MustParsePrefix(s); n.Contains(p.Addr()) && p.Bits() >= n.Bits() {
			return true
		}
	}
	return false
}

func (c *config) checkDNS() error {
	if c.DNS.TrustAD {
		return c.refuse("dns.trust_ad", "CFG-15", "the AD bit of an upstream is never trusted: remove trust_ad")
	}
	for i, u := range c.DNS.Upstreams {
		if strings.HasPrefix(u, "tls://") {
			return c.refuse("dns.upstreams", "", "upstreams[%d]: DNS over TLS is not in this version: use address:port", i)
		}
		if _, err := netip.ParseAddrPort(u); err != nil {
			return c.refuse("dns.upstreams", "", `upstreams[%d]: %q is not address:port: write it like "127.0.0.1:53"`, i, u)
		}
	}
	return nil
}

// checkLater refuses what is specified but not built: a setting that demands something must never
// be accepted without effect.
func (c *config) checkLater() error {
	if len(c.Outbound.SmarthostAuth) > 0 {
		return c.refuse("outbound.smarthost_auth", "", "logging in at a smart host is not in this version: remove [outbound.smarthost_auth]")
	}
	if s := c.Outbound.Smarthost; s != "" {
		host, port, err := net.SplitHostPort(s)
		if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || host == "" {
			return c.refuse("outbound.smarthost", "", `smarthost %q is not host:port: write it like "relay.example.net:25"`, s)
		}
	}
	return nil
}

func (c *config) checkNetworks() error {
	for path, list := range map[string][]string{
		"submission.clients": c.Submission.Clients, "outbound.private_targets": c.Outbound.PrivateTargets, "network.private": c.Network.Private,
	} {
		if _, err := parsePrefixes(list); err != nil {
			return c.refuse(path, "", "%v", err)
		}
	}
	return nil
}

// parsePrefix reads a network or a single address.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf(`%q is not a network: write it like "192.0.2.0/24"`, s)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

func parsePrefixes(list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, s := range list {
		p, err := parsePrefix(s)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}
