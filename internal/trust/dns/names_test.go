package dns

import (
	"net/netip"
	"testing"
)

func TestConfirmedName(t *testing.T) {
	z, err := ParseZone(`
1.2.0.192.in-addr.arpa. PTR liar.example.
1.2.0.192.in-addr.arpa. PTR out.example.
2.2.0.192.in-addr.arpa. PTR liar.example.
out.example. A 192.0.2.9
out.example. A 192.0.2.1
liar.example. A 198.51.100.1
`, Insecure)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{"192.0.2.1": "out.example", "::ffff:192.0.2.1": "out.example", "192.0.2.2": "", "192.0.2.3": ""} {
		if got := confirmed(t.Context(), z, netip.MustParseAddr(address)); string(got) != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
		n := NewNames(z)
		found := n.Begin(netip.MustParseAddr(address))
		n.work.Wait()
		if got := found(); string(got) != want {
			t.Errorf("%s in the background: got %q, want %q", address, got, want)
		}
		n.Close()
	}
}
