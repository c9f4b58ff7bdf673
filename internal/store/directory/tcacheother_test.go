package directory

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// TestCacheOthers is T-CACHE by the mechanisms that are not a main password's: those of legacy rules, of client
// certificates and of tokens. Each has a credential of its own, beside the password that PLAIN keeps in the cache.
func TestCacheOthers(t *testing.T) {
	o := others{here: connectTLS(t, newCertificate(t)), certificates: map[string]*x509.Certificate{}}
	for _, who := range []string{scenarioAlice, scenarioBob} {
		o.certificates[who] = newCertificate(t, "x@"+who[:3]+".example.net").Leaf
	}
	var with, without []string
	inBubble(t, func(t *testing.T, d *Directory) { with = o.play(t, d) })
	inBubble(t, func(t *testing.T, d *Directory) {
		d.cache = nil
		without = o.play(t, d)
	})
	if diff := cmp.Diff(without, with); diff != "" {
		t.Errorf("the cache changes outcomes (-without +with):\n%s", diff)
	}
}

// others plays T-CACHE by one mechanism at one service.
type others struct {
	t            *testing.T
	d            *Directory
	here         tlsEnds
	certificates map[string]*x509.Certificate
	service      Service
	mechanism    string
	secrets      map[string]string // the app passwords, by account
	outcomes     []string
}

func (o others) play(t *testing.T, d *Directory) []string {
	o.t, o.d, o.secrets = t, d, map[string]string{}
	d.Throttle([]netip.Prefix{netip.PrefixFrom(testRemote, testRemote.BitLen())}, 0)
	d.SetTokens(testTokens())
	for _, o.mechanism = range []string{sasl.CramMD5, sasl.ScramSHA1, sasl.External, sasl.OAuthBearer, sasl.XOAuth2} {
		if slices.Contains(LegacyMechanisms, o.mechanism) {
			rule := panel(t, d, o.mechanism)
			rule.Accounts = append(rule.Accounts, addr(t, scenarioAlice))
			rule.Until = d.now().Add(100 * 24 * time.Hour)
			d.SetLegacyRules([]LegacyRule{rule}, nil)
		}
		for _, who := range []string{scenarioAlice, scenarioBob} {
			o.give(who)
		}
		for _, o.service = range []Service{Submission, IMAP, POP3} {
			must(t, d.SetPassword(t.Context(), addr(t, scenarioAlice), "alice"))
			o.scenario()
		}
		for _, who := range []string{scenarioAlice, scenarioBob} {
			o.take(who)
		}
	}
	return o.outcomes
}

// give makes what an account logs in with; an issuer's token is there already.
func (o *others) give(who string) {
	o.t.Helper()
	switch {
	case slices.Contains(LegacyMechanisms, o.mechanism):
		o.secrets[who] = appPasswordOf(o.t, o.d, who, NewAppPassword{Name: "panel-1", Legacy: o.mechanism})
	case o.mechanism == sasl.External:
		must(o.t, o.d.AddCertificate(o.t.Context(), addr(o.t, who), NewCertificate{Name: "laptop", Fingerprint: fingerprint(o.certificates[who].Raw)}))
	}
}

func (o *others) take(who string) {
	o.t.Helper()
	switch {
	case slices.Contains(LegacyMechanisms, o.mechanism):
		must(o.t, o.d.RevokeAppPassword(o.t.Context(), addr(o.t, who), "panel-1"))
	case o.mechanism == sasl.External:
		must(o.t, o.d.RemoveCertificate(o.t.Context(), addr(o.t, who), "laptop"))
	}
}

// step logs in under a name with what belongs to an account, and notes the outcome.
func (o *others) step(name, as, with, want string) {
	o.t.Helper()
	var c client
	a := o.here.attempt(o.service, o.mechanism)
	switch o.mechanism {
	case sasl.External:
		a.Peer.ClientCertificate = o.certificates[with]
		c = externalClient(as)
	case sasl.OAuthBearer, sasl.XOAuth2:
		token := "for/" + string(addr(o.t, with).Local) + "/" + string(addr(o.t, with).Domain)
		if with == wrongSecret {
			token = "old"
		}
		c = sasl.NewBearerClient(o.mechanism, as, "mail.example.org", 993, token)
	default:
		secret, ok := o.secrets[with]
		if !ok {
			secret = "wrong"
		}
		c = legacyClient(o.mechanism, as, secret)
	}
	x, err := o.d.StartSASL(o.t.Context(), overTLS(o.t), a)
	got := result(Account{}, err)
	if err == nil {
		got = result(converse(o.t, x, c))
	}
	o.note(name, o.mechanism, as, got, want)
}

// plain logs in by PLAIN.
func (o *others) plain(name, password, want string) {
	o.t.Helper()
	o.note(name, sasl.Plain, scenarioAlice, result(attempt(o.t, o.d, o.here.attempt(o.service, sasl.Plain), scenarioAlice, password)), want)
}

func (o *others) note(name, mechanism, as, got, want string) {
	o.t.Helper()
	o.outcomes = append(o.outcomes, fmt.Sprintf("%s, %s, %s as %s: %s", o.service, name, mechanism, as, got))
	if got != want {
		o.t.Errorf("%s of %s, want %s", o.outcomes[len(o.outcomes)-1], o.mechanism, want)
	}
}

// wrongSecret belongs to nobody.
const wrongSecret = "wrong@example.org"

func (o *others) scenario() {
	const alice, bob = scenarioAlice, scenarioBob
	t, a := o.t, addr(o.t, alice)
	refused := map[string]string{sasl.CramMD5: "wrong", sasl.ScramSHA1: "wrong", sasl.External: "not-offered"}[o.mechanism]
	if refused == "" {
		refused = "token-expired"
	}
	another := map[string]string{sasl.External: "authzid", sasl.OAuthBearer: "authzid", sasl.XOAuth2: "authzid"}[o.mechanism]
	if another == "" {
		another = "wrong"
	}
	o.plain("1", "alice", alice)
	for range 2 {
		o.step("2", alice, alice, alice)
		o.step("3 wrong", alice, wrongSecret, refused)
		o.step("3 right", alice, alice, alice)
	}
	must(t, o.d.SetPassword(t.Context(), a, "changed"))
	o.plain("4 old", "alice", "wrong")
	o.plain("4 new", "changed", alice)
	o.step("4 beside it", alice, alice, alice)
	for _, form := range []string{"Alice", "ALICE@Example.Org"} {
		o.step("5", form, alice, alice)
	}
	o.step("6", bob, bob, bob)
	o.step("6 with the other's", bob, alice, another)
	o.taken(refused)
	o.policy()
}

// taken takes the credential away and gives another one: the old one fails at once, the new one works at once.
func (o *others) taken(refused string) {
	const alice = scenarioAlice
	if o.mechanism == sasl.OAuthBearer || o.mechanism == sasl.XOAuth2 {
		return // the issuer's business, who is asked each time
	}
	old := o.secrets[alice]
	o.take(alice)
	without := "no-verifier"
	if o.mechanism == sasl.External {
		without = refused
	}
	o.step("7 taken away", alice, alice, without)
	o.plain("7 beside it", "changed", alice)
	o.give(alice)
	o.step("7 another", alice, alice, alice)
	if o.mechanism != sasl.External {
		fresh := o.secrets[alice]
		o.secrets[alice] = old
		o.step("7 the old one", alice, alice, "wrong")
		o.secrets[alice] = fresh
	}
	o.step("7 and again", alice, alice, alice)
}

func (o *others) policy() {
	const alice = scenarioAlice
	t, a := o.t, addr(o.t, alice)
	for _, r := range []Requirement{RequireScram, RequireScramPlus, RequireCert, RequirePlainOK} {
		want := alice
		if !r.met(o.mechanism) {
			want = "required"
		}
		must(t, o.d.SetRequirement(t.Context(), a, r))
		o.step("required "+string(r), alice, alice, want)
	}
	must(t, o.d.SetDisabled(t.Context(), a, true))
	o.step("disabled", alice, alice, "disabled")
	o.plain("disabled", "changed", "disabled")
	o.step("another meanwhile", scenarioBob, scenarioBob, scenarioBob)
	must(t, o.d.SetDisabled(t.Context(), a, false))
	o.step("enabled", alice, alice, alice)
	o.plain("enabled", "changed", alice)
}

// TestMechanismsEndAtOnce: an account that is removed, or another that takes its address, logs in by nothing that was the
// first one's, by any mechanism.
func TestMechanismsEndAtOnce(t *testing.T) {
	o := others{here: connectTLS(t, newCertificate(t)), certificates: map[string]*x509.Certificate{scenarioAlice: newCertificate(t, "x@example.net").Leaf}, service: IMAP}
	inBubble(t, func(t *testing.T, d *Directory) {
		o.t, o.d, o.secrets = t, d, map[string]string{}
		rules := make([]LegacyRule, 0, len(LegacyMechanisms))
		for i, m := range LegacyMechanisms {
			rule := panel(t, d, m)
			rule.ID, rule.Credential, rule.Accounts = m, m, []mail.Address{addr(t, scenarioAlice)}
			rules = append(rules, rule)
			o.secrets[m] = appPasswordOf(t, d, scenarioAlice, NewAppPassword{Name: LegacyMechanisms[i], Legacy: m})
		}
		d.SetLegacyRules(rules, nil)
		o.mechanism = sasl.External
		o.give(scenarioAlice)
		all := func(step string, want map[string]string) {
			t.Helper()
			for _, o.mechanism = range []string{sasl.CramMD5, sasl.ScramSHA1, sasl.External} {
				o.secrets[scenarioAlice] = o.secrets[o.mechanism]
				o.step(step, scenarioAlice, scenarioAlice, want[o.mechanism])
			}
			o.plain(step, "alice", want[sasl.Plain])
		}
		const in = scenarioAlice
		all("at first", map[string]string{sasl.CramMD5: in, sasl.ScramSHA1: in, sasl.External: in, sasl.Plain: in})
		must(t, second(d.RemoveAccount(t.Context(), addr(t, scenarioAlice), nil)))
		all("removed", map[string]string{sasl.CramMD5: "unknown", sasl.ScramSHA1: "unknown", sasl.External: "not-offered", sasl.Plain: "unknown"})
		must(t, second(d.AddAccount(t.Context(), addr(t, scenarioAlice), "another")))
		all("another", map[string]string{sasl.CramMD5: "no-verifier", sasl.ScramSHA1: "no-verifier", sasl.External: "not-offered", sasl.Plain: "wrong"})
	})
}
