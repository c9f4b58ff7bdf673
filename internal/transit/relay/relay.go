// Package relay is the outbound MTA: it chooses a mail exchange, speaks TLS where it is offered, and
// hands messages over, with one result for each recipient. What a failure means is decided in
// outcome.go and nowhere else; when to try again is the queue's matter.
//
// It relays as a plain MTA does: the least state it accepts is clear, and what TLS proved is recorded.
// 8-bit content is sent as it is to a server without 8BITMIME: converting would break signatures,
// and such servers hardly exist.
package relay

import (
	"cmp"
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
	"candor/internal/store/kv"
	"candor/internal/transit/queue"
	"candor/internal/trust/dns"
)

// Blobs opens message bodies; a kv.DB does.
type Blobs interface {
	OpenBlob(ctx context.Context, id kv.BlobID) (kv.Blob, error)
}

// Options configures a Relay.
type Options struct {
	Hostname mail.Domain // our name in EHLO; an exchange of this name is ourselves
	Resolver dns.Resolver
	Blobs    Blobs
	Roots    *x509.CertPool // nil: the system's
	// Smarthost, as host:port, gets all mail; no MX is looked up.
	Smarthost string
	// PrivateTargets are networks among loopback and private ranges that may be delivered to. A
	// smarthost may be anywhere.
	PrivateTargets []netip.Prefix
	Private        []netip.Prefix // networks that are all ours (specification, TS-1.6)
	Port           uint16         // of exchanges; 0: 25
	Connect        time.Duration  // for one address; 0: 30 s
	// A server's certificates may have so many octets, and be so many; 0: 100 KiB, 10.
	CertificateOctets, Chain int
	Timeouts                 smtp.Timeouts
	Now                      func() time.Time // nil: time.Now
}

// Relay is a queue.Transport to other hosts. Its methods may be called concurrently.
type Relay struct {
	o         Options
	smarthost *host // nil: none
	dialer    net.Dialer
	counts    *counters
}

// New makes a Relay.
//
// Errors: Syntax, for a smarthost that is not host:port.
func New(o Options) (*Relay, error) {
	if o.Port == 0 {
		o.Port = 25
	}
	if o.Connect <= 0 {
		o.Connect = 30 * time.Second
	}
	o.CertificateOctets = cmp.Or(o.CertificateOctets, 100<<10)
	o.Chain = cmp.Or(o.Chain, 10)
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Relay{o: o, counts: new(counters)}
	if o.Smarthost != "" {
		h, err := parseSmarthost(o.Smarthost)
		if err != nil {
			return nil, err
		}
		r.smarthost = &h
	}
	return r, nil
}

// Renew makes a Relay with other options, which counts on where r is.
//
// Errors: as New.
func (r *Relay) Renew(o Options) (*Relay, error) {
	next, err := New(o)
	if err != nil {
		return nil, err
	}
	next.counts = r.counts
	return next, nil
}

// maxSessions bounds the connections of one attempt, whatever a domain's DNS says.
const maxSessions = 12

// Deliver implements queue.Transport. The recipients are of one domain.
func (r *Relay) Deliver(ctx context.Context, m *queue.Message, to []mail.Recipient) []queue.Result {
	a := &attempt{relay: r, m: m, open: to, results: make(map[mail.Recipient]queue.Result, len(to)), clear: r.mayFallBack(m, to)}
	hosts, err := r.hosts(ctx, to[0].Address.Domain)
	if err != nil {
		a.last = failure{err: lookupError(err), fail: lookupFail(err), unreachable: true}
		return a.finish(to)
	}
	for _, h := range hosts {
		if len(a.open) == 0 || a.sessions >= maxSessions || ctx.Err() != nil {
			break
		}
		a.tryHost(ctx, h)
	}
	return a.finish(to)
}

// attempt is one call of Deliver.
type attempt struct {
	relay    *Relay
	m        *queue.Message
	open     []mail.Recipient // without a final result yet
	results  map[mail.Recipient]queue.Result
	last     failure // why the last host or address did not serve
	sessions int
	talked   bool // some host answered to the transaction
	clear    bool // TLS failed at an earlier attempt; clear is the way out if it fails again
}

// failure is why a host did not serve.
type failure struct {
	err         *mail.Error
	fail        string // for tls.fail
	mta         string
	reply       string
	transport   mail.Transport
	unreachable bool // another message would fare no better
}

// tryHost tries the addresses of a host until one has answered for every recipient.
func (a *attempt) tryHost(ctx context.Context, h host) {
	addrs, err := a.relay.addresses(ctx, h)
	if err != nil {
		a.note(failure{err: lookupError(err), fail: lookupFail(err), mta: string(h.name), unreachable: true})
		return
	}
	for _, addr := range addrs {
		if len(a.open) == 0 || a.sessions >= maxSessions || ctx.Err() != nil {
			return
		}
		if a.tryAddress(ctx, h, addr) {
			return
		}
	}
}

// note keeps why a host did not serve. While there is hope for one of them, the final reason of another
// is none for the message.
func (a *attempt) note(f failure) {
	if a.last.err != nil && a.last.err.Status.Temporary() && !f.err.Status.Temporary() {
		return
	}
	a.last = f
}

// finish makes one result for each recipient: its own, or the reason why no host served.
func (a *attempt) finish(to []mail.Recipient) []queue.Result {
	results := make([]queue.Result, len(to))
	for i, t := range to {
		r, ok := a.results[t]
		if !ok {
			r = a.unserved(t)
		}
		if r.Err == nil {
			a.relay.counts.delivered.Add(1)
		}
		results[i] = r
	}
	return results
}

func (a *attempt) unserved(to mail.Recipient) queue.Result {
	f := a.last
	if f.err == nil {
		f.err = mail.Errorf(mail.Unavailable, "no mail exchange could be tried").With(4, 4, 1)
	}
	t := f.transport
	if t.FloorSource == "" {
		t = a.relay.transport(mail.Unknown)
	}
	if f.fail != "" {
		t.Fail = f.fail
	}
	return queue.Result{
		Recipient: to, Err: f.err, RemoteMTA: f.mta, Reply: f.reply, Transport: t,
		At: a.relay.o.Now(), Unreachable: f.unreachable && !a.talked,
	}
}

// transport is a Transport of the given state with the floor of a plain relay.
func (r *Relay) transport(s mail.TransportState) mail.Transport {
	t := mail.Transport{State: s, Floor: mail.Clear, FloorSource: "public-mx", Mode: mail.NoTLS}
	if r.smarthost != nil {
		t.FloorSource = "admin:smarthost"
	}
	return t
}

// settle gives a recipient its result. A temporary one stays open for the next host.
func (a *attempt) settle(to mail.Recipient, res queue.Result) {
	a.results[to] = res
	if res.Err != nil && mail.AsError(res.Err).Status.Temporary() {
		return
	}
	for i, o := range a.open {
		if o == to {
			a.open = append(a.open[:i:i], a.open[i+1:]...)
			return
		}
	}
}

type counters struct {
	connections, tls, clear, delivered, failedConnections, failedTLS atomic.Int64
}

// Stats are a Relay's numbers since its start.
type Stats struct {
	Connections       int64 // opened
	FailedConnections int64
	TLS               int64 // sessions that spoke TLS
	Clear             int64 // sessions in clear
	FailedTLS         int64 // STARTTLS refused, or a handshake that failed
	Delivered         int64 // recipients
}

// Stats returns the numbers.
func (r *Relay) Stats() Stats {
	c := r.counts
	return Stats{
		Connections: c.connections.Load(), FailedConnections: c.failedConnections.Load(), TLS: c.tls.Load(),
		Clear: c.clear.Load(), FailedTLS: c.failedTLS.Load(), Delivered: c.delivered.Load(),
	}
}

var _ queue.Transport = (*Relay)(nil)
