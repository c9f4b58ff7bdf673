package directory

import (
	"testing"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// TestOffers: what is offered, and if not, why, in the words of the specification, section 3.2.
func TestOffers(t *testing.T) {
	d := withPasswords(t)
	words := func(s Service) map[string]string {
		all := map[string]string{}
		for _, o := range d.Offers(s) {
			all[o.Mechanism] = o.Words()
			if o.Service != s || o.Lacking == nil {
				t.Errorf("%+v", o)
			}
		}
		return all
	}
	want := func(step string, s Service, mechanism, text string) {
		t.Helper()
		if got := words(s)[mechanism]; got != text {
			t.Errorf("%s: %s: %q, want %q", step, mechanism, got, text)
		}
	}
	want("at first", IMAP, sasl.Plain, "offered")
	want("at first", IMAP, sasl.ScramSHA256, "offered")
	want("at first", IMAP, sasl.ScramSHA256Plus, "offered")
	want("at first", IMAP, sasl.CramMD5, "not offered because no legacy rule names it")
	want("at first", IMAP, sasl.External, "not offered because no account has a client certificate")
	want("at first", POP3, "APOP", "not offered because it needs passwords in clear at rest")
	want("at first", IMAP, "APOP", "")
	want("at first", IMAP, "DIGEST-MD5", "not offered because it needs password equivalents at rest and is historic (RFC 6331)")

	must(t, withoutScram(t.Context(), d, addr(t, "bob@example.org")))
	must(t, withoutScram(t.Context(), d, addr(t, "alice@example.org")))
	want("A-1", IMAP, sasl.ScramSHA256, "not offered because 2 of 5 accounts lack a SCRAM key")
	want("A-1", POP3, sasl.ScramSHA256Plus, "not offered because 2 of 5 accounts lack a SCRAM key")
	for _, o := range d.Offers(IMAP) {
		if o.Mechanism == sasl.ScramSHA256 && (len(o.Lacking) != 2 || o.Lacking[0] != addr(t, "alice@example.org") || o.Offered) {
			t.Errorf("lacking: %+v", o)
		}
	}

	rule := panel(t, d, sasl.CramMD5)
	rule.Hostname = "legacy.example.org"
	d.SetLegacyRules([]LegacyRule{rule}, nil)
	want("by rule", IMAP, sasl.CramMD5, "offered to 198.51.100.9/32, who asks for legacy.example.org until "+
		rule.Until.Add(-1).UTC().Format("2006-01-02")+" (legacy rule panel)")
	must(t, d.AddCertificate(t.Context(), addr(t, "bob@example.org"), NewCertificate{Name: "x", Email: mail.Address{Local: "bob", Domain: "example.org"}}))
	d.Withhold([]string{sasl.Plain})
	want("removed", IMAP, sasl.Plain, "not offered because [auth] remove names it")
	want("by certificate", IMAP, sasl.External, "offered to who shows a certificate that is verified and belongs to one account")
}
