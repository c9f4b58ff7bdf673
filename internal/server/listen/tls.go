package listen

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	ticketRotation = 12 * time.Hour
	ticketLifetime = 24 * time.Hour
)

// suites are those allowed under TLS 1.2 (specification, section 2.9; RFC 9325, section 4.2).
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// obsolete reports whether the handshake came to a version or suite that only an exception allows.
func obsolete(cs *tls.ConnectionState) bool {
	return cs.Version < tls.VersionTLS12 || cs.Version == tls.VersionTLS12 && !slices.Contains(suites, cs.CipherSuite)
}

// groups are in the order of preference.
var groups = []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384}

// protocols are the ALPN ids. "smtp" is not registered, but used in the field.
var protocols = map[Service][]string{SMTP: {"smtp"}, Submission: {"smtp"}, IMAP: {"imap"}, POP3: {"pop3"}, HTTP: {"h2", "http/1.1"}}

// foreign are the registered ALPN ids of other protocols: a client of a public MX that offers
// nothing but these was sent here by somebody who redirects connections (ALPACA).
var foreign = map[string]bool{
	"http/0.9": true, "http/1.0": true, "http/1.1": true, "h2": true, "h2c": true, "h3": true,
	"spdy/1": true, "spdy/2": true, "spdy/3": true, "imap": true, "pop3": true, "managesieve": true,
	"ftp": true, "xmpp-client": true, "xmpp-server": true, "acme-tls/1": true, "mqtt": true, "dot": true,
	"doq": true, "ntske/1": true, "sunrpc": true, "smb": true, "irc": true, "nntp": true, "nnsp": true,
	"stun.turn": true, "stun.nat-discovery": true, "webrtc": true, "c-webrtc": true, "coap": true, "co": true,
	"sip/2": true, "tds/8.0": true, "dicom": true, "postgresql": true, "radius/1.0": true, "radius/1.1": true,
}

// serviceTLS is the TLS side of one service: its configurations and its ticket keys, which live in
// memory alone and are shared with no other service, so that a ticket of port 25 is useless on 993.
type serviceTLS struct {
	service      Service
	certificates *Certificates

	mu      sync.Mutex
	set     *certificateSet         // that the configurations were made for
	clients [][sha256.Size]byte     // what the listeners accept of clients' certificates
	keys    []ticketKey             // newest first
	configs map[variant]*tls.Config // made when first needed
}

type ticketKey struct {
	key  [32]byte
	made time.Time
}

// of is the key for sessions that began with a certificate. No other one's ticket resumes them: a client is sent no
// certificate then, and would go on with one that it was shown under another name (RFC 6066, section 3).
func (k *ticketKey) of(c *certificate) [32]byte {
	return sha256.Sum256(slices.Concat(k.key[:], c.Leaf.Raw))
}

// variant is what configurations of one service differ in.
type variant struct {
	certificate *certificate
	tolerant    bool                // without ALPN, for odd senders to a public MX
	demands     *ClientCertificates // nil: the client is not asked for a certificate
	obsolete    bool                // for a client with an exception
}

func newServiceTLS(s Service, c *Certificates) *serviceTLS {
	return &serviceTLS{service: s, certificates: c}
}

// outer is the configuration that a connection begins with: it only finds the current one.
func (s *serviceTLS) outer(v variant) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols[s.service], GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		its := v
		its.tolerant = s.service == SMTP && s.tolerates(hello.SupportedProtos)
		its.certificate = s.certificates.current.Load().serve(hello)
		return s.config(its), nil
	}}
}

// tolerates reports whether a client with this ALPN list is let in without a common id.
func (s *serviceTLS) tolerates(offered []string) bool {
	ours := func(id string) bool { return slices.Contains(protocols[s.service], id) }
	odd := func(id string) bool { return !foreign[id] && !reserved(id) }
	return !slices.ContainsFunc(offered, ours) && slices.ContainsFunc(offered, odd)
}

// reserved reports whether an ALPN id is one that stands for nothing (RFC 8701, section 2).
func reserved(id string) bool { return len(id) == 2 && id[0] == id[1] && id[0]&0x0f == 0x0a }

// accept drops the tickets if what is accepted of clients' certificates is not what it was: each listener has an
// element.
func (s *serviceTLS) accept(clients [][sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.clients, clients) {
		s.clients, s.keys = clients, nil
	}
	s.configs = nil // those of listeners that are gone
}

func (s *serviceTLS) config(v variant) *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh(time.Now())
	c := s.configs[v]
	if c == nil {
		if s.configs == nil {
			s.configs = map[variant]*tls.Config{}
		}
		c = s.build(v)
		s.configs[v] = c
	}
	return c
}

// refresh makes new ticket keys when the newest is 12 h old or the certificates have changed.
func (s *serviceTLS) refresh(now time.Time) {
	set := s.certificates.current.Load()
	fresh := set == s.set && len(s.keys) > 0 && now.Sub(s.keys[0].made) < ticketRotation &&
		now.Sub(s.keys[len(s.keys)-1].made) < ticketLifetime
	if fresh {
		return
	}
	if set != s.set {
		s.set, s.keys = set, nil
	}
	s.keys = slices.DeleteFunc(s.keys, func(k ticketKey) bool { return now.Sub(k.made) >= ticketLifetime })
	if len(s.keys) == 0 || now.Sub(s.keys[0].made) >= ticketRotation {
		k := ticketKey{made: now}
		rand.Read(k.key[:]) // never fails
		s.keys = slices.Insert(s.keys, 0, k)
	}
	s.configs = nil
}

// allowObsolete lets a client in that an exception allows TLS from 1.0 on. What it comes to cannot be resumed elsewhere.
func allowObsolete(c *tls.Config) {
	c.MinVersion = tls.VersionTLS10 //nolint:gosec // that is the exception
	c.SessionTicketsDisabled = true
	c.CipherSuites = slices.Clone(suites)
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if !strings.Contains(s.Name, "RC4") && !strings.Contains(s.Name, "3DES") && !slices.Contains(suites, s.ID) {
			c.CipherSuites = append(c.CipherSuites, s.ID)
		}
	}
}

func (s *serviceTLS) build(v variant) *tls.Config {
	c := &tls.Config{
		MinVersion:       tls.VersionTLS12,
		CipherSuites:     suites,
		CurvePreferences: groups,
		NextProtos:       protocols[s.service],
		GetCertificate:   func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return v.certificate.serve(), nil },
		// Our answers are buffered up to whole records; small first records would only cost more writes.
		DynamicRecordSizingDisabled: true,
	}
	if v.tolerant {
		c.NextProtos = nil
	}
	if v.obsolete {
		allowObsolete(c)
	}
	if v.demands != nil {
		v.demands.demand(c)
	}
	keys := make([][32]byte, len(s.keys))
	for i, k := range s.keys {
		keys[i] = k.of(v.certificate)
	}
	c.SetSessionTicketKeys(keys)
	return c
}
