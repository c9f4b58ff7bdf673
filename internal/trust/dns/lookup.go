package dns

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"candor/internal/mail"
)

// maxChain is how many CNAMEs are followed (specification, section 4.4).
const maxChain = 8

// exchanger answers one question. Its error, if any, is a timeout or why nobody could be asked.
type exchanger interface {
	exchange(ctx context.Context, name string, qtype uint16) (*dns.Msg, error)
	// believed is the state of an answer.
	believed(*dns.Msg) State
}

// resolution is what following a name led to.
type resolution struct {
	records   []dns.RR
	noName    bool
	state     State
	canonical mail.Domain
}

// resolve looks a name up and follows its CNAMEs. Servers that recurse send the whole chain at once;
// where it breaks off, the next name is asked for.
func resolve(ctx context.Context, x exchanger, name mail.Domain, qtype uint16) (resolution, error) {
	fail := func(reason Fail, err error) (resolution, error) {
		return resolution{}, &Failure{name, dns.TypeToString[qtype], reason, err}
	}
	owner := dns.CanonicalName(string(name))
	state := Secure
	for links := 0; ; {
		m, err := x.exchange(ctx, owner, qtype)
		if err != nil {
			return fail(reasonOf(err), err)
		}
		if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			return fail(FailServer, errors.New(dns.RcodeToString[m.Rcode]))
		}
		state = min(state, x.believed(m))
		if state < Insecure {
			return fail(Fail("dns-"+state.String()), nil)
		}
		end, n, ok := follow(m.Answer, owner, maxChain-links)
		if !ok {
			return fail(FailServer, errors.New("too many CNAMEs"))
		}
		records := ofType(m.Answer, end, qtype)
		if len(records) > 0 || n == 0 || m.Rcode == dns.RcodeNameError {
			canonical, err := mail.ParseDomain(end)
			if err != nil {
				return fail(FailServer, err)
			}
			return resolution{records, m.Rcode == dns.RcodeNameError, state, canonical}, nil
		}
		owner, links = end, links+n
	}
}

// follow walks from owner along the CNAMEs among rrs: at most limit of them.
func follow(rrs []dns.RR, owner string, limit int) (end string, n int, ok bool) {
	for {
		next := ""
		for _, rr := range rrs {
			if c, is := rr.(*dns.CNAME); is && dns.CanonicalName(c.Hdr.Name) == owner {
				next = dns.CanonicalName(c.Target)
				break
			}
		}
		if next == "" {
			return owner, n, true
		}
		if n++; n > limit {
			return "", n, false
		}
		owner = next
	}
}

func ofType(rrs []dns.RR, owner string, qtype uint16) []dns.RR {
	var out []dns.RR
	for _, rr := range rrs {
		if rr.Header().Rrtype == qtype && dns.CanonicalName(rr.Header().Name) == owner {
			out = append(out, rr)
		}
	}
	return out
}

// reasonOf tells a timeout from what else can go wrong on the way to a server.
func reasonOf(err error) Fail {
	if f := (*Failure)(nil); errors.As(err, &f) {
		return f.Reason
	}
	var t interface{ Timeout() bool }
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || (errors.As(err, &t) && t.Timeout()) {
		return FailTimeout
	}
	return FailServer
}

// answer turns the records of a resolution into an Answer, leaving out those that convert refuses.
func answer[T any](r resolution, convert func(dns.RR) (T, bool)) Answer[T] {
	a := Answer[T]{NoName: r.noName, State: r.state, Canonical: r.canonical}
	for _, rr := range r.records {
		if v, ok := convert(rr); ok {
			a.Records = append(a.Records, v)
		}
	}
	return a
}

func lookupMX(ctx context.Context, x exchanger, name mail.Domain) (Answer[MX], error) {
	r, err := resolve(ctx, x, name, dns.TypeMX)
	if err != nil {
		return Answer[MX]{}, err
	}
	a := answer(r, func(rr dns.RR) (MX, bool) {
		mx := rr.(*dns.MX)
		if mx.Mx == "." {
			return MX{mx.Preference, ""}, true
		}
		host, err := mail.ParseDomain(mx.Mx)
		return MX{mx.Preference, host}, err == nil
	})
	if len(a.Records) == 0 && len(r.records) > 0 {
		// Exchanges that are no host names are not the same as none: an address of the domain itself
		// must not be tried in their place.
		return a, &Failure{name, "MX", FailServer, errors.New("no exchange has a valid name")}
	}
	return a, nil
}

func lookupTXT(ctx context.Context, x exchanger, name mail.Domain) (Answer[string], error) {
	r, err := resolve(ctx, x, name, dns.TypeTXT)
	if err != nil {
		return Answer[string]{}, err
	}
	return answer(r, func(rr dns.RR) (string, bool) { return strings.Join(rr.(*dns.TXT).Txt, ""), true }), nil
}

func lookupPTR(ctx context.Context, x exchanger, addr netip.Addr) (Answer[mail.Domain], error) {
	reverse, err := dns.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return Answer[mail.Domain]{}, &Failure{mail.Domain(addr.String()), "PTR", FailServer, err}
	}
	r, err := resolve(ctx, x, mail.Domain(strings.TrimSuffix(reverse, ".")), dns.TypePTR)
	if err != nil {
		return Answer[mail.Domain]{}, err
	}
	return answer(r, func(rr dns.RR) (mail.Domain, bool) {
		d, err := mail.ParseDomain(rr.(*dns.PTR).Ptr)
		return d, err == nil
	}), nil
}

func lookupAddresses(ctx context.Context, x exchanger, name mail.Domain) (Addresses, error) {
	type family struct {
		Answer[netip.Addr]
		err error
	}
	six := make(chan family, 1)
	go func() {
		a, err := lookupFamily(ctx, x, name, dns.TypeAAAA)
		six <- family{a, err}
	}()
	a4, err4 := lookupFamily(ctx, x, name, dns.TypeA)
	f6 := <-six
	switch {
	case err4 == nil && f6.err == nil:
		all := a4
		all.Records = append(all.Records, f6.Records...)
		all.State = min(a4.State, f6.State)
		all.NoName = a4.NoName && f6.NoName
		return Addresses{Answer: all}, nil
	case err4 == nil && len(a4.Records) > 0:
		return Addresses{a4, f6.err}, nil
	case f6.err == nil && len(f6.Records) > 0:
		return Addresses{f6.Answer, err4}, nil
	case err4 != nil:
		return Addresses{}, err4
	}
	return Addresses{}, f6.err
}

func lookupFamily(ctx context.Context, x exchanger, name mail.Domain, qtype uint16) (Answer[netip.Addr], error) {
	r, err := resolve(ctx, x, name, qtype)
	if err != nil {
		return Answer[netip.Addr]{}, err
	}
	return answer(r, func(rr dns.RR) (netip.Addr, bool) {
		ip := []byte(nil)
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A.To4()
		case *dns.AAAA:
			ip = rr.AAAA.To16()
		}
		a, ok := netip.AddrFromSlice(ip)
		return a, ok
	}), nil
}
