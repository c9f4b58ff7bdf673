package directory

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // CRAM-MD5 is made of it
	"crypto/tls"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// cramClient is a client of CRAM-MD5.
type cramClient struct{ login, password string }

func (cramClient) Start() []byte { return nil }

func (c cramClient) Next(challenge []byte) ([]byte, error) {
	h := hmac.New(md5.New, []byte(c.password))
	h.Write(challenge)
	return []byte(c.login + " " + hex.EncodeToString(h.Sum(nil))), nil
}

func (cramClient) Finish() error { return nil }

func legacyClient(mechanism, login, password string) client {
	if mechanism == sasl.CramMD5 {
		return cramClient{login, password}
	}
	return sasl.NewScramClient(mechanism, nil, login, []byte(password))
}

// panel is a rule for bob's panel, in the network of the tests.
func panel(t testing.TB, d *Directory, mechanism string) LegacyRule {
	return LegacyRule{
		Exception: mail.Exception{ID: "panel", Reason: "firmware", Owner: "karin", Until: d.now().Add(24 * time.Hour)},
		Mechanism: mechanism, Accounts: []mail.Address{addr(t, "Bob@example.org")}, Credential: "panel-1",
		Networks: []netip.Prefix{netip.PrefixFrom(testRemote, 32)},
	}
}

// TestLegacyRule is the specification, section 3.3.
func TestLegacyRule(t *testing.T) {
	here := connectTLS(t, newCertificate(t), func(c *tls.Config) { c.ServerName = "legacy.example.org" })
	for _, mechanism := range LegacyMechanisms {
		inBubble(t, func(t *testing.T, d *Directory) {
			const bob = "bob@example.org"
			rule := panel(t, d, mechanism)
			generated := appPasswordOf(t, d, bob, NewAppPassword{Name: "panel-1", Legacy: mechanism})
			other := appPasswordOf(t, d, bob, NewAppPassword{Name: "phone", Legacy: mechanism})
			plain := appPasswordOf(t, d, "alice@example.org", NewAppPassword{Name: "panel-1"})
			used := map[string]int{}
			d.SetLegacyRules([]LegacyRule{rule}, func(id string, by netip.Addr) {
				if used[id]++; by != testRemote {
					t.Errorf("used by %s", by)
				}
			})
			try := func(step string, a Attempt, login, password, want string) {
				t.Helper()
				x, err := d.StartSASL(t.Context(), overTLS(t), a)
				if err != nil {
					if got := result(Account{}, err); got != want {
						t.Errorf("%s, %s: %s, want %s", mechanism, step, got, want)
					}
					return
				}
				if got := result(converse(t, x, legacyClient(mechanism, login, password))); got != want {
					t.Errorf("%s, %s: %s, want %s", mechanism, step, got, want)
				}
			}
			from := here.attempt(IMAP, mechanism)
			try("right", from, bob, generated, bob)
			try("bare name", from, "bob", generated, bob)
			try("wrong", from, bob, "aaaa-bbbb", "wrong")
			try("main password", from, bob, "bob", "wrong")
			try("another app password", from, bob, other, "wrong")
			try("another account", from, "alice@example.org", plain, "no-verifier")
			try("unknown", from, "carol@example.org", "x", "unknown")
			lower := from
			lower.Mechanism = strings.ToLower(mechanism)
			try("in lower case", lower, bob, generated, bob)
			elsewhere := from
			elsewhere.Peer.Remote = netip.MustParseAddrPort("203.0.113.7:4711")
			try("from elsewhere", elsewhere, bob, generated, "not-offered")
			bare := from
			bare.Peer.TLS = nil
			try("where TLS does not end here", bare, bob, generated, "not-offered")
			if used["panel"] != 3 {
				t.Errorf("%s: %d uses are told of, want 3", mechanism, used["panel"])
			}
			for _, m := range []string{sasl.Plain, sasl.ScramSHA256} {
				if got := result(login(t, d, IMAP, m, bob, generated)); got != bob {
					t.Errorf("the password by %s: %s", m, got)
				}
			}

			rule.Hostname = "Legacy.example.org"
			d.SetLegacyRules([]LegacyRule{rule}, nil)
			try("from elsewhere by its host name", elsewhere, bob, generated, bob)

			must(t, d.SetDisabled(t.Context(), addr(t, bob), true))
			try("disabled", from, bob, generated, "disabled")
			must(t, d.SetDisabled(t.Context(), addr(t, bob), false))

			time.Sleep(24 * time.Hour)
			if got := d.Mechanisms(from); slices.Contains(got, mechanism) {
				t.Errorf("after the end %q are offered", got)
			}
			try("after the end", from, bob, generated, "legacy-expired")
			try("after the end, by its host name", elsewhere, bob, generated, "legacy-expired")

			rule.Until = d.now().Add(time.Hour)
			d.SetLegacyRules([]LegacyRule{rule}, nil)
			must(t, d.RevokeAppPassword(t.Context(), addr(t, bob), "panel-1"))
			try("revoked", from, bob, generated, "no-verifier")
			d.SetLegacyRules(nil, nil)
			try("without the rule", from, bob, generated, "not-offered")
		})
	}
}

// TestLegacyIsSeenByFew: nobody but the rule's connections sees its mechanism, which comes last.
func TestLegacyIsSeenByFew(t *testing.T) {
	d := withPasswords(t)
	here := connectTLS(t, newCertificate(t))
	elsewhere := here.attempt(IMAP, "")
	elsewhere.Peer.Remote = netip.MustParseAddrPort("203.0.113.7:4711")
	before := d.Mechanisms(elsewhere)
	cram, sha1 := panel(t, d, sasl.CramMD5), panel(t, d, sasl.ScramSHA1)
	d.SetLegacyRules([]LegacyRule{cram, sha1}, nil)
	want := []string{
		sasl.ScramSHA256Plus, sasl.ScramSHA256, sasl.ScramSHA1Plus, sasl.ScramSHA1, sasl.Plain, sasl.Login, sasl.CramMD5,
	}
	if got := d.Mechanisms(here.attempt(IMAP, "")); !slices.Equal(got, want) {
		t.Errorf("the panel sees %q, want %q", got, want)
	}
	if got := d.Mechanisms(elsewhere); !slices.Equal(got, before) {
		t.Errorf("others see %q, want %q", got, before)
	}
	if got, want := d.LegacyLack(cram), cram.Accounts[0]; len(got) != 1 || got[0] != want {
		t.Errorf("lacking: %q", got)
	}
	appPasswordOf(t, d, "bob@example.org", NewAppPassword{Name: "panel-1", Legacy: sasl.CramMD5})
	if got := d.LegacyLack(cram); len(got) != 0 {
		t.Errorf("lacking: %q", got)
	}
	if got := d.LegacyLack(sha1); len(got) != 1 {
		t.Errorf("lacking for SCRAM-SHA-1: %q", got)
	}
}

// TestLegacySalt: SCRAM-SHA-1 shows nobody who has a key for it.
func TestLegacySalt(t *testing.T) {
	here := connectTLS(t, newCertificate(t))
	d := withPasswords(t)
	d.SetLegacyRules([]LegacyRule{panel(t, d, sasl.ScramSHA1)}, nil)
	challenge := func(login string) string {
		x, err := d.StartSASL(t.Context(), overTLS(t), here.attempt(IMAP, sasl.ScramSHA1))
		must(t, err)
		challenge, _, err := x.Next(t.Context(), []byte("n,,n="+login+",r=abc"))
		must(t, err)
		_, salt, _ := strings.Cut(string(challenge), ",")
		return salt
	}
	before, unknown := challenge("bob@example.org"), challenge("carol@example.org")
	appPasswordOf(t, d, "bob@example.org", NewAppPassword{Name: "panel-1", Legacy: sasl.ScramSHA1})
	if after := challenge("bob@example.org"); after != before || !strings.HasSuffix(after, ",i=4096") {
		t.Errorf("a key shows: %q, before %q", after, before)
	}
	if unknown == before || unknown != challenge("Carol@example.org") {
		t.Error("the salt of an unknown name is not its own, or changes")
	}
}

// TestLegacyIsKept: the verifiers of a legacy mechanism come back from the store.
func TestLegacyIsKept(t *testing.T) {
	here := connectTLS(t, newCertificate(t))
	db := newMemDB()
	d := open(t, db, Options{Cost: cheap})
	must(t, d.AddDomain(t.Context(), "example.org"))
	_, err := d.AddAccount(t.Context(), addr(t, "bob@example.org"), "bob")
	must(t, err)
	passwords := map[string]string{}
	for _, m := range LegacyMechanisms {
		passwords[m] = appPasswordOf(t, d, "bob@example.org", NewAppPassword{Name: m, Legacy: m})
	}
	d = open(t, db, Options{Cost: cheap})
	for _, m := range LegacyMechanisms {
		rule := panel(t, d, m)
		rule.Credential = m
		d.SetLegacyRules([]LegacyRule{rule}, nil)
		x, err := d.StartSASL(t.Context(), overTLS(t), here.attempt(IMAP, m))
		must(t, err)
		if got := result(converse(t, x, legacyClient(m, "bob", passwords[m]))); got != "bob@example.org" {
			t.Errorf("%s: %s", m, got)
		}
	}
	if _, err := d.AddAppPassword(t.Context(), addr(t, "bob@example.org"), NewAppPassword{Name: "x", Legacy: "DIGEST-MD5"}); !mail.IsKind(err, mail.Syntax) {
		t.Errorf("a verifier for DIGEST-MD5: %v", err)
	}
}
