package directory

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// refuseFor has logins from an address refused.
func refuseFor(t *testing.T, d *Directory, from string) {
	t.Helper()
	for i := range refuseFrom {
		_, _ = loginFrom(t, d, from, command, fmt.Sprintf("user%d", i), "x")
	}
	if !d.RefusesLogins(netip.MustParseAddr(from)) {
		t.Fatal("guessing is not refused")
	}
}

// TestRefusalsHash: whatever a refusal's cause, also a right password that is refused, it waited for a worker and hashed, so that it
// shows neither in the work nor, where many wait, in the time. App passwords show in nothing, nor how many there are.
func TestRefusalsHash(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const free, refusing = "192.0.2.7", "198.51.100.7"
		phone := appPasswordOf(t, d, "alice@example.org", NewAppPassword{Name: "phone"})
		sender := appPasswordOf(t, d, "alice@example.org", NewAppPassword{Name: "sender", Scopes: []Scope{ScopeSMTP}})
		for i := range 5 {
			appPasswordOf(t, d, "postmaster@example.org", NewAppPassword{Name: fmt.Sprint(i)})
		}
		if got := result(loginFrom(t, d, free, command, "alice", "alice")); got != "alice@example.org" {
			t.Fatal(got)
		}
		refuseFor(t, d, refusing)
		for _, c := range []struct{ name, from, login, password, want string }{
			{"wrong beside app passwords", free, "alice", "x", "wrong"},
			{"wrong beside nothing else", free, "bob", "x", "wrong"},
			{"wrong beside app passwords alone", free, "postmaster", "x", "wrong"},
			{"an app password for another service", free, "alice", sender, "scope"},
			{"another's app password", free, "bob", phone, "wrong"},
			{"unknown", free, "nobody", "x", "unknown"},
			{"disabled, right", free, "off", "off", "disabled"},
			{"disabled, wrong", free, "off", "x", "wrong"},
			{"refused: wrong", refusing, "alice", "x", "throttled"},
			{"refused: unknown", refusing, "nobody", "x", "throttled"},
			{"refused: right, and known to the cache", refusing, "alice", "alice", "throttled"},
			{"refused: a right app password", refusing, "alice", phone, "throttled"},
		} {
			give := occupy(t, d)
			got := make(chan string, 1)
			go func() { got <- result(loginFrom(t, d, c.from, command, c.login, c.password)) }()
			synctest.Wait()
			if n := d.hasher.length(); n != 1 {
				t.Errorf("%s: %d wait for a worker, want one", c.name, n)
			}
			give()
			if r := <-got; r != c.want {
				t.Errorf("%s: %s, want %s", c.name, r, c.want)
			}
		}
	})
}

// TestEqualWords: what is said of a login from an address that has guessed is the same, right or wrong, by every mechanism.
func TestEqualWords(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const from = "198.51.100.7"
		refuseFor(t, d, from)
		for _, m := range []string{sasl.Plain, sasl.Login, sasl.ScramSHA256} {
			words := map[string]string{}
			for _, c := range []struct{ name, password string }{{"alice", "alice"}, {"alice", "x"}, {"nobody", "x"}, {"off", "off"}, {"postmaster", "x"}} {
				x, err := d.StartSASL(t.Context(), overTLS(t), Attempt{Service: IMAP, Mechanism: m, Peer: mail.Peer{
					Remote: netip.AddrPortFrom(netip.MustParseAddr(from), 4711),
				}})
				must(t, err)
				client := newClient(m, c.name, c.password)
				challenge, response := []byte(nil), client.Start()
				for err == nil {
					if challenge, _, err = x.Next(t.Context(), response); err == nil {
						response, err = client.Next(challenge)
						must(t, err)
					}
				}
				said := fmt.Sprintf("%q, then %s", challenge, mail.AsError(err).Text)
				words[said] += c.name + "/" + c.password + " "
				wantKind(t, c.name, err, mail.TooMany)
			}
			if len(words) != 1 {
				t.Errorf("%s tells them apart: %v", m, words)
			}
		}
	})
}
