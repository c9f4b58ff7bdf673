package directory

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"candor/internal/proto/sasl"
)

// TestCache is the scenario T-CACHE of the specification, section 3.5: over all services and mechanisms, and again
// without the cache, with the same outcomes in the same order.
func TestCache(t *testing.T) {
	channel := handshake(t)
	var with, without []string
	inBubble(t, func(t *testing.T, d *Directory) {
		with = play(t, d, channel)
		if s := d.Stats(); s.CacheHits == 0 || s.CacheKeyMismatches != 0 {
			t.Errorf("the cache was not used, or wrongly: %+v", s)
		}
	})
	inBubble(t, func(t *testing.T, d *Directory) {
		d.cache = nil
		without = play(t, d, channel)
	})
	if diff := cmp.Diff(without, with); diff != "" {
		t.Errorf("the cache changes outcomes (-without +with):\n%s", diff)
	}
}

// handshake returns the state of a TLS connection, which serves for both ends.
func handshake(t *testing.T) *tls.ConnectionState {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	server := tls.Server(near, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	ended := make(chan error, 1)
	go func() { ended <- server.Handshake() }()
	must(t, tls.Client(far, &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil }}).Handshake())
	must(t, <-ended)
	cs := server.ConnectionState()
	return &cs
}

// The mechanisms of the scenario: those that send the password, and those that prove that they know it.
var (
	plainMechanisms = []string{sasl.Plain, sasl.Login, command}
	scramMechanisms = []string{sasl.ScramSHA256, sasl.ScramSHA256Plus}
	everyMechanism  = append(scramMechanisms, plainMechanisms...)
)

// scenario plays T-CACHE at one service.
type scenario struct {
	t        *testing.T
	d        *Directory
	channel  *tls.ConnectionState
	service  Service
	outcomes []string
}

const scenarioAlice, scenarioBob = "alice@example.org", "bob@example.org"

// play plays T-CACHE and returns the outcomes.
func play(t *testing.T, d *Directory, channel *tls.ConnectionState) []string {
	d.Throttle([]netip.Prefix{netip.PrefixFrom(testRemote, testRemote.BitLen())}, 0)
	s := &scenario{t: t, d: d, channel: channel}
	for _, s.service = range []Service{Submission, IMAP, POP3} {
		must(t, d.SetPassword(t.Context(), addr(t, scenarioAlice), "alice"))
		s.step("1", sasl.Plain, scenarioAlice, "alice", scenarioAlice)
		s.wrongAndRight()
		s.changedPassword()
		s.forms()
		s.missingVerifier()
		s.appPasswords()
		s.policy()
	}
	return s.outcomes
}

// step logs in and notes the outcome.
func (s *scenario) step(name, mechanism, as, password, want string) {
	s.t.Helper()
	a := testAttempt(s.service, mechanism)
	a.Peer.TLS = s.channel
	got := result(attempt(s.t, s.d, a, as, password))
	s.outcomes = append(s.outcomes, fmt.Sprintf("%s, %s, %s as %s: %s", s.service, name, mechanism, as, got))
	if got != want {
		s.t.Errorf("%s, want %s", s.outcomes[len(s.outcomes)-1], want)
	}
}

// by is step for several mechanisms.
func (s *scenario) by(mechanisms []string, name, as, password, want string) {
	s.t.Helper()
	for _, m := range mechanisms {
		s.step(name, m, as, password, want)
	}
}

func (s *scenario) wrongAndRight() {
	for _, m := range everyMechanism {
		s.step("2", m, scenarioAlice, "alice", scenarioAlice)
		s.step("3 wrong", m, scenarioAlice, "wrong", "wrong")
		s.step("3 right", m, scenarioAlice, "alice", scenarioAlice)
		s.step("3 wrong again", m, scenarioAlice, "wrong", "wrong")
	}
}

func (s *scenario) changedPassword() {
	must(s.t, s.d.SetPassword(s.t.Context(), addr(s.t, scenarioAlice), "changed"))
	for _, m := range everyMechanism {
		s.step("4 old", m, scenarioAlice, "alice", "wrong")
		s.step("4 new", m, scenarioAlice, "changed", scenarioAlice)
		s.step("4 old again", m, scenarioAlice, "alice", "wrong")
	}
}

func (s *scenario) forms() {
	for _, m := range everyMechanism {
		for _, form := range []string{"Alice", "ALICE@Example.Org.", "Ally@example.org"} {
			s.step("5", m, form, "changed", scenarioAlice)
			s.step("5 once more", m, form, "changed", scenarioAlice)
			s.step("5 old", m, form, "alice", "wrong")
		}
		s.step("6", m, scenarioBob, "bob", scenarioBob)
		s.step("6 with the other's", m, scenarioBob, "changed", "wrong")
		s.step("6 the other with his", m, scenarioAlice, "bob", "wrong")
	}
}

// missingVerifier takes the SCRAM keys away while an exchange is under way, and has a login bring them back.
func (s *scenario) missingVerifier() {
	t, alice := s.t, addr(s.t, scenarioAlice)
	for _, m := range scramMechanisms {
		a := testAttempt(s.service, m)
		a.Peer.TLS = s.channel
		x, err := s.d.StartSASL(t.Context(), overTLS(t), a)
		must(t, err)
		c := newPeer(scenarioAlice, "changed")
		if m == sasl.ScramSHA256Plus {
			c = newBoundPeer(t, a, scenarioAlice, "changed")
		}
		must(t, withoutScram(t.Context(), s.d, alice))
		got := result(converse(t, x, c))
		s.outcomes = append(s.outcomes, fmt.Sprintf("%s, 7 begun before, %s: %s", s.service, m, got))
		if got != "no-verifier" {
			t.Errorf("%s: %s without keys: %s", s.service, m, got)
		}
		s.by(scramMechanisms, "7 not offered", scenarioAlice, "changed", "not-offered")
		s.step("7 others do", sasl.Plain, scenarioAlice, "changed", scenarioAlice)
		s.by(everyMechanism, "7 which brings the keys", scenarioAlice, "changed", scenarioAlice)
	}
}

func (s *scenario) appPasswords() {
	t, alice := s.t, addr(s.t, scenarioAlice)
	phone := appPasswordOf(t, s.d, scenarioAlice, NewAppPassword{Name: "phone", Scopes: []Scope{s.service.scope()}})
	other := appPasswordOf(t, s.d, scenarioAlice, NewAppPassword{Name: "other", Scopes: []Scope{ScopeWeb}})
	for range 2 {
		s.by(everyMechanism, "app password", scenarioAlice, phone, scenarioAlice)
		s.by(everyMechanism, "app password of another scope", scenarioAlice, other, "scope")
		s.by(everyMechanism, "wrong one", scenarioAlice, "wrong", "wrong")
		s.by(everyMechanism, "main password beside it", scenarioAlice, "changed", scenarioAlice)
	}
	must(t, s.d.RevokeAppPassword(t.Context(), alice, "phone"))
	s.by(everyMechanism, "revoked", scenarioAlice, phone, "wrong")
	s.by(everyMechanism, "main password after it", scenarioAlice, "changed", scenarioAlice)
	must(t, s.d.RevokeAppPassword(t.Context(), alice, "other"))
}

func (s *scenario) policy() {
	t, alice := s.t, addr(s.t, scenarioAlice)
	require := func(r Requirement) { must(t, s.d.SetRequirement(t.Context(), alice, r)) }
	require(RequireScram)
	s.by(scramMechanisms, "SCRAM is required", scenarioAlice, "changed", scenarioAlice)
	s.by(plainMechanisms, "SCRAM is required", scenarioAlice, "changed", "required")
	s.by(everyMechanism, "SCRAM is required", scenarioAlice, "wrong", "wrong")
	require(RequireScramPlus)
	s.step("-PLUS is required", sasl.ScramSHA256Plus, scenarioAlice, "changed", scenarioAlice)
	s.step("-PLUS is required", sasl.ScramSHA256, scenarioAlice, "changed", "required")
	require(RequireCert)
	s.by(everyMechanism, "a certificate is required", scenarioAlice, "changed", "required")
	require(RequirePlainOK)
	s.by(everyMechanism, "nothing is required", scenarioAlice, "changed", scenarioAlice)
	must(t, s.d.SetPasswordScopes(t.Context(), alice, []Scope{ScopeWeb}))
	s.by(everyMechanism, "for the web alone", scenarioAlice, "changed", "scope")
	must(t, s.d.SetPasswordScopes(t.Context(), alice, Scopes))
	s.by(everyMechanism, "for everything", scenarioAlice, "changed", scenarioAlice)
	must(t, s.d.SetDisabled(t.Context(), alice, true))
	s.by(everyMechanism, "disabled", scenarioAlice, "changed", "disabled")
	must(t, s.d.SetDisabled(t.Context(), alice, false))
	s.by(everyMechanism, "enabled", scenarioAlice, "changed", scenarioAlice)
}
