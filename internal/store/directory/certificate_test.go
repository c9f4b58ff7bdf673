package directory

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// externalClient is a client of EXTERNAL that may name whom it wants to act as.
type externalClient string

func (c externalClient) Start() []byte             { return []byte(c) }
func (externalClient) Next([]byte) ([]byte, error) { return nil, nil }
func (externalClient) Finish() error               { return nil }

// with is an attempt by EXTERNAL of who has a verified certificate.
func (e *tlsEnds) with(x *x509.Certificate, s Service) Attempt {
	a := e.attempt(s, sasl.External)
	a.Peer.ClientCertificate = x
	return a
}

// TestExternal: a verified certificate logs in the one account that it belongs to; EXTERNAL is offered then alone.
func TestExternal(t *testing.T) {
	here := connectTLS(t, newCertificate(t))
	byCert, byKey, byMail := newCertificate(t, "x@example.net").Leaf, newCertificate(t, "y@example.net").Leaf, newCertificate(t, "Alice@EXAMPLE.org").Leaf
	strange, two := newCertificate(t, "z@example.net").Leaf, newCertificate(t, "alice@example.org", "bob@example.org").Leaf
	inBubble(t, func(t *testing.T, d *Directory) {
		const alice, bob = "alice@example.org", "bob@example.org"
		add := func(a string, n NewCertificate) {
			t.Helper()
			must(t, d.AddCertificate(t.Context(), addr(t, a), n))
		}
		add(alice, NewCertificate{Name: "laptop", Fingerprint: fingerprint(byCert.Raw)})
		add(bob, NewCertificate{Name: "key", Fingerprint: fingerprint(byKey.RawSubjectPublicKeyInfo), Scopes: []Scope{ScopeIMAP}})
		add(alice, NewCertificate{Name: "mail", Email: addr(t, alice)})
		try := func(step string, a Attempt, authzid, want string) {
			t.Helper()
			offered := slices.Contains(d.Mechanisms(a), sasl.External)
			x, err := d.StartSASL(t.Context(), overTLS(t), a)
			if (err == nil) != offered || offered == (want == "not-offered") {
				t.Errorf("%s: offered %t, %v", step, offered, err)
			}
			if err != nil {
				return
			}
			if got := result(converse(t, x, externalClient(authzid))); got != want {
				t.Errorf("%s: %s, want %s", step, got, want)
			}
		}
		for _, s := range []Service{Submission, IMAP, POP3} {
			try("by fingerprint", here.with(byCert, s), "", alice)
			try("by fingerprint and name", here.with(byCert, s), "ALICE", alice)
			try("by fingerprint as another", here.with(byCert, s), bob, "authzid")
			try("by fingerprint as nobody", here.with(byCert, s), "carol", "authzid")
			try("by address", here.with(byMail, s), "", alice)
			try("unknown", here.with(strange, s), "", "not-offered")
			try("no certificate", here.attempt(s, sasl.External), "", "not-offered")
		}
		try("by public key", here.with(byKey, IMAP), bob, bob)
		try("by public key, out of scope", here.with(byKey, POP3), "", "scope")
		try("one of two addresses is known", here.with(two, IMAP), "", alice)
		add(bob, NewCertificate{Name: "mail", Email: addr(t, bob)})
		try("of two accounts", here.with(two, IMAP), "", "not-offered")

		must(t, d.SetDisabled(t.Context(), addr(t, alice), true))
		try("disabled", here.with(byCert, IMAP), "", "disabled")
		must(t, d.SetDisabled(t.Context(), addr(t, alice), false))
		must(t, d.RemoveCertificate(t.Context(), addr(t, alice), "laptop"))
		try("removed", here.with(byCert, IMAP), "", "not-offered")
		if got := result(login(t, d, IMAP, sasl.Plain, alice, "alice")); got != alice {
			t.Errorf("the password beside it: %s", got)
		}
		if got := d.Mechanisms(here.attempt(IMAP, "")); !slices.Contains(got, sasl.ScramSHA256) {
			t.Errorf("certificates count as passwords: %q are offered", got)
		}
	})
}

// TestExternalAfterChange: a certificate that is taken away during the exchange is worth nothing any more.
func TestExternalAfterChange(t *testing.T) {
	here, x509 := connectTLS(t, newCertificate(t)), newCertificate(t, "x@example.net").Leaf
	inBubble(t, func(t *testing.T, d *Directory) {
		a := addr(t, "alice@example.org")
		must(t, d.AddCertificate(t.Context(), a, NewCertificate{Name: "laptop", Fingerprint: fingerprint(x509.Raw)}))
		x, err := d.StartSASL(t.Context(), overTLS(t), here.with(x509, IMAP))
		must(t, err)
		must(t, d.RemoveCertificate(t.Context(), a, "laptop"))
		if got := result(converse(t, x, externalClient(""))); got != "no-verifier" {
			t.Errorf("got %s", got)
		}
	})
}

func TestCertificateRefusals(t *testing.T) {
	d := withPasswords(t)
	alice, sum := addr(t, "alice@example.org"), fingerprint([]byte("x"))
	must(t, d.AddCertificate(t.Context(), alice, NewCertificate{Name: "laptop", Fingerprint: sum}))
	for _, c := range []struct {
		name string
		to   string
		n    NewCertificate
		kind mail.Kind
	}{
		{"no name", "alice@example.org", NewCertificate{Fingerprint: sum}, mail.Syntax},
		{"nothing", "alice@example.org", NewCertificate{Name: "x"}, mail.Syntax},
		{"both", "alice@example.org", NewCertificate{Name: "x", Fingerprint: sum, Email: alice}, mail.Syntax},
		{"short", "alice@example.org", NewCertificate{Name: "x", Fingerprint: "sha256:00"}, mail.Syntax},
		{"upper case", "alice@example.org", NewCertificate{Name: "x", Fingerprint: "sha256:" + strings.ToUpper(sum[7:])}, mail.Syntax},
		{"another hash", "alice@example.org", NewCertificate{Name: "x", Fingerprint: "sha512:" + sum[7:]}, mail.Syntax},
		{"name taken", "alice@example.org", NewCertificate{Name: "laptop", Email: alice}, mail.Exists},
		{"another's", "bob@example.org", NewCertificate{Name: "x", Fingerprint: sum}, mail.Exists},
		{"nobody", "carol@example.org", NewCertificate{Name: "x", Email: alice}, mail.NotFound},
	} {
		wantKind(t, c.name, d.AddCertificate(t.Context(), addr(t, c.to), c.n), c.kind)
	}
	wantKind(t, "removing another", d.RemoveCertificate(t.Context(), alice, "phone"), mail.NotFound)
	wantKind(t, "removing of nobody", d.RemoveCertificate(t.Context(), addr(t, "carol@example.org"), "laptop"), mail.NotFound)
	wantKind(t, "revoking", d.RevokeAppPassword(t.Context(), alice, "laptop"), mail.NotFound)
	credentials, err := d.Credentials(t.Context(), alice)
	must(t, err)
	if c := credentials[1]; c.Kind != "cert" || c.Certificate != sum || c.Name != "laptop" || len(c.Verifiers) != 0 {
		t.Errorf("listed as %+v", c)
	}
}
