package directory

import (
	"slices"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// TestWithhold: a method that the operator removed is neither offered nor taken, until it is there again.
func TestWithhold(t *testing.T) {
	d := open(t, newMemDB(), Options{Cost: cheap})
	must(t, d.AddDomain(t.Context(), "example.org"))
	_, err := d.AddAccount(t.Context(), addr(t, "alice@example.org"), "secret")
	must(t, err)
	d.Withhold([]string{sasl.Login, IMAPLogin})
	if got := d.Mechanisms(Attempt{Service: IMAP}); slices.Contains(got, sasl.Login) || !slices.Contains(got, sasl.Plain) {
		t.Errorf("offered: %v", got)
	}
	for mechanism, works := range map[string]bool{sasl.Plain: true, sasl.Login: false} {
		if _, err := login(t, d, IMAP, mechanism, "alice", "secret"); works != (err == nil) || !works && !mail.IsKind(err, mail.Unsupported) {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
	by := func(method string) error {
		a := Attempt{Service: IMAP, Mechanism: method}
		_, err := d.Login(t.Context(), mail.EncryptedByException("test"), a, "alice", []byte("secret"))
		return err
	}
	if err := by(IMAPLogin); !mail.IsKind(err, mail.Unsupported) {
		t.Errorf("%s: %v", IMAPLogin, err)
	}
	if err := by(POP3User); err != nil {
		t.Errorf("%s: %v", POP3User, err)
	}
	d.Withhold(nil)
	if err := by(IMAPLogin); err != nil {
		t.Errorf("%s again: %v", IMAPLogin, err)
	}
	rows, err := d.Census(t.Context(), addr(t, "alice@example.org"), time.Time{})
	must(t, err)
	if !slices.ContainsFunc(rows, func(r CensusRow) bool { return r.Mechanism == IMAPLogin && r.Reason == "not-offered" }) {
		t.Errorf("who asked for it in vain is not known: %+v", rows)
	}
}
