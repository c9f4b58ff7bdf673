package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"candor/internal/mail"
)

// Options configures a Client.
type Options struct {
	// Upstreams are recursive resolvers as host:port, asked in turn. Empty: those of the system, with
	// the names of its hosts file.
	Upstreams []string
	// Timeout is how long one question to one resolver may take; 0: 5 s. A question is asked at most
	// twice of each.
	Timeout time.Duration
	Now     func() time.Time // nil: time.Now
}

// Client is a Resolver that asks recursive resolvers over UDP, and TCP where an answer is too long.
// It remembers answers for as long as they live, at most a day.
type Client struct {
	servers   atomic.Pointer[servers]
	timeout   time.Duration
	cache     cache
	questions atomic.Int64
	failures  atomic.Int64
}

// Where a Unix system says whom to ask and what it knows itself.
const (
	resolvConf = "/etc/resolv.conf"
	hostsFile  = "/etc/hosts"
)

// servers are whom to ask.
type servers struct {
	upstreams []string
	hosts     hosts
}

// New makes a Client. With no upstreams it reads the system's configuration.
func New(o Options) (*Client, error) {
	s, err := findServers(o.Upstreams)
	if err != nil {
		return nil, err
	}
	c := &Client{timeout: o.Timeout}
	c.servers.Store(s)
	c.cache.now = o.Now
	if c.cache.now == nil {
		c.cache.now = time.Now
	}
	if c.timeout <= 0 {
		c.timeout = 5 * time.Second
	}
	return c, nil
}

// Prepare finds the servers for other upstreams, as New does; use makes the Client ask them from then on.
func (c *Client) Prepare(upstreams []string) (use func(), err error) {
	s, err := findServers(upstreams)
	if err != nil {
		return nil, err
	}
	return func() {
		if !slices.Equal(s.upstreams, c.servers.Swap(s).upstreams) {
			c.cache.clear()
		}
	}, nil
}

func findServers(upstreams []string) (*servers, error) {
	for _, u := range upstreams {
		if _, err := netip.ParseAddrPort(u); err != nil {
			return nil, fmt.Errorf("DNS upstream %q is not an address with a port: %w", u, err)
		}
	}
	if len(upstreams) > 0 {
		return &servers{upstreams: upstreams}, nil
	}
	conf, err := dns.ClientConfigFromFile(resolvConf)
	if err != nil || len(conf.Servers) == 0 {
		// The resolver(5) default.
		conf = &dns.ClientConfig{Servers: []string{"127.0.0.1"}, Port: "53"}
	}
	s := &servers{hosts: readHosts(hostsFile)}
	for _, address := range conf.Servers {
		s.upstreams = append(s.upstreams, net.JoinHostPort(address, conf.Port))
	}
	return s, nil
}

// MX implements Resolver.
func (c *Client) MX(ctx context.Context, name mail.Domain) (Answer[MX], error) {
	return lookupMX(ctx, c, name)
}

// TXT implements Resolver.
func (c *Client) TXT(ctx context.Context, name mail.Domain) (Answer[string], error) {
	return lookupTXT(ctx, c, name)
}

// Addresses implements Resolver. The system's hosts file goes before the DNS.
func (c *Client) Addresses(ctx context.Context, name mail.Domain) (Addresses, error) {
	if known := c.servers.Load().hosts.addresses[name]; len(known) > 0 {
		return Addresses{Answer: Answer[netip.Addr]{Records: known, State: Insecure, Canonical: name}}, nil
	}
	return lookupAddresses(ctx, c, name)
}

// PTR implements Resolver.
func (c *Client) PTR(ctx context.Context, addr netip.Addr) (Answer[mail.Domain], error) {
	if name, ok := c.servers.Load().hosts.names[addr]; ok {
		return Answer[mail.Domain]{Records: []mail.Domain{name}, State: Insecure, Canonical: name}, nil
	}
	return lookupPTR(ctx, c, addr)
}

// believed: nothing is validated here, and a resolver's own AD flag proves nothing over an open link.
func (c *Client) believed(*dns.Msg) State { return Insecure }

// rounds is how often each upstream is asked.
const rounds = 2

func (c *Client) exchange(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	if m := c.cache.get(name, qtype); m != nil {
		return m, nil
	}
	var last error
	for range rounds {
		for _, server := range c.servers.Load().upstreams {
			m, err := c.ask(ctx, server, name, qtype)
			if err == nil {
				c.cache.put(name, qtype, m)
				return m, nil
			}
			last = err
			if ctx.Err() != nil {
				c.failures.Add(1)
				return nil, ctx.Err()
			}
		}
	}
	c.failures.Add(1)
	return nil, last
}

// udpSize is the payload that gets through without fragments (RFC 9715).
const udpSize = 1232

// ask puts one question to one server. SERVFAIL and its like are errors, so that the next is asked.
func (c *Client) ask(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	c.questions.Add(1)
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(udpSize, false)
	m, err := c.over(ctx, "udp", server, q)
	if err == nil && m.Truncated {
		m, err = c.over(ctx, "tcp", server, q)
	}
	if err != nil {
		return nil, err
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, errors.New(server + " says " + dns.RcodeToString[m.Rcode])
	}
	return m, nil
}

func (c *Client) over(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	client := &dns.Client{Net: network, Timeout: c.timeout, UDPSize: udpSize}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// The library waits out its own time when a context is cancelled.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	m, _, err := client.ExchangeWithConnContext(ctx, q, conn)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	if !m.Response || len(m.Question) != 1 || m.Question[0].Qtype != q.Question[0].Qtype ||
		!strings.EqualFold(m.Question[0].Name, q.Question[0].Name) {
		return nil, errors.New(server + " answers another question")
	}
	return m, nil
}

// Stats are a Client's numbers since its start.
type Stats struct {
	Questions int64 // sent
	Failures  int64 // lookups that nobody answered
	Hits      int64 // answered from memory
	Cached    int   // answers in memory
}

// Stats returns the numbers.
func (c *Client) Stats() Stats {
	s := Stats{Questions: c.questions.Load(), Failures: c.failures.Load()}
	s.Hits, s.Cached = c.cache.stats()
	return s
}

var _ Resolver = (*Client)(nil)
