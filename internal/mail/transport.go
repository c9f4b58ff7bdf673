package mail

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
)

// TransportState is the state that one hop was in (specification, section 1.1). States are ordered
// by rank; the zero value is Unknown, which is never good.
type TransportState uint8

// The states.
const (
	Unknown TransportState = iota
	Clear
	EncryptedObsolete
	EncryptedUnauthenticated
	EncryptedNameUnbound
	AuthenticatedSTS
	AuthenticatedPKIX
	AuthenticatedDANETA
	AuthenticatedDANEEE
	AuthenticatedBound
	AuthenticatedPinned
	LocalState
)

// A StateRow is a row of the table of states, as `candor tls explain` prints it.
type StateRow struct {
	Rank     int    `json:"rank"`
	Token    string `json:"token"`
	Meaning  string `json:"meaning"`
	Protects string `json:"protects_against"`
	DoesNot  string `json:"does_not_protect_against"`
	Words    string `json:"words"` // for people; {mx}, {domain} and {name} are fields
}

var states = [...]StateRow{
	Unknown: {-1, "unknown", "not observed by us (earlier/later hops, or record lost)", "nothing can be said", "everything", "Not seen by this server."},
	Clear:   {0, "clear", "no TLS on a network link", "nothing", "reading, changing, redirecting", "Sent in clear text. Anyone on the way could read or change it."},
	EncryptedObsolete: {
		10, "encrypted-obsolete", "TLS < 1.2, or non-AEAD/non-FS suite; can only occur with an insecure flag",
		"casual passive reading", "later decryption, active attack", "Encrypted with an outdated method.",
	},
	EncryptedUnauthenticated: {
		20, "encrypted-unauthenticated", "TLS >= 1.2, peer server identity not checked or check not required and failed",
		"passive reading", "any active attacker on the path (stripping, own certificate), DNS redirect",
		"Encrypted. It was not checked who was at the other end.",
	},
	EncryptedNameUnbound: {
		25, "encrypted-name-unbound", "certificate matched (PKIX or TLSA) for a host name that we learned from unsigned DNS",
		"attacker between us and that host", "DNS/MX redirect to an attacker's own properly certified host",
		"Encrypted to {mx}, whose certificate fits. That {mx} is the right server for {domain} could not be proved.",
	},
	AuthenticatedSTS: {
		30, "authenticated-sts", "MTA-STS enforce: MX name in policy and PKIX certificate for it",
		"active path attack, MX redirect (after first policy fetch)", "first contact (TOFU), mis-issuing CA, compromise of the policy host",
		"Encrypted; {mx} checked against {domain}'s published policy (MTA-STS).",
	},
	AuthenticatedPKIX: {
		40, "authenticated-pkix", "PKIX certificate for a name fixed in our configuration (secure) or proved by signed DNS",
		"active path attack, DNS redirect", "mis-issuing CA",
		"Encrypted; certificate checked for {name}, which is set in the configuration or in signed DNS.",
	},
	AuthenticatedDANETA: {
		50, "authenticated-dane-ta", "secure TLSA usage 2, chain and names verified", "as above, without public CAs",
		"DNSSEC parent/registrar/operator compromise; mistakes of that private CA",
		"Encrypted; {mx}'s certificate authority checked against signed DNS (DANE).",
	},
	AuthenticatedDANEEE: {
		60, "authenticated-dane-ee", "secure TLSA usage 3 matched the presented key/certificate", "as above",
		"DNSSEC parent/registrar/operator compromise", "Encrypted; {mx}'s key checked against signed DNS (DANE).",
	},
	AuthenticatedBound: {
		65, "authenticated-bound", "user session whose SASL exchange was bound to this TLS channel (SCRAM-PLUS)",
		"any TLS interception between the user's program and us, even with a mis-issued certificate", "stolen password, malware at an end",
		"Encrypted; your program and this server proved to each other that nobody sits between.",
	},
	AuthenticatedPinned: {
		70, "authenticated-pinned", "fingerprint (SPKI or certificate) in our configuration matched", "as above incl. DNS", "nobody updates the pin",
		"Encrypted; key matches the one noted by your administrator.",
	},
	LocalState: {
		100, "local", "same process or Unix socket; never a TCP connection: one over loopback is classified by its TLS like any other",
		"network attackers", "local administrators", "Never left this machine.",
	},
}

// States returns the table of states, lowest rank first.
func States() []StateRow { return states[:] }

// ParseState finds a state by its token.
func ParseState(token string) (TransportState, bool) {
	for i, r := range states {
		if r.Token == token {
			return TransportState(i), true
		}
	}
	return Unknown, false
}

// Row returns the state's row of the table.
func (s TransportState) Row() StateRow {
	if int(s) >= len(states) {
		s = Unknown
	}
	return states[s]
}

func (s TransportState) String() string { return s.Row().Token }

// MarshalText writes the token.
func (s TransportState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a token.
func (s *TransportState) UnmarshalText(text []byte) error {
	p, ok := ParseState(string(text))
	if !ok {
		return Errorf(Syntax, "%q is not a transport state", text)
	}
	*s = p
	return nil
}

// TLSMode says how TLS began on a connection (`tls.mode`).
type TLSMode string

// The ways TLS begins.
const (
	NoTLS       TLSMode = "none"
	StartTLS    TLSMode = "starttls"
	ImplicitTLS TLSMode = "implicit"
)

// Transport is the state of one hop with its floor (the least state that would have been
// accepted) and the companion fields of the specification, section 1.2. Empty text is "-".
type Transport struct {
	State       TransportState `json:"tls.state"`
	Floor       TransportState `json:"tls.floor"`
	FloorSource string         `json:"tls.floor_source"`
	Mode        TLSMode        `json:"tls.mode"`
	Version     string         `json:"tls.ver,omitempty"`
	Cipher      string         `json:"tls.cipher,omitempty"`
	Group       string         `json:"tls.group,omitempty"`
	Resumed     bool           `json:"tls.resumed,omitempty"`
	SNI         string         `json:"tls.sni,omitempty"`
	ALPN        string         `json:"tls.alpn,omitempty"`
	SPKI        string         `json:"tls.spki,omitempty"`
	Cert        string         `json:"tls.cert,omitempty"`
	Name        string         `json:"tls.name,omitempty"`
	DNSSEC      string         `json:"tls.dnssec,omitempty"`
	Fail        string         `json:"tls.fail,omitempty"`
	Peer        string         `json:"peer,omitempty"`
	// Scope is "private" for a clear hop within networks that are all ours: still clear, for a private network
	// is no encryption (TS-1.6).
	Scope string `json:"scope,omitempty"`
}

// Attrs returns the fields as log keys, in the order of the specification; unset ones are left out.
func (t *Transport) Attrs() []slog.Attr {
	a := []slog.Attr{slog.String("tls.state", t.State.String()), slog.String("tls.floor", t.Floor.String())}
	add := func(key, value string) {
		if value != "" {
			a = append(a, slog.String(key, value))
		}
	}
	add("tls.floor_source", t.FloorSource)
	add("tls.mode", string(t.Mode))
	add("tls.ver", t.Version)
	add("tls.cipher", t.Cipher)
	add("tls.group", t.Group)
	if t.Mode != NoTLS && t.Mode != "" {
		add("tls.resumed", map[bool]string{true: "yes", false: "no"}[t.Resumed])
	}
	add("tls.sni", t.SNI)
	add("tls.alpn", t.ALPN)
	add("tls.spki", t.SPKI)
	add("tls.cert", t.Cert)
	add("tls.name", t.Name)
	add("tls.dnssec", t.DNSSEC)
	add("tls.fail", t.Fail)
	add("peer", t.Peer)
	add("scope", t.Scope)
	return a
}

// Observe fills in what a completed handshake showed: version, suite, group, SNI and ALPN. It does
// not touch State, Floor or Mode.
func (t *Transport) Observe(cs tls.ConnectionState) {
	t.Version = strings.ReplaceAll(tls.VersionName(cs.Version), " ", "")
	t.Cipher = tls.CipherSuiteName(cs.CipherSuite)
	t.Group = groupName(cs.CurveID)
	t.Resumed = cs.DidResume
	t.SNI = cs.ServerName
	t.ALPN = cs.NegotiatedProtocol
}

// groupName returns the IANA name of a TLS supported group.
func groupName(id tls.CurveID) string {
	switch id {
	case 0:
		return ""
	case tls.X25519:
		return "x25519"
	case tls.CurveP256:
		return "secp256r1"
	case tls.CurveP384:
		return "secp384r1"
	case tls.CurveP521:
		return "secp521r1"
	case tls.X25519MLKEM768:
		return "X25519MLKEM768"
	case tls.SecP256r1MLKEM768:
		return "SecP256r1MLKEM768"
	}
	return id.String()
}

// Encrypted is proof that the connection is encrypted, or excepted by a named insecure flag. Whoever
// verifies a password asks for one; only EncryptedBy, EncryptedByException and
// EncryptedAtProxy make a valid one.
type Encrypted struct{ by string }

// EncryptedBy makes the proof from a completed handshake.
//
// Errors: NeedTLS when the handshake is not complete.
func EncryptedBy(cs tls.ConnectionState) (Encrypted, error) {
	if !cs.HandshakeComplete || cs.Version < tls.VersionTLS12 {
		return Encrypted{}, Errorf(NeedTLS, "encryption required")
	}
	return Encrypted{"tls"}, nil
}

// EncryptedByException makes the proof from an insecure flag (specification, section 2.3). Only
// server/listen may call it; internal/deps_test.go checks that.
func EncryptedByException(flag string) Encrypted { return Encrypted{"insecure:" + flag} }

// EncryptedAtProxy makes the proof for a connection whose TLS ended at a proxy that the operator trusts to say so. Only
// server/listen may call it; internal/deps_test.go checks that.
func EncryptedAtProxy(proxy netip.Addr) Encrypted { return Encrypted{"proxy:" + proxy.String()} }

// Valid reports whether e was made by one of the constructors. Verifiers refuse an invalid one.
func (e Encrypted) Valid() bool { return e.by != "" }

// String says what the proof rests on: "tls", "insecure:<flag id>" or "proxy:<address>".
func (e Encrypted) String() string {
	if e.by == "" {
		return "none"
	}
	return e.by
}

var _ fmt.Stringer = Encrypted{}
