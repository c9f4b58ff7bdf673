package directory

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// tlsEnds are the two ends of a TLS connection.
type tlsEnds struct {
	client *tls.ConnectionState
	server mail.Peer
}

// newCertificate makes a self-signed certificate with an ECDSA key.
func newCertificate(t testing.TB, emails ...string) tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	if len(emails) > 0 { // of a client: the key does not matter
		return certificateOf(t, public, private, emails...)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return certificateOf(t, key.Public(), key)
}

func certificateOf(t testing.TB, public, private any, emails ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.org"}, EmailAddresses: emails,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}
}

// connectTLS makes a connection to who has cert.
func connectTLS(t testing.TB, cert tls.Certificate, change ...func(*tls.Config)) tlsEnds {
	t.Helper()
	c, s := net.Pipe()
	defer c.Close()
	defer s.Close()
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec
	for _, f := range change {
		f(config)
	}
	client := tls.Client(c, config)
	server := tls.Server(s, &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true}) //nolint:gosec
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	must(t, client.Handshake())
	must(t, <-done)
	theirs, ours := client.ConnectionState(), server.ConnectionState()
	return tlsEnds{&theirs, mail.Peer{TLS: &ours, Certificate: cert.Leaf}}
}

// attempt is one over the connection.
func (e *tlsEnds) attempt(s Service, mechanism string) Attempt {
	a := testAttempt(s, mechanism)
	remote := a.Peer.Remote
	a.Peer = e.server
	a.Peer.Remote = remote
	return a
}

// channel is the client's.
func (e *tlsEnds) channel() *sasl.Channel {
	return sasl.NewChannel(e.client, e.client.PeerCertificates[0])
}

// over logs in as alice by SCRAM over the connection.
func over(t testing.TB, d *Directory, mechanism string, e tlsEnds, c client) (*Exchange, string) {
	t.Helper()
	x, err := d.StartSASL(context.Background(), overTLS(t), e.attempt(IMAP, mechanism))
	if err != nil {
		return nil, result(Account{}, err)
	}
	return x, result(converse(t, x, c))
}

func TestPlusIsOffered(t *testing.T) {
	d := withPasswords(t)
	here := connectTLS(t, newCertificate(t))
	for _, s := range []Service{Submission, IMAP, POP3} {
		want := []string{sasl.ScramSHA256Plus, sasl.ScramSHA256, sasl.Plain, sasl.Login}
		if got := d.Mechanisms(here.attempt(s, "")); !slices.Equal(got, want) {
			t.Errorf("over TLS at %s: %q, want %q", s, got, want)
		}
		if got := d.Mechanisms(testAttempt(s, "")); !slices.Equal(got, want[1:]) {
			t.Errorf("behind a proxy at %s: %q, want %q", s, got, want[1:])
		}
	}
	must(t, withoutScram(t.Context(), d, addr(t, "alice@example.org")))
	if got, want := d.Mechanisms(here.attempt(IMAP, "")), []string{sasl.Plain, sasl.Login}; !slices.Equal(got, want) {
		t.Errorf("with an account without keys: %q, want %q", got, want)
	}
	if _, got := over(t, d, sasl.ScramSHA256Plus, here, nil); got != "not-offered" {
		t.Errorf("with an account without keys: %s", got)
	}
}

// TestBoundLogin is the specification, section 9.3, at the verifier; with somebody between.
func TestBoundLogin(t *testing.T) {
	cert := newCertificate(t)
	here, elsewhere := connectTLS(t, cert), connectTLS(t, cert)
	between := connectTLS(t, newCertificate(t)) // with a false certificate
	old := connectTLS(t, cert, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	inBubble(t, func(t *testing.T, d *Directory) {
		bound := func(channel *sasl.Channel, password string) client {
			return sasl.NewScramClient(sasl.ScramSHA256Plus, channel, "alice", []byte(password))
		}
		for _, c := range []struct {
			name, mechanism string
			on              tlsEnds
			client          client
			want, binding   string
		}{
			{"exporter", sasl.ScramSHA256Plus, here, bound(here.channel(), "alice"), "alice@example.org", "exporter"},
			{"exporter of TLS 1.2", sasl.ScramSHA256Plus, old, bound(old.channel(), "alice"), "alice@example.org", "exporter"},
			{"end point", sasl.ScramSHA256Plus, here, endPointClient(t, here), "alice@example.org", "endpoint"},
			{"wrong password", sasl.ScramSHA256Plus, here, bound(here.channel(), "wrong"), "wrong", "exporter"},
			{"another connection", sasl.ScramSHA256Plus, here, bound(elsewhere.channel(), "alice"), "cb-mismatch", "exporter"},
			{"X-42: relayed", sasl.ScramSHA256Plus, here, bound(between.channel(), "alice"), "cb-mismatch", "exporter"},
			{"X-42: relayed end point", sasl.ScramSHA256Plus, here, endPointClient(t, between), "cb-mismatch", "endpoint"},
			{"X-38: names removed", sasl.ScramSHA256, here, sasl.NewScramClient(sasl.ScramSHA256, between.channel(), "alice", []byte("alice")), "scram-downgrade-suspected", "none"},
			{"X-38: of who is unknown", sasl.ScramSHA256, here, sasl.NewScramClient(sasl.ScramSHA256, here.channel(), "carol", []byte("x")), "scram-downgrade-suspected", "none"},
			{"X-39: a client that cannot bind", sasl.ScramSHA256, here, sasl.NewScramClient(sasl.ScramSHA256, nil, "alice", []byte("alice")), "alice@example.org", "none"},
		} {
			x, got := over(t, d, c.mechanism, c.on, c.client)
			if got != c.want || x.Binding() != c.binding {
				t.Errorf("%s: %s bound by %s, want %s by %s", c.name, got, x.Binding(), c.want, c.binding)
			}
			if x.Login() == "" {
				t.Errorf("%s: the name is not told", c.name)
			}
		}
		x, err := d.StartSASL(t.Context(), overTLS(t), here.attempt(IMAP, sasl.ScramSHA256Plus))
		must(t, err)
		challenge, _, err := x.Next(t.Context(), []byte("p=tls-unique,,n=alice,r=abc"))
		if string(challenge) != "e=unsupported-channel-binding-type" || err != nil {
			t.Errorf("tls-unique: %q, %v", challenge, err)
		}
		if challenge, _, err = x.Next(t.Context(), []byte{}); challenge != nil || Reason(err) != "cb-unsupported-type" {
			t.Errorf("tls-unique, after the word: %q, %v", challenge, err)
		}
		x, err = d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.ScramSHA256))
		must(t, err)
		if _, _, err = x.Next(t.Context(), []byte("y,,n=alice,r=abc")); err != nil {
			t.Errorf("behind a proxy a client that could bind: %v", err)
		}
		if got := d.Stats().Refused; got["scram-downgrade-suspected"] != 2 || got["cb-mismatch"] != 3 || got["cb-unsupported-type"] != 1 {
			t.Errorf("counted %v", got)
		}
	})
}

// endPointClient binds by the certificate that the client of a connection was shown.
func endPointClient(t testing.TB, e tlsEnds) client {
	t.Helper()
	binding, err := scram.NewTLSServerEndpointBinding(e.client)
	must(t, err)
	made, err := scram.SHA256.NewClient("alice", "alice", "")
	must(t, err)
	return peer{made.NewConversationWithChannelBinding(binding)}
}

// TestReplay is X-41: a proof is good for its exchange alone, and nonces are long and never the same.
func TestReplay(t *testing.T) {
	here := connectTLS(t, newCertificate(t))
	inBubble(t, func(t *testing.T, d *Directory) {
		var challenges, responses [][]byte
		client := sasl.NewScramClient(sasl.ScramSHA256Plus, here.channel(), "alice", []byte("alice"))
		first := client.Start()
		for range 2 {
			x, err := d.StartSASL(t.Context(), overTLS(t), here.attempt(IMAP, sasl.ScramSHA256Plus))
			must(t, err)
			challenge, _, err := x.Next(t.Context(), slices.Clone(first))
			must(t, err)
			challenges = append(challenges, challenge)
			if len(responses) == 0 {
				final, err := client.Next(challenge)
				must(t, err)
				responses = append(responses, final)
				_, done, err := x.Next(t.Context(), slices.Clone(final))
				if !done || err != nil {
					t.Fatalf("the first time: %t, %v", done, err)
				}
				continue
			}
			if _, done, err := x.Next(t.Context(), slices.Clone(responses[0])); done || err != nil {
				t.Errorf("the second time: %t, %v", done, err)
			}
			if _, done, err := x.Next(t.Context(), []byte{}); done || !mail.IsKind(err, mail.AuthFailed) {
				t.Errorf("the second time, after the word: %t, %v", done, err)
			}
		}
		ours := func(challenge []byte) string {
			nonce, _, _ := strings.Cut(string(challenge), ",")
			return strings.TrimPrefix(nonce, "r="+strings.TrimPrefix(string(first[strings.LastIndex(string(first), ",r=")+1:]), "r="))
		}
		if a, b := ours(challenges[0]), ours(challenges[1]); a == b || len(a) < 24 {
			t.Errorf("nonces %q and %q", a, b)
		}
		for _, c := range challenges {
			if !strings.HasSuffix(string(c), ",i=65536") {
				t.Errorf("another count in %q", c)
			}
		}
	})
}

// TestNeverOffered is X-40: nobody is asked for what we do not do, and who does it is refused, counted and named.
func TestNeverOffered(t *testing.T) {
	d := withPasswords(t)
	here := connectTLS(t, newCertificate(t))
	refused := []string{
		"DIGEST-MD5", "digest-md5", "NTLM", "GSSAPI", "GSS-SPNEGO", "ANONYMOUS", "KERBEROS_V4", "SCRAM-SHA-512", "SCRAM-SHA-512-PLUS",
		"SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "CRAM-MD5", "EXTERNAL", "X",
	}
	for _, m := range refused {
		if slices.Contains(d.Mechanisms(here.attempt(IMAP, "")), m) {
			t.Errorf("%s is offered", m)
		}
		x, err := d.StartSASL(t.Context(), overTLS(t), here.attempt(IMAP, m))
		if x != nil || !mail.IsKind(err, mail.Unsupported) || Reason(err) != "not-offered" {
			t.Errorf("%s: %v, want not-offered", m, err)
		}
	}
	if err := d.NotOffered(t.Context(), here.attempt(POP3, "APOP"), ""); !mail.IsKind(err, mail.Unsupported) || Reason(err) != "not-offered" {
		t.Errorf("APOP: %v", err)
	}
	if got := d.Stats().Refused["not-offered"]; got != uint64(len(refused)+1) {
		t.Errorf("counted %d, want %d", got, len(refused)+1)
	}
}

// TestRefusedAndGivenUp: who gives up on the word of a refusal is answered as one who gave up, and known as one who was
// refused. Another method is proposed for what a program cannot do, not against somebody between.
func TestRefusedAndGivenUp(t *testing.T) {
	here := connectTLS(t, newCertificate(t))
	inBubble(t, func(t *testing.T, d *Directory) {
		for first, want := range map[string][2]string{
			"p=tls-unique,,n=alice,r=abc": {"cb-unsupported-type", "Your program gave up the login by SCRAM-SHA-256-PLUS; set another login method there, for example SCRAM-SHA-256"},
			"n,,n=alice,r=abc":            {"cb-mismatch", "Authentication cancelled"},
		} {
			x, err := d.StartSASL(t.Context(), overTLS(t), here.attempt(IMAP, sasl.ScramSHA256Plus))
			must(t, err)
			told, _, err := x.Next(t.Context(), []byte(first))
			must(t, err)
			if !strings.HasPrefix(string(told), "e=") {
				t.Errorf("%s: %q", first, told)
			}
			given := x.BrokenOff(sasl.ErrCancelled)
			if e := mail.AsError(given); e.Kind != mail.Syntax || e.Text != want[1] || Reason(given) != want[0] {
				t.Errorf("%s: %v of kind %v for %s", first, e.Text, e.Kind, Reason(given))
			}
			if lost := x.BrokenOff(io.ErrUnexpectedEOF); !mail.IsKind(lost, mail.AuthFailed) || Reason(lost) != want[0] {
				t.Errorf("%s: the client went away: %v", first, lost)
			}
		}
	})
}

// TestGivenUp: who chooses a bound login without being able to is told what to set.
func TestGivenUp(t *testing.T) {
	d := withPasswords(t)
	here := connectTLS(t, newCertificate(t))
	for mechanism, want := range map[string]string{
		sasl.Plain: "Authentication cancelled",
		sasl.ScramSHA256Plus: "Your program gave up the login by SCRAM-SHA-256-PLUS; set another login method there, " +
			"for example SCRAM-SHA-256",
	} {
		x, err := d.StartSASL(t.Context(), overTLS(t), Attempt{Service: POP3, Mechanism: mechanism, Peer: here.server})
		must(t, err)
		got := mail.AsError(x.BrokenOff(sasl.ErrCancelled))
		if got.Text != want || got.Kind != mail.Syntax {
			t.Errorf("%s: %q, kind %v; want %q", mechanism, got.Text, got.Kind, want)
		}
	}
}
