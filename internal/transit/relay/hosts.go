package relay

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"candor/internal/mail"
	"candor/internal/trust/dns"
)

// host is a next hop: a name to look up, or an address of a literal.
type host struct {
	name mail.Domain
	addr netip.Addr // of an address literal; else invalid
	port uint16
	// fixed: the name comes from our configuration, not from the DNS.
	fixed bool
	// implicit: it is the domain itself, for want of an MX.
	implicit bool
}

// maxHosts bounds how many exchanges of a domain are considered.
const maxHosts = 10

func parseSmarthost(s string) (host, error) {
	name, port, err := net.SplitHostPort(s)
	if err != nil {
		return host{}, mail.Errorf(mail.Syntax, "smarthost %q is not host:port", s)
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil || p == 0 {
		return host{}, mail.Errorf(mail.Syntax, "smarthost %q has no valid port", s)
	}
	h := host{port: uint16(p), fixed: true}
	if addr, err := netip.ParseAddr(name); err == nil {
		h.addr = addr
		h.name = mail.Domain(addr.String())
		return h, nil
	}
	h.name, err = mail.ParseDomain(name)
	return h, err
}

// hosts returns the next hops for a domain in the order in which they are to be tried (RFC 5321,
// section 5.1).
//
// Errors: dns.Failure; NoAddress for a domain that does not exist or takes no mail; Loop.
func (r *Relay) hosts(ctx context.Context, domain mail.Domain) ([]host, error) {
	if r.smarthost != nil {
		return []host{*r.smarthost}, nil
	}
	if addr, ok := domain.Literal(); ok {
		return []host{{name: domain, addr: addr, port: r.o.Port}}, nil
	}
	mx, err := r.o.Resolver.MX(ctx, domain)
	switch {
	case err != nil:
		return nil, err
	case mx.NoName:
		return nil, mail.Errorf(mail.NoAddress, "the domain %s does not exist", domain).With(5, 1, 2)
	case len(mx.Records) == 0:
		return r.implicit(domain)
	case nullMX(mx.Records):
		return nil, mail.Errorf(mail.NoAddress, "the domain %s accepts no mail", domain).With(5, 1, 10)
	}
	list := preferred(mx.Records)
	if cut := slices.IndexFunc(list, func(m dns.MX) bool { return m.Host == r.o.Hostname }); cut >= 0 {
		// Those that are not preferred to us would only send the message back (RFC 5321, section 5.1).
		list = slices.DeleteFunc(list, func(m dns.MX) bool { return m.Preference >= list[cut].Preference })
		if len(list) == 0 {
			return nil, loop(domain)
		}
	}
	hosts := make([]host, 0, len(list))
	for _, m := range list[:min(len(list), maxHosts)] {
		hosts = append(hosts, host{name: m.Host, port: r.o.Port})
	}
	return hosts, nil
}

func (r *Relay) implicit(domain mail.Domain) ([]host, error) {
	if domain == r.o.Hostname {
		return nil, loop(domain)
	}
	return []host{{name: domain, port: r.o.Port, implicit: true}}, nil
}

func loop(domain mail.Domain) error {
	return mail.Errorf(mail.Loop, "mail for %s leads back to this server, which does not accept it", domain)
}

// nullMX reports whether the records are those of a domain that takes no mail. A null MX beside
// others is a mistake and disregarded (RFC 7505, section 3).
func nullMX(records []dns.MX) bool {
	return !slices.ContainsFunc(records, func(m dns.MX) bool { return m.Host != "" })
}

// preferred sorts exchanges, those of equal preference at random, and drops null ones.
func preferred(records []dns.MX) []dns.MX {
	list := slices.DeleteFunc(slices.Clone(records), func(m dns.MX) bool { return m.Host == "" })
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	slices.SortStableFunc(list, func(a, b dns.MX) int { return int(a.Preference) - int(b.Preference) })
	return list
}

// maxPerFamily is how many addresses of each family are tried (specification, section 4.4).
const maxPerFamily = 4

// addresses returns where to connect for a host: families alternating, IPv6 first.
//
// Errors: dns.Failure; Refused when the host has none that may be delivered to; NoAddress when it
// has none; Loop.
func (r *Relay) addresses(ctx context.Context, h host) ([]netip.AddrPort, error) {
	found := []netip.Addr{h.addr}
	if !h.addr.IsValid() {
		a, err := r.o.Resolver.Addresses(ctx, h.name)
		if err != nil {
			return nil, err
		}
		found = a.Records
	}
	if len(found) == 0 && h.implicit {
		return nil, mail.Errorf(mail.NoAddress, "the domain %s has no mail exchange and no address", h.name).With(5, 4, 4)
	}
	if len(found) == 0 {
		return nil, mail.Errorf(mail.Unavailable, "the mail exchange %s has no address", h.name).With(4, 4, 4)
	}
	allowed := slices.DeleteFunc(slices.Clone(found), func(a netip.Addr) bool { return !h.fixed && !r.permitted(a) })
	if len(allowed) == 0 {
		return nil, mail.Errorf(mail.Refused, "the mail exchange %s has only private addresses", h.name).With(5, 4, 4)
	}
	if r.o.Port == 25 && !h.fixed && slices.ContainsFunc(allowed, r.ours) {
		return nil, loop(h.name)
	}
	return interleave(allowed, h.port), nil
}

// interleave takes addresses of both families in turn.
func interleave(addrs []netip.Addr, port uint16) []netip.AddrPort {
	var four, six []netip.AddrPort
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			four = append(four, netip.AddrPortFrom(a, port))
		} else {
			six = append(six, netip.AddrPortFrom(a, port))
		}
	}
	var out []netip.AddrPort
	for i := range maxPerFamily {
		if i < len(six) {
			out = append(out, six[i])
		}
		if i < len(four) {
			out = append(out, four[i])
		}
	}
	return out
}

// reserved are networks beside those that netip knows where no mail exchange of the public can be:
// "this" network, shared space behind carriers, benchmarks, reserved, and the IPv4 world as seen
// through NAT64, whose inner address would escape the check.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// permitted reports whether mail may be sent to an address: hostile domains point their exchanges at
// our own network (specification, X-65).
func (r *Relay) permitted(a netip.Addr) bool { return MayReach(a, r.o.PrivateTargets) }

// MayReach reports whether an address that a stranger named may be connected to: it is public, or in one of the
// networks besides.
func MayReach(a netip.Addr, besides []netip.Prefix) bool {
	a = a.Unmap()
	return in(a, besides) || a.IsGlobalUnicast() && !a.IsPrivate() && !in(a, reserved)
}

// ours reports whether an address is one of this machine's.
func (r *Relay) ours(a netip.Addr) bool {
	a = a.Unmap()
	if in(a, r.o.PrivateTargets) {
		return false
	}
	local, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(local, func(l net.Addr) bool {
		n, ok := l.(*net.IPNet)
		return ok && n.IP.Equal(a.AsSlice())
	})
}

func in(a netip.Addr, networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}
