package directory

import (
	"net/netip"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// TestSeenFrom: who logged in from a network in some time is found by it, once.
func TestSeenFrom(t *testing.T) {
	now := time.Date(2026, 9, 1, 10, 42, 17, 0, time.UTC)
	d := open(t, newMemDB(), Options{Cost: cheap, Now: func() time.Time { return now }})
	must(t, d.AddDomain(t.Context(), "example.org"))
	alice := addr(t, "alice@example.org")
	_, err := d.AddAccount(t.Context(), alice, "secret")
	must(t, err)
	_, err = login(t, d, IMAP, sasl.ScramSHA256, "alice", "secret")
	must(t, err)
	from := Network(netip.MustParseAddr("198.51.100.77"))
	if from != netip.MustParsePrefix("198.51.100.0/24") || Network(netip.MustParseAddr("::ffff:198.51.100.77")) != from {
		t.Errorf("network %v", from)
	}
	for since, want := range map[time.Time][]mail.Address{now: {alice}, now.AddDate(0, 0, -30): {alice}, now.Add(time.Hour): nil} {
		if got := d.SeenFrom(since)[from]; len(got) != len(want) || len(got) == 1 && got[0] != want[0] {
			t.Errorf("since %v: %v, want %v", since, got, want)
		}
	}
}
