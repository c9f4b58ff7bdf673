package message

import (
	"slices"
	"testing"
)

func TestClaims(t *testing.T) {
	h := Header(crlf(`Received: from a.test (a.test [192.0.2.1] (with) \) by)
	by mx.b.test (Postfix) with ESMTPS id 7 for <x@b.test>
	tls TLS_AES_128_GCM_SHA256 group x25519 (TLS1.3); Tue, 01 Sep 2026 10:00:00 +0000
Subject: x
received : from with by with.test with smtp; date
Received: by c.test with HTTP
Received: nonsense
Received: by evil"; drop	with ` + "\x1b[31mESMTPSA" + `

`))
	got, more := h.Claims(4)
	want := []Claim{
		{"mx.b.test", "ESMTPS", "TLS_AES_128_GCM_SHA256"}, {"with.test", "smtp", ""}, {"c.test", "HTTP", ""}, {},
	}
	if !slices.Equal(got, want) || more != 1 {
		t.Errorf("got %+v and %d more, want %+v and 1", got, more, want)
	}
	all, _ := h.Claims(9)
	if last := all[4]; last.By != "evil?" || last.With != "" {
		t.Errorf("got %+v", last)
	}
}

// FuzzClaims: a claim holds nothing that could end a line, and is short.
func FuzzClaims(f *testing.F) {
	f.Add(" from a (b (c)) by d with e tls f group g; date")
	f.Add("by \x00\r\n\x1b with (")
	f.Fuzz(func(t *testing.T, v string) {
		c := claim([]byte(v))
		for _, s := range []string{c.By, c.With, c.TLS} {
			if s != printable(s, maxClaimed) {
				t.Fatalf("%q", s)
			}
		}
	})
}
