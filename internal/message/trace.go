package message

import (
	"net/netip"
	"strings"
	"time"

	"candor/internal/mail"
)

// fold begins a continuation line of a trace field.
const fold = "\r\n        "

// Received is a Received field (RFC 5321, section 4.4; specification, section 1.3). A field that
// is empty or zero is left out.
type Received struct {
	Helo       string     // as the peer said it; shown as [authenticated] if Authenticated (TS-7.4)
	Remote     netip.Addr // of the peer
	RemoteName string     // of the peer, found by a forward-confirmed reverse lookup
	By         mail.Domain

	LMTP          bool
	Extended      bool // EHLO was said; meant by LMTP, UTF8 and Authenticated
	UTF8          bool // SMTPUTF8 was asked for
	Authenticated bool
	Web           bool // submitted by the web pages: there is no protocol to name

	ID        string
	For       mail.Address // only if it is the one recipient: others must not learn of it
	Transport mail.Transport
	Time      time.Time
}

// Append appends the field, with its line end, to dst. What a peer chose (EHLO name, certificate)
// cannot leave its place: odd octets become "?" and long names are cut.
func (r *Received) Append(dst []byte) []byte {
	dst = append(dst, "Received: from "...)
	dst = append(dst, r.from()...)
	dst = append(dst, fold+"by "...)
	dst = append(dst, printable(string(r.By), 255)...)
	if r.Web {
		dst = append(dst, " (web submission over HTTPS)"...)
	} else {
		dst = append(dst, " with "...)
		dst = append(dst, r.protocol()...)
	}
	if r.ID != "" {
		dst = append(dst, " id "...)
		dst = append(dst, printable(r.ID, 64)...)
	}
	if r.For != (mail.Address{}) {
		dst = append(dst, " for <"...)
		dst = append(dst, withoutControls(r.For.String())...)
		dst = append(dst, '>')
	}
	dst = r.appendTLS(dst)
	dst = append(dst, ';')
	dst = append(dst, fold...)
	dst = r.Time.AppendFormat(dst, dateFormat)
	return append(dst, "\r\n"...)
}

// dateFormat is date-time of RFC 5322, section 3.3.
const dateFormat = "Mon, 02 Jan 2006 15:04:05 -0700"

// from returns the from clause's value.
func (r *Received) from() string {
	name := printable(r.Helo, 255)
	switch {
	case r.Authenticated || r.Web:
		name = "[authenticated]"
	case name == "":
		name = "unknown"
	}
	if !r.Remote.IsValid() {
		return name
	}
	info := addressLiteral(r.Remote)
	if r.RemoteName != "" {
		info = printable(r.RemoteName, 255) + " " + info
	}
	return name + " (" + info + ")"
}

func addressLiteral(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}

// protocol returns the with clause's value (RFC 3848, section 3; RFC 6531, section 4.3).
func (r *Received) protocol() string {
	name := "SMTP"
	switch {
	case r.LMTP:
		name = "LMTP"
	case r.UTF8:
	case r.Extended || r.Authenticated:
		name = "ESMTP"
	default:
		return name
	}
	if r.UTF8 {
		name = "UTF8" + name
	}
	if r.encrypted() {
		name += "S"
	}
	if r.Authenticated {
		name += "A"
	}
	return name
}

func (r *Received) encrypted() bool {
	return r.Transport.Mode == mail.StartTLS || r.Transport.Mode == mail.ImplicitTLS
}

// appendTLS appends the registered clause tls (RFC 8314, section 4.3). The version stands in a
// comment, since the clause has no place for it.
func (r *Received) appendTLS(dst []byte) []byte {
	t := &r.Transport
	if r.Web || !r.encrypted() || t.Cipher == "" {
		return dst
	}
	dst = append(dst, fold+"tls "...)
	dst = append(dst, printable(t.Cipher, 64)...)
	if t.Group != "" {
		dst = append(dst, " group "...)
		dst = append(dst, printable(t.Group, 64)...)
	}
	certificate := "none"
	if kind, ok := strings.CutPrefix(t.Peer, "cert-"); ok {
		certificate = printable(kind, 255)
	}
	dst = append(dst, " ("...)
	if t.Version != "" {
		dst = append(dst, printable(t.Version, 16)...)
		dst = append(dst, ", "...)
	}
	dst = append(dst, "client certificate: "...)
	dst = append(dst, certificate...)
	return append(dst, ')')
}

// printable returns at most limit octets of s, with all but letters, digits and the few marks that
// names, address literals and identifiers have replaced by "?". Nothing that is left can end a line,
// a clause or a comment.
func printable(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._:[]+/@*", c) >= 0 {
			continue
		}
		b[i] = '?'
	}
	return string(b)
}

// withoutControls replaces the octets that could end a line.
func withoutControls(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// CandorTransportName is the name of the result field, which is removed from all mail that comes in
// (specification, TS-1.8).
const CandorTransportName = "Candor-Transport"

// RemoveCandorTransport is RemoveField for the result field. It also removes what only a careless program would take
// for that field: with octets in its name that some drop, with the colon on the next line, or behind a bare CR, which some
// take for the end of a line.
func (h Header) RemoveCandorTransport() (Header, int) { return h.remove(looksLikeCandorTransport) }

func looksLikeCandorTransport(f HeaderField) bool {
	for rest := f.Raw; len(rest) > 0; rest = afterBareCR(rest) {
		if beginsLikeCandorTransport(rest) {
			return true
		}
	}
	return false
}

func afterBareCR(b []byte) []byte {
	for i := range len(b) - 1 {
		if b[i] == '\r' && b[i+1] != '\n' {
			return b[i+1:]
		}
	}
	return nil
}

func beginsLikeCandorTransport(raw []byte) bool {
	name := CandorTransportName
	for i, c := range raw {
		switch {
		case c <= ' ' || c >= 0x7f:
		case name == "":
			return c == ':'
		case c|0x20 != name[0]|0x20 || i >= maxFieldName:
			return false
		default:
			name = name[1:]
		}
	}
	return false
}

// maxFieldName is more than the name of a field takes in octets, with what may stand around it.
const maxFieldName = 998

// Hop says how a message came to us.
type Hop string

// The hops.
const (
	InboundHop    Hop = "inbound"
	SubmissionHop Hop = "submission"
	LocalHop      Hop = "local" // made by this server
)

// CandorTransport is the Candor-Transport field, which tells the recipient what was seen of the hop
// that brought the message (specification, section 1.3). It is only for local mailboxes.
type CandorTransport struct {
	By         mail.Domain
	ID         string
	Hop        Hop
	Transport  mail.Transport
	RequireTLS bool
}

// Append appends the field, with its line end, to dst. A companion field of Transport that is empty
// is left out.
func (c *CandorTransport) Append(dst []byte) []byte {
	t := &c.Transport
	dst = append(dst, CandorTransportName+": v=1"...)
	dst = appendTag(dst, "; by=", string(c.By))
	dst = appendTag(dst, "; id=", c.ID)
	dst = appendTag(dst, "; hop=", string(c.Hop))
	dst = appendTag(dst, "; state=", t.State.String())
	dst = appendTag(dst, ";"+fold+"floor=", t.Floor.String())
	dst = appendTag(dst, "; floor-source=", t.FloorSource)
	dst = appendTag(dst, "; mode=", string(t.Mode))
	dst = appendTag(dst, "; scope=", t.Scope)
	dst = appendTag(dst, "; ver=", t.Version)
	dst = appendTag(dst, "; cipher=", t.Cipher)
	next := ";" + fold
	if t.Group != "" {
		dst = appendTag(dst, next+"group=", t.Group)
		next = "; "
	}
	peer := t.Peer
	if peer == "" {
		peer = "none"
	}
	dst = appendTag(dst, next+"peer=", peer)
	requireTLS := "no"
	if c.RequireTLS {
		requireTLS = "yes"
	}
	dst = appendTag(dst, "; requiretls=", requireTLS)
	return append(dst, "; earlier-hops=unknown\r\n"...)
}

func appendTag(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, name...)
	return append(dst, printable(value, 255)...)
}

// AppendReturnPath appends a Return-Path field, with its line end, to dst (RFC 5321, section 4.4).
func AppendReturnPath(dst []byte, p mail.ReversePath) []byte {
	dst = append(dst, "Return-Path: <"...)
	dst = append(dst, withoutControls(p.String())...)
	return append(dst, ">\r\n"...)
}
