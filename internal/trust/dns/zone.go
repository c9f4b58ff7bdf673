package dns

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"candor/internal/mail"
)

// Zone is a Resolver that knows all there is from records in master-file form, for tests. A name
// without records, but with names below it, exists.
type Zone struct {
	records map[string][]dns.RR // by owner
	fails   map[string]Fail
	state   State
}

// ParseZone reads records, one a line, such as `example.org. MX 10 mx.example.org.`. A line
// `example.net. FAIL dns-timeout` makes every lookup of that name fail. All answers have state s.
func ParseZone(text string, s State) (*Zone, error) {
	z := &Zone{map[string][]dns.RR{}, map[string]Fail{}, s}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if f := strings.Fields(line); len(f) == 3 && f[1] == "FAIL" {
			z.fails[dns.CanonicalName(f[0])] = Fail(f[2])
			continue
		}
		rr, err := dns.NewRR(line)
		if err != nil {
			return nil, fmt.Errorf("zone line %q: %w", line, err)
		}
		if rr != nil {
			owner := dns.CanonicalName(rr.Header().Name)
			z.records[owner] = append(z.records[owner], rr)
		}
	}
	return z, nil
}

// exchange implements exchanger. It follows no CNAME, so that the caller's following is tried.
func (z *Zone) exchange(_ context.Context, name string, qtype uint16) (*dns.Msg, error) {
	if reason, ok := z.fails[name]; ok {
		return nil, &Failure{mail.Domain(name), dns.TypeToString[qtype], reason, nil}
	}
	m := new(dns.Msg)
	for _, rr := range z.records[name] {
		if t := rr.Header().Rrtype; t == qtype || t == dns.TypeCNAME {
			m.Answer = append(m.Answer, rr)
		}
	}
	if !z.exists(name) {
		m.Rcode = dns.RcodeNameError
	}
	return m, nil
}

func (z *Zone) exists(name string) bool {
	for owner := range z.records {
		if dns.IsSubDomain(name, owner) {
			return true
		}
	}
	return false
}

func (z *Zone) believed(*dns.Msg) State { return z.state }

// MX implements Resolver.
func (z *Zone) MX(ctx context.Context, name mail.Domain) (Answer[MX], error) {
	return lookupMX(ctx, z, name)
}

// Addresses implements Resolver.
func (z *Zone) Addresses(ctx context.Context, name mail.Domain) (Addresses, error) {
	return lookupAddresses(ctx, z, name)
}

// TXT implements Resolver.
func (z *Zone) TXT(ctx context.Context, name mail.Domain) (Answer[string], error) {
	return lookupTXT(ctx, z, name)
}

// PTR implements Resolver.
func (z *Zone) PTR(ctx context.Context, addr netip.Addr) (Answer[mail.Domain], error) {
	return lookupPTR(ctx, z, addr)
}

var _ Resolver = (*Zone)(nil)
