package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xdg-go/scram"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

var testRemote = netip.MustParseAddr("198.51.100.9")

// client is the client's end of a SASL mechanism.
type client interface {
	Start() []byte
	Next(challenge []byte) ([]byte, error)
	Finish() error
}

func newClient(mechanism, login, password string) client {
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainClient(login, []byte(password))
	case sasl.Login:
		return sasl.NewLoginClient(login, []byte(password))
	case sasl.ScramSHA256:
		return newPeer(login, password)
	}
	return nil
}

// peer is another implementation's SCRAM client. It remembers the keys of a password, without which
// most of the tests' time would go into deriving them.
type peer struct{ *scram.ClientConversation }

var peers sync.Map // "login password" to *scram.Client

func newPeer(login, password string) peer {
	return peer{knownPeer(login, password).NewConversation()}
}

// newBoundPeer is newPeer for a client that is bound to the channel of an attempt.
func newBoundPeer(t testing.TB, a Attempt, login, password string) peer {
	t.Helper()
	binding, err := scram.NewTLSExporterBinding(a.Peer.TLS)
	must(t, err)
	return peer{knownPeer(login, password).NewConversationWithChannelBinding(binding)}
}

func knownPeer(login, password string) *scram.Client {
	name := login + " " + password
	p, ok := peers.Load(name)
	if !ok {
		made, err := scram.SHA256.NewClient(login, password, "")
		if err != nil {
			panic(err)
		}
		p, _ = peers.LoadOrStore(name, made)
	}
	return p.(*scram.Client)
}

func (p peer) Start() []byte {
	first, err := p.Step("")
	if err != nil {
		panic(err)
	}
	return []byte(first)
}

func (p peer) Next(challenge []byte) ([]byte, error) {
	response, err := p.Step(string(challenge))
	return []byte(response), err
}

func (p peer) Finish() error {
	if !p.Valid() {
		return errors.New("the server has not proved itself")
	}
	return nil
}

// command is the name by which tests log in without SASL, as IMAP's LOGIN and POP3's USER do.
const command = "IMAP-LOGIN"

var allMechanisms = []string{sasl.ScramSHA256, sasl.Plain, sasl.Login, command}

func testAttempt(s Service, mechanism string) Attempt {
	return Attempt{Service: s, Mechanism: mechanism, Peer: mail.Peer{Remote: netip.AddrPortFrom(testRemote, 4711)}}
}

// login logs in by a mechanism or by command.
func login(t testing.TB, d *Directory, s Service, mechanism, name, password string) (Account, error) {
	t.Helper()
	return attempt(t, d, testAttempt(s, mechanism), name, password)
}

// attempt makes one attempt to log in.
func attempt(t testing.TB, d *Directory, a Attempt, name, password string) (Account, error) {
	t.Helper()
	if a.Mechanism == command {
		return d.Login(context.Background(), overTLS(t), a, name, []byte(password))
	}
	x, err := d.StartSASL(context.Background(), overTLS(t), a)
	if err != nil {
		return Account{}, err
	}
	if a.Mechanism == sasl.ScramSHA256Plus {
		return converse(t, x, newBoundPeer(t, a, name, password))
	}
	return converse(t, x, newClient(a.Mechanism, name, password))
}

// converse runs an exchange to its end.
func converse(t testing.TB, x *Exchange, c client) (Account, error) {
	t.Helper()
	response := c.Start()
	for {
		challenge, done, err := x.Next(context.Background(), response)
		if err != nil {
			return Account{}, err
		}
		if challenge != nil {
			if response, err = c.Next(challenge); err != nil {
				return Account{}, x.BrokenOff(err)
			}
		}
		if done {
			return x.Account(), c.Finish()
		}
	}
}

// result tells how a login went: the account, or the reason against it.
func result(a Account, err error) string {
	if err == nil {
		return a.Address.String()
	}
	if r := Reason(err); r != "" {
		return r
	}
	return mail.AsError(err).Kind.String()
}

// inBubble runs a test in virtual time, so that refusals cost none.
func inBubble(t *testing.T, f func(t *testing.T, d *Directory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, withPasswords(t))
	})
}

// withPasswords returns a directory of two domains in which the accounts' passwords are their names.
func withPasswords(t testing.TB) *Directory {
	d := open(t, newMemDB(), Options{Cost: cheap})
	must(t, d.AddDomain(t.Context(), "example.org"))
	must(t, d.AddDomain(t.Context(), "xn--bcher-kva.example"))
	for _, a := range []string{"alice@example.org", "bob@example.org", "both@example.org", "both@bücher.example", "jürgen@bücher.example", "off@example.org"} {
		_, err := d.AddAccount(t.Context(), addr(t, a), string(addr(t, a).Local))
		must(t, err)
	}
	must(t, d.SetDisabled(t.Context(), addr(t, "off@example.org"), true))
	alias(t, d, "ally@example.org", "alice@example.org")
	alias(t, d, "al@example.org", "ally@example.org")
	alias(t, d, "all@example.org", "alice@example.org", "bob@example.org")
	alias(t, d, "*@example.org", "alice@example.org")
	return d
}

func TestLogin(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		for _, c := range []struct{ name, login, password, want string }{
			{"address", "alice@example.org", "alice", "alice@example.org"},
			{"another case", "ALICE@Example.ORG", "alice", "alice@example.org"},
			{"bare name", "alice", "alice", "alice@example.org"},
			{"bare name in another case", "Alice", "alice", "alice@example.org"},
			{"U-label", "jürgen@bücher.example", "jürgen", "jürgen@xn--bcher-kva.example"},
			{"A-label", "JÜRGEN@XN--BCHER-KVA.example", "jürgen", "jürgen@xn--bcher-kva.example"},
			{"decomposed", "ju\u0308rgen", "ju\u0308rgen", "jürgen@xn--bcher-kva.example"},
			{"bare name of two", "both", "both", "unknown"},
			{"one of two", "both@example.org", "both", "both@example.org"},
			{"wrong password", "alice@example.org", "Alice", "wrong"},
			{"password of another", "alice@example.org", "bob", "wrong"},
			{"password that cannot be one", "alice@example.org", "a\tb", "wrong"},
			{"unknown", "carol@example.org", "alice", "unknown"},
			{"unknown domain", "alice@example.net", "alice", "unknown"},
			{"alias", "Ally@example.org", "alice", "alice@example.org"},
			{"alias and wrong", "ally@example.org", "bob", "wrong"},
			{"alias of two", "all@example.org", "alice", "unknown"},
			{"catch-all", "*@example.org", "alice", "unknown"},
			{"alias of an alias", "al@example.org", "alice", "unknown"},
			{"detail", "alice+x@example.org", "alice", "unknown"},
			{"without a password", "postmaster@example.org", "x", "no-verifier"},
			{"disabled", "off@example.org", "off", "disabled"},
			{"disabled and wrong", "off@example.org", "on", "wrong"},
			{"not an address", "a@b@c", "alice", "unknown"},
			{"long", strings.Repeat("a", maxLogin+1), "alice", "unknown"},
		} {
			for _, m := range allMechanisms {
				if m == sasl.ScramSHA256 && strings.Contains(c.password, "\t") {
					continue // no client can prepare it
				}
				if got := result(login(t, d, IMAP, m, c.login, c.password)); got != c.want {
					t.Errorf("%s by %s: %s, want %s", c.name, m, got, c.want)
				}
			}
		}
		if _, err := d.Login(t.Context(), overTLS(t), Attempt{}, "alice", nil); Reason(err) != "wrong" {
			t.Errorf("no password: %v", err)
		}
		if _, err := d.Login(t.Context(), overTLS(t), Attempt{}, "ali\xff", []byte("alice")); Reason(err) != "unknown" {
			t.Errorf("a name that is not UTF-8: %v", err)
		}
	})
}

// TestRefusalsAreAlike: kind, status and text of a refusal are one for all causes.
func TestRefusalsAreAlike(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		for _, m := range allMechanisms {
			for _, c := range [][2]string{
				{"alice", "wrong"},
				{"carol", "x"},
				{"off@example.org", "off"},
				{"off@example.org", "x"},
				{"postmaster@example.org", "x"},
				{"@", "x"},
			} {
				_, err := login(t, d, IMAP, m, c[0], c[1])
				e := mail.AsError(err)
				if e.Kind != mail.AuthFailed || e.Text != "Authentication failed" || e.Status != (mail.Status{Class: 5, Subject: 7, Detail: 8}) {
					t.Errorf("%s as %s: %v %v %q", m, c[0], e.Kind, e.Status, e.Text)
				}
			}
		}
		x, err := d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.Plain))
		must(t, err)
		_, _, err = x.Next(t.Context(), []byte("bob\x00alice@example.org\x00alice"))
		if Reason(err) != "authzid" || mail.AsError(err).Text != "Authentication failed" {
			t.Errorf("PLAIN for somebody else: %v", err)
		}
	})
}

// TestRefusalTime: a refusal takes 300 to 400 ms, a success none.
func TestRefusalTime(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		for _, m := range allMechanisms {
			for _, c := range [][2]string{{"alice", "wrong"}, {"carol", "x"}, {"off@example.org", "off"}, {"postmaster@example.org", "x"}, {"alice", "alice"}} {
				started := time.Now()
				_, err := login(t, d, IMAP, m, c[0], c[1])
				took := time.Since(started)
				if err == nil && took != 0 || err != nil && (took < refusalTime || took >= refusalTime+refusalJitter) {
					t.Errorf("%s as %s: %v after %v", m, c[0], err, took)
				}
			}
		}
	})
}

// TestRefusalEndsWithCaller: nobody waits for a refusal that no one will hear.
func TestRefusalEndsWithCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		started := time.Now()
		_, err := d.Login(ctx, overTLS(t), Attempt{}, "alice", []byte("wrong"))
		if took := time.Since(started); Reason(err) != "wrong" || took != 50*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// TestEqualWork measures what a check costs before the delay hides it. It looks at the quickest try
// for each cause, since only slower ones owe anything to what else the machine does, and goes on until
// each has had a quick one.
func TestEqualWork(t *testing.T) {
	d := open(t, newMemDB(), Options{Cost: Cost{Memory: defaultMemory / 4}})
	must(t, d.AddDomain(t.Context(), "example.org"))
	for _, a := range []string{"alice@example.org", "off@example.org", "apps@example.org"} {
		_, err := d.AddAccount(t.Context(), addr(t, a), "secret")
		must(t, err)
	}
	_, err := d.AddAccount(t.Context(), addr(t, "programs@example.org"), "")
	must(t, err)
	must(t, d.SetDisabled(t.Context(), addr(t, "off@example.org"), true))
	for i := range 8 { // of an account with a main password, and of one without
		appPasswordOf(t, d, "apps@example.org", NewAppPassword{Name: fmt.Sprint(i)})
		appPasswordOf(t, d, "programs@example.org", NewAppPassword{Name: fmt.Sprint(i)})
	}
	names := []string{"alice", "carol", "off", "postmaster", "apps", "programs"}
	quickest := slices.Repeat([]time.Duration{time.Hour}, len(names))
	for try := range 200 {
		for i, name := range names {
			started := time.Now()
			_, err := d.checkPassword(t.Context(), overTLS(t), Attempt{}, name, []byte("wrong"))
			quickest[i] = min(quickest[i], time.Since(started))
			wantKind(t, name, err, mail.AuthFailed)
		}
		if least, most := slices.Min(quickest), slices.Max(quickest); try >= 25 && most-least <= most/4 {
			return
		}
	}
	t.Errorf("the quickest tries of %v are %v", names, quickest)
}

func TestNoProofOfEncryption(t *testing.T) {
	var logged bytes.Buffer
	d := open(t, newMemDB(), Options{Cost: cheap, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	must(t, d.AddDomain(t.Context(), "example.org"))
	_, err := d.AddAccount(t.Context(), addr(t, "alice@example.org"), "secret")
	must(t, err)
	var none mail.Encrypted
	if a, err := d.Login(t.Context(), none, testAttempt(IMAP, command), "alice", []byte("secret")); !mail.IsKind(err, mail.NeedTLS) || a.ID != 0 {
		t.Errorf("Login without a proof: %+v, %v", a, err)
	}
	for _, m := range mechanisms {
		if x, err := d.StartSASL(t.Context(), none, testAttempt(IMAP, m)); !mail.IsKind(err, mail.NeedTLS) || x != nil {
			t.Errorf("StartSASL by %s without a proof: %v", m, err)
		}
	}
	if got, want := d.Stats().Unencrypted, uint64(1+len(mechanisms)); got != want {
		t.Errorf("%d alarms counted, want %d", got, want)
	}
	if strings.Count(logged.String(), "level=ERROR") != 1+len(mechanisms) || strings.Contains(logged.String(), "secret") {
		t.Errorf("logged %q", logged.String())
	}
}

// TestMechanisms is rule A-1: what one enabled account with a password cannot use is not offered.
func TestMechanisms(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		all, fewer := []string{"SCRAM-SHA-256", "PLAIN", "LOGIN"}, []string{"PLAIN", "LOGIN"}
		check := func(step string, want []string) {
			t.Helper()
			for _, s := range []Service{Submission, IMAP, POP3} {
				if got := d.Mechanisms(Attempt{Service: s}); !slices.Equal(got, want) {
					t.Errorf("%s: %s offers %v, want %v", step, s, got, want)
				}
			}
		}
		alice, ctx := addr(t, "alice@example.org"), t.Context()
		check("all have keys; postmaster has no password", all)
		must(t, withoutScram(ctx, d, alice))
		check("one has none", fewer)
		if got := d.Stats(); got.WithoutScram != 1 || got.WithPassword != 5 {
			t.Errorf("%+v", got)
		}
		_, err := d.StartSASL(ctx, overTLS(t), testAttempt(IMAP, sasl.ScramSHA256))
		wantKind(t, "starting what is not offered", err, mail.Unsupported)
		must(t, d.SetDisabled(ctx, alice, true))
		check("it is disabled", all)
		must(t, d.SetDisabled(ctx, alice, false))
		check("it is enabled", fewer)
		must(t, d.SetPassword(ctx, alice, "new"))
		check("it has a new password", all)
		must(t, withoutScram(ctx, d, alice))
		_, err = d.RemoveAccount(ctx, alice, nil)
		must(t, err)
		check("it is removed", all)
		for _, m := range []string{"CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", ""} {
			_, err := d.StartSASL(ctx, overTLS(t), testAttempt(IMAP, m))
			wantKind(t, m, err, mail.Unsupported)
		}
		d.Mechanisms(Attempt{Service: IMAP})[0] = "changed"
		check("a caller has changed its copy", all)
	})
}

// TestScramHidesWhoExists: the first answer of SCRAM is of one shape for all names, the same each
// time, and stays the same when an account comes or goes.
func TestScramHidesWhoExists(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		challenge := func(name string) string {
			x, err := d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.ScramSHA256))
			must(t, err)
			c, _, err := x.Next(t.Context(), []byte("n,,n="+name+",r=abc"))
			must(t, err)
			_, after, _ := strings.Cut(string(c), ",")
			return after
		}
		for _, name := range []string{"alice", "carol", "off", "postmaster", "both", "alice@example.net", "ally@example.org", "a@b@c"} {
			c := challenge(name)
			var salt string
			if n, err := fmt.Sscanf(c, "s=%24s", &salt); n != 1 || err != nil || c != "s="+salt+",i=65536" {
				t.Errorf("%s: challenge %q", name, c)
			}
			if again := challenge(name); again != c {
				t.Errorf("%s: challenge %q, then %q", name, c, again)
			}
		}
		if challenge("ALICE@example.org") != challenge("alice") || challenge("CAROL") != challenge("carol") {
			t.Error("the form of a name shows whether it exists")
		}
		if c := challenge("carol"); c != challenge("carol@example.org") && c != challenge("carol@bücher.example") {
			t.Error("a bare unknown name is in no domain, as no known one is")
		}
		if challenge("ally@example.org") != challenge("alice@example.org") {
			t.Error("an alias has not the salt of its account")
		}
		before := challenge("carol@example.org")
		_, err := d.AddAccount(t.Context(), addr(t, "carol@example.org"), "x")
		must(t, err)
		if after := challenge("carol@example.org"); after != before {
			t.Error("making an account shows")
		}
		must(t, d.SetPassword(t.Context(), addr(t, "carol@example.org"), "y"))
		if after := challenge("carol@example.org"); after != before {
			t.Error("changing a password shows")
		}
	})
}

// TestScramLastWord: what comes along with a refusal does not tell why.
func TestScramLastWord(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		for _, c := range [][2]string{{"alice", "wrong"}, {"carol", "x"}, {"off@example.org", "off"}, {"postmaster@example.org", "x"}} {
			x, err := d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.ScramSHA256))
			must(t, err)
			client := sasl.NewScramClient(sasl.ScramSHA256, nil, c[0], []byte(c[1]))
			challenge, _, err := x.Next(t.Context(), client.Start())
			must(t, err)
			final, err := client.Next(challenge)
			must(t, err)
			last, done, err := x.Next(t.Context(), final)
			if last != nil || done || err == nil || x.Account().ID != 0 {
				t.Errorf("%s: %q, %v, %v, account %+v", c[0], last, done, err, x.Account())
			}
			if x.Login() != c[0] {
				t.Errorf("%s: Login is %q", c[0], x.Login())
			}
			if _, done, err = x.Next(t.Context(), final); done || !mail.IsKind(err, mail.Sequence) {
				t.Errorf("%s: the exchange goes on: %v, %v", c[0], done, err)
			}
		}
	})
}

// TestAuthzid: who has proved to be an account may name it in any form, and no other account.
func TestAuthzid(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		d.Throttle([]netip.Prefix{netip.PrefixFrom(testRemote, testRemote.BitLen())}, 0)
		for _, c := range []struct{ authzid, authcid, password, want string }{
			{"alice@example.org", "alice", "alice", "alice@example.org"},
			{"ALICE", "alice@example.org", "alice", "alice@example.org"},
			{"ally@example.org", "alice", "alice", "alice@example.org"},
			{"alice", "Ally@Example.org", "alice", "alice@example.org"},
			{"bob@example.org", "alice", "alice", "authzid"},
			{"carol@example.org", "alice", "alice", "authzid"},
			{"a@b@c", "alice", "alice", "authzid"},
			{"alice", "alice", "bob", "wrong"},
			{"bob", "alice", "wrong", "wrong"},
			{"carol", "carol", "x", "unknown"},
			{"off@example.org", "off@example.org", "off", "disabled"},
		} {
			x, err := d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.Plain))
			must(t, err)
			_, _, err = x.Next(t.Context(), []byte(c.authzid+"\x00"+c.authcid+"\x00"+c.password))
			if got := result(x.Account(), err); got != c.want {
				t.Errorf("PLAIN as %s by %s: %s, want %s", c.authzid, c.authcid, got, c.want)
			}
			x, err = d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.ScramSHA256))
			must(t, err)
			client, err := scram.SHA256.NewClient(c.authcid, c.password, c.authzid)
			must(t, err)
			if got := result(converse(t, x, peer{client.NewConversation()})); got != c.want {
				t.Errorf("SCRAM as %s by %s: %s, want %s", c.authzid, c.authcid, got, c.want)
			}
		}
	})
}

func TestBindingUnderBareName(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		x, err := d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.ScramSHA256))
		must(t, err)
		told, _, err := x.Next(t.Context(), []byte("p=tls-exporter,,n=alice,r=abc"))
		must(t, err)
		if _, _, err = x.Next(t.Context(), []byte{}); Reason(err) != "cb-mismatch" || string(told) != "e=channel-bindings-dont-match" {
			t.Errorf("%q, %v, reason %q", told, err, Reason(err))
		}
	})
}

func TestResponseIsWiped(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		x, err := d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.Plain))
		must(t, err)
		response := []byte("\x00alice\x00alice")
		if _, done, err := x.Next(t.Context(), response); !done || err != nil {
			t.Fatalf("%v, %v", done, err)
		}
		if len(bytes.Trim(response, "\x00")) > 0 {
			t.Errorf("the response is left as %q", response)
		}
		password := []byte("alice")
		_, err = d.Login(t.Context(), overTLS(t), Attempt{}, "alice", password)
		if err != nil || string(password) != "alice" {
			t.Errorf("the caller's password became %q, %v", password, err)
		}
	})
}

// TestCacheLosesRemoved: a removed account's password does not open its successor.
func TestCacheLosesRemoved(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		alice := addr(t, "alice@example.org")
		if got := result(login(t, d, IMAP, command, "alice", "alice")); got != "alice@example.org" {
			t.Fatal(got)
		}
		_, err := d.RemoveAccount(t.Context(), alice, nil)
		must(t, err)
		if got := result(login(t, d, IMAP, command, "alice", "alice")); got != "unknown" {
			t.Errorf("removed: %s", got)
		}
		_, err = d.AddAccount(t.Context(), alice, "another")
		must(t, err)
		for _, m := range allMechanisms {
			if got := result(login(t, d, IMAP, m, "alice", "alice")); got != "wrong" {
				t.Errorf("the old password by %s: %s", m, got)
			}
		}
	})
}

// TestForgetLogins: a new epoch makes every password be hashed again.
func TestForgetLogins(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		for range 2 {
			_, err := login(t, d, IMAP, command, "alice", "alice")
			must(t, err)
		}
		if got := d.Stats(); got.CacheHits != 1 {
			t.Errorf("%d hits, want 1", got.CacheHits)
		}
		must(t, d.ForgetLogins(t.Context()))
		_, err := login(t, d, IMAP, command, "alice", "alice")
		must(t, err)
		if got := d.Stats(); got.CacheHits != 1 || got.CacheMisses != 2 {
			t.Errorf("%d hits and %d misses, want 1 and 2", got.CacheHits, got.CacheMisses)
		}
	})
}

// TestChangeDuringLogin holds a verification at the hashing and changes the password meanwhile.
func TestChangeDuringLogin(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		alice := addr(t, "alice@example.org")
		prepared := []byte("changed")
		fresh := d.newVerifiers(d.state.addresses[alice].Salt, prepared)
		free := occupy(t, d)
		results := make(chan string, 2)
		for _, password := range []string{"alice", "changed"} {
			go func() {
				results <- password + " " + result(login(t, d, IMAP, command, "alice", password))
			}()
		}
		synctest.Wait() // both wait for a worker, with the old verifiers in hand
		must(t, d.edit(t.Context(), alice, func(a *account) (*account, error) {
			c := *a.main()
			c.Generation++
			c.Verifiers = fresh
			return a.with(c), nil
		}))
		free()
		got := []string{<-results, <-results}
		slices.Sort(got)
		// The new password was wrong by what its login had read; only the old one's may not win.
		if got[0] != "alice wrong" {
			t.Errorf("a login that began before the change: %v", got)
		}
	})
}

// TestChangeDuringScram changes the password between the two messages of an exchange.
func TestChangeDuringScram(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		x, err := d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.ScramSHA256))
		must(t, err)
		client := newClient(sasl.ScramSHA256, "alice", "alice")
		challenge, _, err := x.Next(t.Context(), client.Start())
		must(t, err)
		final, err := client.Next(challenge)
		must(t, err)
		must(t, d.SetPassword(t.Context(), addr(t, "alice@example.org"), "changed"))
		last, done, err := x.Next(t.Context(), final)
		if Reason(err) != "wrong" || done || last != nil || x.Account().ID != 0 {
			t.Errorf("the old password was taken: %q, %v, %v", last, done, err)
		}
	})
}

// TestConcurrentChanges logs in while the password changes: once SetPassword has returned, the one
// before is refused, and the new one works at once.
func TestConcurrentChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		alice := addr(t, "alice@example.org")
		password := func(i int64) string { return fmt.Sprintf("password %d", i) }
		must(t, d.SetPassword(t.Context(), alice, password(0)))
		var settled atomic.Int64
		var wg sync.WaitGroup
		for range 2 {
			for _, m := range []string{sasl.ScramSHA256, command} {
				wg.Go(func() {
					for settled.Load() < 10 {
						i := settled.Load()
						if i > 0 {
							if got := result(login(t, d, IMAP, m, "alice", password(i-1))); got != "wrong" {
								t.Errorf("%s: password %d after %d was set: %s", m, i-1, i, got)
							}
						}
						i = settled.Load()
						// It may have been changed again meanwhile, but nothing else can be the matter.
						if got := result(login(t, d, IMAP, m, "alice", password(i))); got != alice.String() && got != "wrong" {
							t.Errorf("%s: password %d: %s", m, i, got)
						}
						if got := result(login(t, d, IMAP, m, "bob", "bob")); got != "bob@example.org" {
							t.Errorf("%s: another's login meanwhile: %s", m, got)
						}
						time.Sleep(time.Millisecond)
					}
				})
			}
		}
		for i := range int64(10) {
			must(t, d.SetPassword(t.Context(), alice, password(i+1)))
			settled.Store(i + 1)
			for _, m := range allMechanisms {
				if got := result(login(t, d, IMAP, m, "alice", password(i+1))); got != alice.String() {
					t.Errorf("%s: password %d at once: %s", m, i+1, got)
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
		wg.Wait()
	})
}

func TestTooBusy(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		free := occupy(t, d)
		var wg sync.WaitGroup
		for range maxWaiting {
			wg.Go(func() {
				if got := result(login(t, d, IMAP, command, "alice", "alice")); got != "alice@example.org" {
					t.Errorf("one that waited: %s", got)
				}
			})
		}
		synctest.Wait()
		if got := d.Stats().Waiting; got != maxWaiting {
			t.Errorf("%d wait, want %d", got, maxWaiting)
		}
		started := time.Now()
		_, err := login(t, d, IMAP, command, "alice", "alice")
		wantKind(t, "one too many", err, mail.Unavailable)
		if took := time.Since(started); took != 0 || d.Stats().Busy != 1 {
			t.Errorf("it was turned away after %v; %d counted", took, d.Stats().Busy)
		}
		free()
		wg.Wait()
		free = occupy(t, d)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = d.Login(ctx, overTLS(t), Attempt{}, "bob", []byte("bob"))
		wantKind(t, "one whose time is over", err, mail.Unavailable)
		free()
	})
}

// TestRaisedCost: a password is hashed again at its next login when the cost was raised.
func TestRaisedCost(t *testing.T) {
	db := newMemDB()
	d := open(t, db, Options{Cost: cheap})
	must(t, d.AddDomain(t.Context(), "example.org"))
	alice := addr(t, "alice@example.org")
	_, err := d.AddAccount(t.Context(), alice, "secret")
	must(t, err)
	d.Close()
	d = open(t, db, Options{Cost: Cost{Memory: 16, Passes: 2}})
	for range 2 {
		_, err = login(t, d, IMAP, command, "alice", "secret")
		must(t, err)
	}
	d.Close()
	d = open(t, db, Options{Cost: Cost{Memory: 16, Passes: 1}})
	_, err = login(t, d, IMAP, sasl.ScramSHA256, "alice", "secret")
	must(t, err)
	c := d.state.addresses[alice].main()
	if got := c.Verifiers.Argon2id.Cost; got != (Cost{16, 2}) || c.Generation != 2 {
		t.Errorf("kept at cost %+v in generation %d, want 16 KiB and 2 passes in generation 2", got, c.Generation)
	}
}

func TestLastUse(t *testing.T) {
	db := newMemDB()
	now := time.Date(2026, 9, 1, 10, 42, 17, 0, time.UTC)
	d := open(t, db, Options{Cost: cheap, Now: func() time.Time { return now }})
	must(t, d.AddDomain(t.Context(), "example.org"))
	alice := addr(t, "alice@example.org")
	_, err := d.AddAccount(t.Context(), alice, "secret")
	must(t, err)
	used := func(d *Directory) LastUse {
		all, err := d.Credentials(t.Context(), alice)
		must(t, err)
		if len(all) != 1 || all[0].ID != 1 || all[0].Kind != "main" || !slices.Equal(all[0].Verifiers, []string{"argon2id", "scram-sha-256"}) {
			t.Fatalf("credentials: %+v", all)
		}
		return all[0].LastUsed
	}
	if got := used(d); got != (LastUse{}) {
		t.Errorf("before any login: %+v", got)
	}
	_, err = login(t, d, IMAP, sasl.ScramSHA256, "alice", "secret")
	must(t, err)
	want := LastUse{now.Truncate(time.Hour), netip.MustParsePrefix("198.51.100.0/24"), IMAP, "SCRAM-SHA-256"}
	if got := used(d); got != want {
		t.Errorf("after a login: %+v, want %+v", got, want)
	}
	d.Close()
	d = open(t, db, Options{Cost: cheap, Now: func() time.Time { return now }})
	if got := used(d); got != want {
		t.Errorf("after opening again: %+v, want %+v", got, want)
	}
	_, err = login(t, d, POP3, command, "alice", "secret")
	must(t, err)
	d.Close()
	if got := used(d); got != want {
		t.Errorf("a second login in the hour was noted: %+v", got)
	}
}

func TestUseOfRemovedIsForgotten(t *testing.T) {
	d := withPasswords(t)
	_, err := login(t, d, IMAP, command, "alice", "alice")
	must(t, err)
	batch := d.uses.take()
	if len(batch) != 1 {
		t.Fatalf("%d uses to write, want 1", len(batch))
	}
	a, err := d.RemoveAccount(t.Context(), addr(t, "alice@example.org"), nil)
	must(t, err)
	tx := &memTx{rows: d.db.(*memDB).rows}
	must(t, setUses(tx, batch))
	for k := range tx.rows {
		if strings.HasPrefix(k, string(usePrefix(a.ID))) {
			t.Errorf("%q was written for an account that is gone", k)
		}
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"198.51.100.9": "198.51.100.0/24", "::ffff:198.51.100.9": "198.51.100.0/24", "2001:db8:1:2::3": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48",
	} {
		if got := network(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("network(%s) = %s, want %s", in, got, want)
		}
	}
	if got := network(netip.Addr{}); got.IsValid() {
		t.Errorf("network of no address = %s", got)
	}
}

func TestStats(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		_, _ = login(t, d, IMAP, command, "alice", "alice")
		_, _ = login(t, d, IMAP, command, "alice", "alice")
		_, _ = login(t, d, IMAP, command, "alice", "wrong")
		_, _ = login(t, d, IMAP, sasl.Plain, "carol", "wrong")
		want := Stats{
			Domains: 2, Accounts: 7, Aliases: 4, WithPassword: 5,
			Asked: 4, Logins: 2, WrongLogins: 2, Refused: map[string]uint64{"wrong": 1, "unknown": 1}, CacheEntries: 1, CacheHits: 1, CacheMisses: 2,
			ClearCredentials: newSightings().counts,
		}
		if diff := cmp.Diff(want, d.Stats()); diff != "" {
			t.Errorf("Stats (-want +got):\n%s", diff)
		}
	})
}
