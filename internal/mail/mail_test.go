package mail

import (
	"crypto/tls"
	"strings"
	"testing"
)

func TestParseDomain(t *testing.T) {
	for in, want := range map[string]Domain{
		"Example.ORG.": "example.org", "bücher.example": "xn--bcher-kva.example", "_dmarc.example.org": "_dmarc.example.org",
		"[192.0.2.1]": "[192.0.2.1]", "[IPv6:2001:DB8::1]": "[IPv6:2001:db8::1]", "xn--bcher-kva.example": "xn--bcher-kva.example",
	} {
		got, err := ParseDomain(in)
		if err != nil || got != want {
			t.Errorf("ParseDomain(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", ".", "a..b", "-a.example", "a b.example", "[300.1.1.1]", "[::1", strings.Repeat("a", 64) + ".example", "a\r\nb.example"} {
		if got, err := ParseDomain(in); err == nil {
			t.Errorf("ParseDomain(%q) = %q, want an error", in, got)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"Ann@Example.org": "Ann@example.org", `"a b"@example.org`: `"a b"@example.org`, `"ann"@example.org`: "ann@example.org",
		"jörg@bücher.example": "jörg@xn--bcher-kva.example", `"a\"b"@example.org`: `"a\"b"@example.org`, "a+b@[192.0.2.1]": "a+b@[192.0.2.1]",
	} {
		got, err := ParseAddress(in)
		if err != nil || got.String() != want {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "ann", "@example.org", "a..b@example.org", "a b@example.org", `"a@example.org`, "ann@", "a\x00@example.org", "\xff@example.org", strings.Repeat("a", 65) + "@example.org"} {
		if got, err := ParseAddress(in); err == nil {
			t.Errorf("ParseAddress(%q) = %q, want an error", in, got)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("ann@example.org")
	f.Add(`"a\"b"@[IPv6:2001:db8::1]`)
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		b, err := ParseAddress(a.String())
		if err != nil || a != b {
			t.Fatalf("ParseAddress(%q) = %q, which parses as %q, %v", s, a, b, err)
		}
	})
}

func TestZeroStateIsUnknown(t *testing.T) {
	var tr Transport
	if tr.State != Unknown || tr.State.Row().Rank >= 0 {
		t.Fatalf("zero state is %s, rank %d", tr.State, tr.State.Row().Rank)
	}
	last := -2
	for _, r := range States() {
		if r.Rank <= last {
			t.Errorf("%s: rank %d does not rise", r.Token, r.Rank)
		}
		last = r.Rank
	}
}

func TestEncryptedNeedsHandshake(t *testing.T) {
	if e, err := EncryptedBy(tls.ConnectionState{Version: tls.VersionTLS13}); err == nil || e.Valid() {
		t.Error("an incomplete handshake made a valid Encrypted")
	}
	if e, err := EncryptedBy(tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true}); err != nil || !e.Valid() {
		t.Errorf("a complete handshake: %v", err)
	}
	if (Encrypted{}).Valid() {
		t.Error("the zero Encrypted is valid")
	}
}
