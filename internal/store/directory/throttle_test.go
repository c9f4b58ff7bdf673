package directory

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// loginFrom logs in from an address, by a mechanism or by command.
func loginFrom(t testing.TB, d *Directory, from, mechanism, name, password string) (Account, error) {
	t.Helper()
	a := Attempt{Service: IMAP, Mechanism: mechanism, Peer: mail.Peer{Remote: netip.AddrPortFrom(netip.MustParseAddr(from), 4711)}}
	if mechanism == command {
		return d.Login(context.Background(), overTLS(t), a, name, []byte(password))
	}
	x, err := d.StartSASL(context.Background(), overTLS(t), a)
	if err != nil {
		return Account{}, err
	}
	return converse(t, x, newClient(mechanism, name, password))
}

// guessing makes so many different wrong logins from an address.
func guessing(t testing.TB, d *Directory, from, mechanism, name string, n int) (last error) {
	t.Helper()
	for i := range n {
		_, last = loginFrom(t, d, from, mechanism, name, fmt.Sprintf("guess %d", i))
	}
	return last
}

// TestSlowed: from the fifth wrong login of a network for a name on, whether there is such an account or not, refusals take
// longer. What is right is never slowed down.
func TestSlowed(t *testing.T) {
	for _, name := range []string{"alice@example.org", "nobody@example.org", "nobody", "off@example.org"} {
		inBubble(t, func(t *testing.T, d *Directory) {
			for i, extra := range []time.Duration{0, 0, 0, 0, 2, 4, 8, 15, 15} {
				started := time.Now()
				from := fmt.Sprintf("192.0.2.%d", i) // one network
				_, err := loginFrom(t, d, from, command, name, fmt.Sprintf("guess %d", i))
				took, least := time.Since(started), refusalTime+extra*time.Second
				wantKind(t, name, err, mail.AuthFailed)
				if took < least || took >= least+refusalJitter {
					t.Errorf("%s, wrong login %d took %s, want %s", name, i+1, took, least)
				}
			}
			started := time.Now()
			if got := result(loginFrom(t, d, "192.0.2.1", command, "alice", "alice")); got != "alice@example.org" || time.Since(started) != 0 {
				t.Errorf("the right one: %s after %s", got, time.Since(started))
			}
			started = time.Now()
			_, _ = loginFrom(t, d, "198.51.100.1", command, name, "guess")
			if took := time.Since(started); took >= refusalTime+refusalJitter {
				t.Errorf("from another network it took %s", took)
			}
			time.Sleep(2 * halfLife)
			started = time.Now()
			_, _ = loginFrom(t, d, "192.0.2.1", command, name, "another")
			if took := time.Since(started); took >= refusalTime+refusalJitter {
				t.Errorf("an hour later it took %s", took)
			}
		})
	}
}

// TestRefusedAddress: after twenty different wrong logins everything from the address is refused, right or wrong, after the
// same time and with the work of a login; until it is over, or an operator ends it.
func TestRefusedAddress(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const from = "192.0.2.7"
		address := netip.MustParseAddr(from)
		for i := range refuseFrom {
			if d.RefusesLogins(address) {
				t.Fatalf("refused after %d", i)
			}
			_, err := loginFrom(t, d, from, sasl.Plain, fmt.Sprintf("user%d@example.org", i), "the same password for all")
			wantKind(t, "a wrong login", err, mail.AuthFailed)
		}
		if !d.RefusesLogins(address) || d.RefusesLogins(netip.MustParseAddr("192.0.2.8")) {
			t.Fatal("the address is not refused, or its neighbour is")
		}
		for _, m := range allMechanisms {
			for _, password := range []string{"alice", "wrong"} {
				started := time.Now()
				_, err := loginFrom(t, d, from, m, "alice", password)
				took := time.Since(started)
				wantKind(t, m+" with "+password, err, mail.TooMany)
				if Reason(err) != "throttled" || took < refusalTime || took >= refusalTime+refusalJitter {
					t.Errorf("%s with %s: %v after %s", m, password, err, took)
				}
			}
		}
		all, err := d.Blocked(t.Context())
		must(t, err)
		if len(all) != 1 || all[0].Network.String() != "192.0.2.7/32" || all[0].Reason != "refused" || all[0].Wrong != 20 || all[0].Refused == 0 ||
			!all[0].Until.After(time.Now()) {
			t.Errorf("blocked: %+v", all)
		}
		time.Sleep(refuseTime)
		if d.RefusesLogins(address) {
			t.Error("it does not end")
		}
		_ = guessing(t, d, from, command, "bob", 10)
		if !d.RefusesLogins(address) {
			t.Error("what has not faded yet does not count")
		}
		if done, err := d.Unblock(t.Context(), netip.MustParsePrefix("192.0.2.0/24")); !done || err != nil || d.RefusesLogins(address) {
			t.Errorf("unblocking: %v, %v", done, err)
		}
	})
}

// TestOldPassword: a program that has an old password is not an attack, whatever mechanism it uses.
func TestOldPassword(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		for i, m := range []string{command, sasl.Plain, sasl.Login} {
			from := fmt.Sprintf("192.0.2.%d", i)
			for range 100 {
				_, err := loginFrom(t, d, from, m, "alice", "the old one")
				wantKind(t, m, err, mail.AuthFailed)
			}
			if d.RefusesLogins(netip.MustParseAddr(from)) {
				t.Errorf("%s: refused", m)
			}
		}
		_, err := loginFrom(t, d, "198.51.100.1", sasl.ScramSHA256, "alice", "the old one")
		if secret, is := isGuess(err); secret != 0 || !is {
			t.Fatalf("SCRAM: %v", err)
		}
		// Two proofs are never alike: they count a quarter.
		proof := guess{1, 0, true}
		patient, eager := netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("198.51.100.3")
		for range 120 {
			d.throttle.count(time.Now(), patient, proof)
			time.Sleep(time.Minute)
		}
		if d.RefusesLogins(patient) {
			t.Error("a program that tries every minute by SCRAM is refused")
		}
		for range 80 {
			d.throttle.count(time.Now(), eager, proof)
		}
		if !d.RefusesLogins(eager) {
			t.Error("one that guesses by SCRAM is not")
		}
	})
}

// TestSharedAddress: an office is not refused for one of its programs; neither is an exempt network.
func TestSharedAddress(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const office = "192.0.2.7"
		for _, name := range []string{"alice", "bob", "both"} {
			_, err := loginFrom(t, d, office, command, name+"@example.org", name)
			must(t, err)
		}
		_ = guessing(t, d, office, command, "jürgen", 25)
		if d.RefusesLogins(netip.MustParseAddr(office)) {
			t.Error("the office is refused")
		}
		d.Throttle([]netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, 1000)
		_ = guessing(t, d, "198.51.100.1", command, "alice", 25)
		if d.RefusesLogins(netip.MustParseAddr("198.51.100.1")) {
			t.Error("an exempt address is refused")
		}
		time.Sleep(homeTime)
		_ = guessing(t, d, office, command, "off", 25)
		if !d.RefusesLogins(netip.MustParseAddr(office)) {
			t.Error("the office that moved out a month ago is not refused")
		}
	})
}

// TestNoLockOut: whoever guesses for an account from wherever does not keep its owner out.
func TestNoLockOut(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		for i := range 500 {
			from := fmt.Sprintf("10.%d.%d.1", i/250, i%250)
			_ = guessing(t, d, from, command, "alice", 3)
		}
		for _, from := range []string{"192.0.2.1", "10.0.0.2"} {
			started := time.Now()
			if got := result(loginFrom(t, d, from, command, "alice", "alice")); got != "alice@example.org" || time.Since(started) != 0 {
				t.Errorf("from %s: %s after %s", from, got, time.Since(started))
			}
		}
	})
}

// TestLoginRank: who has logged in from a network before comes first, who names what is guessed for comes last.
func TestLoginRank(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		rankFrom := func(from, name string) rank {
			var p principal
			d.view(func(s *state) { p = s.principal(name) })
			return d.throttle.rank(time.Now(), netip.MustParseAddr(from), &p)
		}
		_, err := loginFrom(t, d, "192.0.2.7", command, "alice", "alice")
		must(t, err)
		for i := range suspectFrom {
			_, _ = loginFrom(t, d, fmt.Sprintf("203.0.%d.1", i), command, "bob", "guess "+fmt.Sprint(i))
		}
		_ = guessing(t, d, "198.51.100.1", command, "nobody", slowFrom)
		for _, c := range []struct {
			from, name string
			want       rank
		}{
			{"192.0.2.9", "alice", familiar},
			{"192.0.2.9", "ally@example.org", familiar},
			{"192.0.3.9", "alice", stranger},
			{"192.0.3.9", "bob", suspect},
			{"198.51.100.1", "alice", suspect},
			{"198.51.100.2", "alice", stranger},
			{"198.51.100.2", "nobody", suspect},
		} {
			if got := rankFrom(c.from, c.name); got != c.want {
				t.Errorf("%s from %s: %d, want %d", c.name, c.from, got, c.want)
			}
		}
	})
}

// TestHomesOverRestart: who is behind an address is known after a start, too.
func TestHomesOverRestart(t *testing.T) {
	db := newMemDB()
	d := open(t, db, Options{Cost: cheap})
	must(t, d.AddDomain(t.Context(), "example.org"))
	for _, name := range []string{"alice", "bob", "carol"} {
		_, err := d.AddAccount(t.Context(), addr(t, name+"@example.org"), name)
		must(t, err)
		_, err = loginFrom(t, d, "192.0.2.7", command, name, name)
		must(t, err)
	}
	must(t, d.Close())
	d = open(t, db, Options{Cost: cheap, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
	if !d.throttle.homes.shared(netip.MustParseAddr("192.0.2.7"), d.now()) || d.throttle.homes.shared(netip.MustParseAddr("192.0.3.7"), d.now()) {
		t.Error("the office is not known, or another is")
	}
}

// TestTalliesAreBounded: an attack from everywhere takes so much memory and no more, and does not make those forgotten
// that go on.
func TestTalliesAreBounded(t *testing.T) {
	tt := newThrottle(nil, newHomes(newUses(), time.Now()))
	tt.change(nil, 100)
	now := time.Now()
	from := netip.MustParseAddr("192.0.2.1")
	for i := range 10_000 {
		tt.count(now, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), guess{uint64(i), uint64(i), false})
		if i%50 == 0 {
			tt.count(now, from, guess{1, 2, false})
		}
	}
	for i, all := range []*tallies{tt.addresses, tt.networks, tt.accounts, tt.pairs} {
		if len(all.known) > 100 || len(all.known) != all.order.Len() {
			t.Errorf("tallies %d: %d and %d", i, len(all.known), all.order.Len())
		}
	}
	if tt.addresses.find(origin{network: host(from)}) == nil {
		t.Error("one who goes on was forgotten")
	}
}

// BenchmarkThrottle is what counting adds to a login that is right.
func BenchmarkThrottle(b *testing.B) {
	d := withPasswords(b)
	from := netip.MustParseAddr("192.0.2.1")
	for i := range defaultTallies {
		d.throttle.count(time.Now(), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), guess{uint64(i), uint64(i), false})
	}
	b.ReportAllocs()
	for b.Loop() {
		now := d.now()
		d.throttle.refuses(now, from)
		d.throttle.homes.note(1, from, now)
	}
}
