package message

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
)

var (
	noon   = time.Date(2026, 9, 1, 10, 0, 0, 0, time.UTC)
	clear_ = mail.Transport{State: mail.Clear, Floor: mail.Clear, FloorSource: "public-mx", Mode: mail.NoTLS, Peer: "none"}
	crypt  = mail.Transport{
		State: mail.EncryptedUnauthenticated, Floor: mail.Clear, FloorSource: "public-mx", Mode: mail.StartTLS,
		Version: "TLS1.3", Cipher: "TLS_AES_128_GCM_SHA256", Group: "X25519MLKEM768", Peer: "none",
	}
)

func TestReceived(t *testing.T) {
	bob := mail.Address{Local: "bob", Domain: "example.test"}
	remote := netip.MustParseAddr("198.51.100.20")
	withCertificate := crypt
	withCertificate.Peer = "cert-pkix:evil)\r\n.test"
	for _, c := range []struct {
		name string
		in   Received
		want string
	}{
		{"the specification's example", Received{
			Helo: "out.sender.test", Remote: remote, RemoteName: "out.sender.test", By: "mx1.example.test",
			Extended: true, ID: "7f3a", For: bob, Transport: crypt,
		}, `Received: from out.sender.test (out.sender.test [198.51.100.20])
        by mx1.example.test with ESMTPS id 7f3a for <bob@example.test>
        tls TLS_AES_128_GCM_SHA256 group X25519MLKEM768 (TLS1.3, client certificate: none);
        Tue, 01 Sep 2026 10:00:00 +0000
`},
		{"clear, no reverse name, two recipients", Received{
			Helo: "out.sender.test", Remote: netip.MustParseAddr("2001:db8::1%eth0"), By: "mx1.example.test", Extended: true, ID: "7f3a", Transport: clear_,
		}, `Received: from out.sender.test ([IPv6:2001:db8::1])
        by mx1.example.test with ESMTP id 7f3a;
        Tue, 01 Sep 2026 10:00:00 +0000
`},
		{"submission", Received{
			Helo: "ann-laptop.lan", By: "mail.example.test", Extended: true, Authenticated: true, ID: "7f3a", For: bob, Transport: crypt,
		}, `Received: from [authenticated]
        by mail.example.test with ESMTPSA id 7f3a for <bob@example.test>
        tls TLS_AES_128_GCM_SHA256 group X25519MLKEM768 (TLS1.3, client certificate: none);
        Tue, 01 Sep 2026 10:00:00 +0000
`},
		{"web submission", Received{By: "mail.example.test", Web: true, ID: "7f3a", Transport: crypt}, `Received: from [authenticated]
        by mail.example.test (web submission over HTTPS) id 7f3a;
        Tue, 01 Sep 2026 10:00:00 +0000
`},
		{"odd octets", Received{
			Helo: "a\r\nX-Forged: yes (b) ü", Remote: remote, RemoteName: "x) (y", By: "mx1.example.test", ID: "7f3a", Transport: withCertificate,
			For: mail.Address{Local: `a>b "c"`, Domain: "example.test"},
		}, `Received: from a??X-Forged:?yes??b???? (x???y [198.51.100.20])
        by mx1.example.test with SMTP id 7f3a for <"a>b \"c\""@example.test>
        tls TLS_AES_128_GCM_SHA256 group X25519MLKEM768 (TLS1.3, client certificate: pkix:evil???.test);
        Tue, 01 Sep 2026 10:00:00 +0000
`},
		{"nothing known", Received{By: "mx1.example.test"}, `Received: from unknown
        by mx1.example.test with SMTP;
        Tue, 01 Sep 2026 10:00:00 +0000
`},
	} {
		c.in.Time = noon
		if got := string(c.in.Append(nil)); got != crlf(c.want) {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestReceivedProtocol(t *testing.T) {
	for _, c := range []struct {
		in   Received
		want string
	}{
		{Received{Transport: clear_}, "SMTP"},
		{Received{Transport: crypt}, "SMTP"},
		{Received{Extended: true, Transport: clear_}, "ESMTP"},
		{Received{Extended: true, Transport: crypt}, "ESMTPS"},
		{Received{Extended: true, Authenticated: true, Transport: clear_}, "ESMTPA"},
		{Received{Extended: true, Authenticated: true, Transport: crypt}, "ESMTPSA"},
		{Received{LMTP: true, Transport: clear_}, "LMTP"},
		{Received{LMTP: true, Transport: crypt}, "LMTPS"},
		{Received{LMTP: true, Authenticated: true, Transport: clear_}, "LMTPA"},
		{Received{LMTP: true, Authenticated: true, Transport: crypt}, "LMTPSA"},
		{Received{Extended: true, UTF8: true, Transport: clear_}, "UTF8SMTP"},
		{Received{Extended: true, UTF8: true, Transport: crypt}, "UTF8SMTPS"},
		{Received{Extended: true, UTF8: true, Authenticated: true, Transport: clear_}, "UTF8SMTPA"},
		{Received{Extended: true, UTF8: true, Authenticated: true, Transport: crypt}, "UTF8SMTPSA"},
		{Received{LMTP: true, UTF8: true, Transport: crypt}, "UTF8LMTPS"},
	} {
		if got := c.in.protocol(); got != c.want {
			t.Errorf("protocol of %+v = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestCandorTransport(t *testing.T) {
	f := CandorTransport{By: "mx1.example.test", ID: "7f3a", Hop: InboundHop, Transport: crypt}
	want := crlf(`Candor-Transport: v=1; by=mx1.example.test; id=7f3a; hop=inbound; state=encrypted-unauthenticated;
        floor=clear; floor-source=public-mx; mode=starttls; ver=TLS1.3; cipher=TLS_AES_128_GCM_SHA256;
        group=X25519MLKEM768; peer=none; requiretls=no; earlier-hops=unknown
`)
	if got := string(f.Append(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	f.Transport, f.RequireTLS = clear_, true
	f.Transport.Peer = "sasl:X;\r\n state=local"
	want = crlf(`Candor-Transport: v=1; by=mx1.example.test; id=7f3a; hop=inbound; state=clear;
        floor=clear; floor-source=public-mx; mode=none;
        peer=sasl:X????state?local; requiretls=yes; earlier-hops=unknown
`)
	if got := string(f.Append(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReturnPath(t *testing.T) {
	if got := string(AppendReturnPath(nil, mail.ReversePath{})); got != "Return-Path: <>\r\n" {
		t.Errorf("null: got %q", got)
	}
	p := mail.ReversePath{Address: mail.Address{Local: "a b", Domain: "example.test"}}
	if got := string(AppendReturnPath(nil, p)); got != "Return-Path: <\"a b\"@example.test>\r\n" {
		t.Errorf("got %q", got)
	}
}

// FuzzReceived: whatever a peer says, the field stays one field with the lines that we fold.
func FuzzReceived(f *testing.F) {
	f.Add("a\r\nb", "c\n", "d\r", "(")
	f.Fuzz(func(t *testing.T, helo, name, sni, peer string) {
		tr := crypt
		tr.SNI, tr.Peer, tr.ALPN = sni, peer, sni
		r := Received{Helo: helo, RemoteName: name, Remote: netip.MustParseAddr("192.0.2.1"), By: "mx.example.test", Transport: tr, Time: noon}
		got := string(r.Append(nil))
		if strings.Count(got, "\n") != 4 || strings.Count(got, "\r") != 4 || strings.Count(got, "(") != 2 || strings.Count(got, ")") != 2 || len(got) > 1500 {
			t.Fatalf("got %q", got)
		}
		h := Header((&CandorTransport{By: "mx.example.test", ID: "x", Hop: InboundHop, Transport: tr}).Append([]byte(got)))
		if h.Count("Received") != 1 || h.Count(CandorTransportName) != 1 || strings.Count(string(h), "\n") != 7 || strings.Count(string(h), "state=") != 1 {
			t.Fatalf("got %q", h)
		}
	})
}
