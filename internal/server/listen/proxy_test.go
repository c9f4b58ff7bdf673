package listen

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

const clientAddress = "198.51.100.9"

// proxyHeaderFrom is what a proxy sends ahead of a client's octets.
func proxyHeaderFrom(t testing.TB, client string, tlvs ...proxyproto.TLV) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(2,
		&net.TCPAddr{IP: net.ParseIP(client), Port: 4711}, &net.TCPAddr{IP: net.ParseIP("203.0.113.5"), Port: 993})
	if err := h.SetTLVs(tlvs); err != nil {
		t.Fatal(err)
	}
	text, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// endedTLS is what a proxy tells of the TLS that ended there.
func endedTLS(t testing.TB, version, suite string) proxyproto.TLV {
	t.Helper()
	tlv, err := tlvparse.PP2SSL{Client: tlvparse.PP2_BITFIELD_CLIENT_SSL, Verify: 1, TLV: []proxyproto.TLV{
		{Type: proxyproto.PP2_SUBTYPE_SSL_VERSION, Value: []byte(version)},
		{Type: proxyproto.PP2_SUBTYPE_SSL_CIPHER, Value: []byte(suite)},
	}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return tlv
}

// tellAddress says whose connection it is, and then is echo.
func tellAddress(ctx context.Context, c *Conn) {
	proof, _ := c.Encrypted()
	p := c.Peer()
	fmt.Fprintf(c, "%s to %s %s %s %s tls=%t %s\r\n",
		p.Remote, p.Local, p.Transport.State, p.Transport.Version, p.Transport.FloorSource, p.TLS != nil, proof)
	echo(ctx, c)
}

var throughLoopback = &Proxies{From: loopbackNet}

func proxiedServer(t *testing.T, limits Limits, trust bool) *testServer {
	p := *throughLoopback
	p.TrustTLS = trust
	return serve(t, Options{
		Listeners: []Listener{
			{Service: IMAP, Mode: Implicit, Proxies: &p},
			{Service: IMAP, Mode: Required, Proxies: &p},
			{Service: IMAP, Mode: Required, Name: "others", Proxies: &Proxies{From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}},
		},
		Handlers: map[Service]Handler{IMAP: tellAddress}, Limits: limits,
	})
}

// TestProxy: the client's address is that of the header, whatever comes with it in one packet, for TLS from the start
// and for STARTTLS.
func TestProxy(t *testing.T) {
	t.Parallel()
	ts := proxiedServer(t, Limits{}, false)
	for _, client := range []string{clientAddress, "2001:db8::9"} {
		header := proxyHeaderFrom(t, client)
		want := netip.AddrPortFrom(netip.MustParseAddr(client), 4711).String() + " to 203.0.113.5:993 "
		t.Run("implicit "+client, func(t *testing.T) {
			raw := ts.dial(t, 0)
			send(t, raw, header)
			expect(t, tls.Client(raw, clientTLS()), want+"encrypted-unauthenticated TLS1.3 listener tls=true tls\r\n")
		})
		t.Run("required "+client, func(t *testing.T) {
			raw := ts.dial(t, 1)
			for i := range header {
				send(t, raw, header[i:i+1])
			}
			expect(t, raw, want+"clear  listener tls=false none\r\nhello\r\n")
			send(t, raw, "STARTTLS\r\n")
			expect(t, raw, "go\r\n")
			c := tls.Client(raw, clientTLS())
			send(t, c, "x\r\n")
			expect(t, c, "= x\r\n")
		})
		t.Run("in one packet "+client, func(t *testing.T) {
			raw := ts.dial(t, 1)
			send(t, raw, header+"x\r\nSTARTTLS\r\n")
			expect(t, raw, want+"clear  listener tls=false none\r\nhello\r\n= x\r\ngo\r\n")
		})
	}
	ts.expectLog(t, "rip="+clientAddress, "proxy=127.0.0.1", "tls handshake failed")
}

// TestProxyRefused: X-60 and CFG-12. Without a header that is understood nothing is said to anybody.
func TestProxyRefused(t *testing.T) {
	t.Parallel()
	good := proxyHeaderFrom(t, clientAddress)
	great := good[:14] + "\xff\xff" + good[16:] + strings.Repeat("\x00", 0xffff)
	ts := proxiedServer(t, Limits{FirstByte: 300 * time.Millisecond}, true)
	for name, tc := range map[string]struct {
		door int
		sent string
	}{
		"not a proxy":      {2, good},
		"silence":          {1, ""},
		"no header":        {1, "a1 CAPABILITY\r\n"},
		"TLS":              {0, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 32)},
		"version 1":        {1, "PROXY TCP4 198.51.100.9 203.0.113.5 4711 993\r\n"},
		"half":             {1, good[:20]},
		"too long":         {1, great},
		"unknown command":  {1, good[:12] + "\x22" + good[13:]},
		"unknown family":   {1, good[:13] + "\x13" + good[14:]},
		"no address":       {1, good[:13] + "\x00\x00\x00"},
		"UDP":              {1, good[:13] + "\x12" + good[14:]},
		"short address":    {1, good[:14] + "\x00\x04" + good[16:20]},
		"outdated TLS":     {1, proxyHeaderFrom(t, clientAddress, endedTLS(t, "TLSv1.1", "ECDHE-RSA-AES128-SHA"))},
		"outdated suite":   {1, proxyHeaderFrom(t, clientAddress, endedTLS(t, "TLSv1.2", "AES128-SHA"))},
		"unknown suite":    {1, proxyHeaderFrom(t, clientAddress, endedTLS(t, "TLSv1.2", ""))},
		"broken additions": {1, proxyHeaderFrom(t, clientAddress)[:15] + "\x0d" + good[16:] + "\x20"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := ts.dial(t, tc.door)
			go io.WriteString(c, tc.sent) // may be cut off
			expectEnd(t, c, "")
		})
	}
	t.Cleanup(func() {
		ts.expectLog(t, "proxy header refused", "version 2")
		ts.expectLog(t, "connection refused", "not from a proxy")
	})
}

// TestProxyLocal: a proxy that looks whether we are there has its own address.
func TestProxyLocal(t *testing.T) {
	t.Parallel()
	ts := proxiedServer(t, Limits{}, false)
	for name, header := range map[string]string{
		"no address":   string(proxyproto.SIGV2) + "\x20\x00\x00\x00",
		"some address": string(proxyproto.SIGV2) + "\x20\x11\x00\x0c" + strings.Repeat("\x01", 12),
	} {
		c := ts.dial(t, 1)
		send(t, c, header)
		got := make([]byte, len("127.0.0.1:"))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "127.0.0.1:" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// TestProxyTLS: what a proxy tells of TLS counts only where it is trusted, and never binds a channel.
func TestProxyTLS(t *testing.T) {
	t.Parallel()
	header := proxyHeaderFrom(t, clientAddress, endedTLS(t, "TLSv1.3", "TLS_AES_128_GCM_SHA256"))
	const from = clientAddress + ":4711 to 203.0.113.5:993 "
	t.Run("trusted", func(t *testing.T) {
		t.Parallel()
		ts := proxiedServer(t, Limits{}, true)
		for door, more := range []string{"", "! listen: TLS not available\r\n"} {
			c := ts.dial(t, door)
			send(t, c, header+"STARTTLS\r\n")
			expect(t, c, from+"encrypted-unauthenticated TLS1.3 admin:proxy_tls_trusted tls=false proxy:127.0.0.1\r\nhello\r\n"+more)
		}
		raw := ts.dial(t, 0) // a client's TLS that did not end at the proxy
		send(t, raw, proxyHeaderFrom(t, clientAddress))
		expect(t, tls.Client(raw, clientTLS()), from+"encrypted-unauthenticated TLS1.3 listener tls=true tls\r\n")
	})
	t.Run("not trusted", func(t *testing.T) {
		t.Parallel()
		ts := proxiedServer(t, Limits{}, false)
		c := ts.dial(t, 1)
		send(t, c, header)
		expect(t, c, from+"clear  listener tls=false none\r\nhello\r\n")
		raw := ts.dial(t, 0)
		send(t, raw, header)
		expect(t, tls.Client(raw, clientTLS()), from+"encrypted-unauthenticated TLS1.3 listener tls=true tls\r\n")
	})
}

// TestProxyLimits: the limits per address are those of the clients, not of the proxy.
func TestProxyLimits(t *testing.T) {
	t.Parallel()
	ts := proxiedServer(t, Limits{Unauthenticated: 2}, false)
	for i := range 5 {
		c := ts.dial(t, 1)
		send(t, c, proxyHeaderFrom(t, fmt.Sprintf("198.51.100.%d", i)))
		expect(t, c, fmt.Sprintf("198.51.100.%d:4711", i))
	}
	second, third := ts.dial(t, 1), ts.dial(t, 1)
	send(t, second, proxyHeaderFrom(t, "198.51.100.1"))
	expect(t, second, "198.51.100.1:4711")
	send(t, third, proxyHeaderFrom(t, "198.51.100.1"))
	expectEnd(t, third, ts.Listeners()[1].tooMany())
	if got := ts.Stats()[1]; got.Refused != 1 || got.Accepted != 7 {
		t.Errorf("counted %+v", got)
	}
}

// TestProxyDrain: a server that ends waits for no header.
func TestProxyDrain(t *testing.T) {
	t.Parallel()
	ts := proxiedServer(t, Limits{}, false)
	c := ts.dial(t, 1)
	for ts.Stats()[1].Open == 0 {
		time.Sleep(time.Millisecond)
	}
	ts.stop()
	expectEnd(t, c, "")
}

// TestProxyListener is TestProxy for HTTP.
func TestProxyListener(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ sent, from, want string }{
		"header":    {proxyHeaderFrom(t, clientAddress), "127.0.0.0/8", clientAddress + ":4711"},
		"no header": {"GET / HTTP/1.0\r\n\r\n", "127.0.0.0/8", ""},
		"version 1": {"PROXY TCP4 198.51.100.9 203.0.113.5 4711 993\r\nGET /", "127.0.0.0/8", ""},
		"stranger":  {proxyHeaderFrom(t, clientAddress), "192.0.2.0/24", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l := ProxyListener(inner, &Proxies{From: []netip.Prefix{netip.MustParsePrefix(tc.from)}})
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					if _, err := c.Read(make([]byte, 1)); err == nil {
						io.WriteString(c, c.RemoteAddr().String())
					}
					c.Close()
				}
			}()
			c, err := net.Dial("tcp", inner.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			io.WriteString(c, tc.sent)
			if tc.want != "" {
				io.WriteString(c, "x")
			}
			expectEnd(t, c, tc.want)
		})
	}
}

// TestSuiteAtProxy: a suite is noted by its IANA name, and none but good ones are taken.
func TestSuiteAtProxy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version, claimed, want string
		ok                     bool
	}{
		{"TLS1.3", "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", true},
		{"TLS1.3", "", "", true},
		{"TLS1.3", "TLS_SHA256_SHA256", "", false},
		{"TLS1.3", "ECDHE-RSA-AES128-GCM-SHA256", "", false},
		{"TLS1.2", "ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", true},
		{"TLS1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", true},
		{"TLS1.2", "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", true},
		{"TLS1.2", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", true},
		{"TLS1.2", "AES128-GCM-SHA256", "", false},
		{"TLS1.2", "ECDHE-RSA-AES128-SHA256", "", false},
		{"TLS1.2", "", "", false},
	} {
		if got, ok := suiteAtProxy(c.version, c.claimed); got != c.want || ok != c.ok {
			t.Errorf("%s %q: got %q, %t; want %q, %t", c.version, c.claimed, got, ok, c.want, c.ok)
		}
	}
}
