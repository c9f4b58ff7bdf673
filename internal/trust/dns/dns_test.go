package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"candor/internal/mail"
)

const records = `
example.org. MX 20 b.example.org.
example.org. MX 10 a.example.org.
a.example.org. A 192.0.2.1
a.example.org. AAAA 2001:db8::1
null.example. MX 0 .
alias.example. CNAME example.org.
c1.example. CNAME c2.example.
c2.example. CNAME c1.example.
deep.below.example. A 192.0.2.9
bad.example. FAIL dns-servfail
four.example. A 192.0.2.4
text.example. TXT "v=spf1 " "-all"
1.2.0.192.in-addr.arpa. PTR a.example.org.
`

func TestZone(t *testing.T) {
	z, err := ParseZone(records, Insecure)
	if err != nil {
		t.Fatal(err)
	}
	testResolver(t, z)
}

// testResolver is what every Resolver says of records.
func testResolver(t *testing.T, r Resolver) {
	t.Helper()
	ctx := context.Background()
	mx, err := r.MX(ctx, "example.org")
	if err != nil || len(mx.Records) != 2 || mx.State != Insecure || mx.NoName {
		t.Errorf("MX: %+v, %v", mx, err)
	}
	if mx, err := r.MX(ctx, "alias.example"); err != nil || len(mx.Records) != 2 || mx.Canonical != "example.org" {
		t.Errorf("MX over a CNAME: %+v, %v", mx, err)
	}
	if mx, err := r.MX(ctx, "null.example"); err != nil || len(mx.Records) != 1 || mx.Records[0].Host != "" {
		t.Errorf("null MX: %+v, %v", mx, err)
	}
	if mx, err := r.MX(ctx, "a.example.org"); err != nil || len(mx.Records) != 0 || mx.NoName {
		t.Errorf("no MX: %+v, %v", mx, err)
	}
	if mx, err := r.MX(ctx, "unknown.example"); err != nil || !mx.NoName {
		t.Errorf("no name: %+v, %v", mx, err)
	}
	if mx, err := r.MX(ctx, "below.example"); err != nil || mx.NoName {
		t.Errorf("empty non-terminal: %+v, %v", mx, err)
	}
	var f *Failure
	if _, err := r.MX(ctx, "c1.example"); !errors.As(err, &f) {
		t.Errorf("circle of CNAMEs: %v", err)
	}
	if _, err := r.MX(ctx, "bad.example"); !errors.As(err, &f) || f.Reason != FailServer {
		t.Errorf("SERVFAIL: %v", err)
	}
	if a, err := r.Addresses(ctx, "a.example.org"); err != nil || len(a.Records) != 2 {
		t.Errorf("addresses: %+v, %v", a, err)
	}
	if a, err := r.Addresses(ctx, "four.example"); err != nil || len(a.Records) != 1 || a.Records[0] != netip.MustParseAddr("192.0.2.4") {
		t.Errorf("IPv4 alone: %+v, %v", a, err)
	}
	if txt, err := r.TXT(ctx, "text.example"); err != nil || len(txt.Records) != 1 || txt.Records[0] != "v=spf1 -all" {
		t.Errorf("TXT: %+v, %v", txt, err)
	}
	if p, err := r.PTR(ctx, netip.MustParseAddr("192.0.2.1")); err != nil || len(p.Records) != 1 || p.Records[0] != "a.example.org" {
		t.Errorf("PTR: %+v, %v", p, err)
	}
}

func TestZoneStates(t *testing.T) {
	z, err := ParseZone(records, Bogus)
	if err != nil {
		t.Fatal(err)
	}
	var f *Failure
	if _, err := z.MX(context.Background(), "example.org"); !errors.As(err, &f) || f.Reason != FailBogus {
		t.Errorf("bogus: %v", err)
	}
	if _, err := ParseZone("example.org. MX ten mx.example.org.", Secure); err == nil {
		t.Error("a broken record was taken")
	}
}

// upstream is a recursive resolver that answers from a zone, after a handler for faults.
type upstream struct {
	zone  *Zone
	fault func(w dns.ResponseWriter, q *dns.Msg) bool // true: has dealt with it

	mu        sync.Mutex
	questions int
}

func (u *upstream) start(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: u}, {Listener: l, Handler: u}} {
		done := make(chan struct{})
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go func() { defer close(done); s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { s.Shutdown(); <-done })
	}
	return pc.LocalAddr().String()
}

func (u *upstream) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	u.mu.Lock()
	u.questions++
	u.mu.Unlock()
	if u.fault != nil && u.fault(w, q) {
		return
	}
	m, err := u.zone.exchange(context.Background(), dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype)
	if err != nil {
		m = &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeServerFailure}}
	}
	rcode := m.Rcode
	m.SetReply(q)
	m.Rcode = rcode
	w.WriteMsg(m)
}

func (u *upstream) asked() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.questions
}

func newClient(t *testing.T, timeout time.Duration, upstreams ...string) *Client {
	t.Helper()
	c, err := New(Options{Upstreams: upstreams, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func zone(t *testing.T) *Zone {
	t.Helper()
	z, err := ParseZone(records, Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestClient(t *testing.T) {
	t.Parallel()
	u := &upstream{zone: zone(t)}
	testResolver(t, newClient(t, 2*time.Second, u.start(t)))
}

func TestClientRemembers(t *testing.T) {
	t.Parallel()
	u := &upstream{zone: zone(t)}
	c := newClient(t, 2*time.Second, u.start(t))
	for range 3 {
		if _, err := c.MX(t.Context(), "example.org"); err != nil {
			t.Fatal(err)
		}
	}
	if n := u.asked(); n != 1 {
		t.Errorf("%d questions, want 1", n)
	}
	c.cache.now = func() time.Time { return time.Now().Add(25 * time.Hour) }
	if _, err := c.MX(t.Context(), "example.org"); err != nil || u.asked() != 2 {
		t.Errorf("after a day: %v, %d questions, want 2", err, u.asked())
	}
}

func TestClientFaults(t *testing.T) {
	t.Parallel()
	silent := func(dns.ResponseWriter, *dns.Msg) bool { return true }
	other := func(w dns.ResponseWriter, q *dns.Msg) bool {
		m := new(dns.Msg).SetReply(q)
		m.Question[0].Name = "other.example."
		w.WriteMsg(m)
		return true
	}
	truncated := func(w dns.ResponseWriter, q *dns.Msg) bool {
		if w.LocalAddr().Network() != "udp" {
			return false
		}
		m := new(dns.Msg).SetReply(q)
		m.Truncated = true
		w.WriteMsg(m)
		return true
	}
	for _, c := range []struct {
		name  string
		fault func(dns.ResponseWriter, *dns.Msg) bool
		want  Fail
	}{{"silent", silent, FailTimeout}, {"another question", other, FailServer}, {"truncated", truncated, ""}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := &upstream{zone: zone(t), fault: c.fault}
			mx, err := newClient(t, 200*time.Millisecond, u.start(t)).MX(t.Context(), "example.org")
			var f *Failure
			switch {
			case c.want == "" && (err != nil || len(mx.Records) != 2):
				t.Errorf("%+v, %v", mx, err)
			case c.want != "" && (!errors.As(err, &f) || f.Reason != c.want):
				t.Errorf("err = %v, want %s", err, c.want)
			}
		})
	}
}

func TestClientAsksTheNext(t *testing.T) {
	t.Parallel()
	dead := &upstream{zone: zone(t), fault: func(dns.ResponseWriter, *dns.Msg) bool { return true }}
	alive := &upstream{zone: zone(t)}
	c := newClient(t, 200*time.Millisecond, dead.start(t), alive.start(t))
	if mx, err := c.MX(t.Context(), "example.org"); err != nil || len(mx.Records) != 2 {
		t.Errorf("%+v, %v", mx, err)
	}
}

func TestOneFamilyFails(t *testing.T) {
	t.Parallel()
	u := &upstream{zone: zone(t), fault: func(w dns.ResponseWriter, q *dns.Msg) bool {
		if q.Question[0].Qtype != dns.TypeAAAA {
			return false
		}
		w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeServerFailure))
		return true
	}}
	c := newClient(t, time.Second, u.start(t))
	a, err := c.Addresses(t.Context(), "four.example")
	if err != nil || len(a.Records) != 1 || a.Partial == nil {
		t.Errorf("%+v, %v; want the address and a note", a, err)
	}
	// example.org has no A record, and whether it has an AAAA one is not known.
	if a, err := c.Addresses(t.Context(), "example.org"); err == nil {
		t.Errorf("%+v; want a failure", a)
	}
}

func TestHosts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	text := "127.0.0.1 localhost\n# 192.0.2.3 no.example\n192.0.2.1\tMail.Example mail # comment\nnonsense line\n2001:db8::2 mail.example\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h := readHosts(file)
	if a := h.addresses["mail.example"]; len(a) != 2 || a[0] != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("mail.example is %v", a)
	}
	if n := h.names[netip.MustParseAddr("192.0.2.1")]; n != mail.Domain("mail.example") {
		t.Errorf("192.0.2.1 is %q", n)
	}
	if len(h.addresses["no.example"]) != 0 {
		t.Error("a comment was read")
	}
	c := &Client{}
	c.servers.Store(&servers{hosts: h})
	if a, err := c.Addresses(t.Context(), "mail.example"); err != nil || len(a.Records) != 2 || a.State != Insecure {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestBadUpstream(t *testing.T) {
	if _, err := New(Options{Upstreams: []string{"resolver.example"}}); err == nil {
		t.Error("an upstream without an address was taken")
	}
}
