package directory

import (
	"testing"

	"candor/internal/mail"
)

// TestQuota: a bound of the account's own wins over the default, and outlives a restart.
func TestQuota(t *testing.T) {
	db := newMemDB()
	d := open(t, db, Options{Cost: cheap})
	must(t, d.AddDomain(t.Context(), "example.org"))
	ann, err := d.AddAccount(t.Context(), addr(t, "ann@example.org"), "")
	must(t, err)
	bob, err := d.AddAccount(t.Context(), addr(t, "bob@example.org"), "")
	must(t, err)
	must(t, d.SetQuota(t.Context(), ann.Address, Quota{Storage: 1 << 30, Messages: Unlimited}))
	d = open(t, db, Options{Cost: cheap})
	want := func(who string, id mail.AccountID, q Quota) {
		t.Helper()
		if got := d.Quota(id); got != q {
			t.Errorf("quota of %s is %+v, want %+v", who, got, q)
		}
	}
	want("ann", ann.ID, Quota{Storage: 1 << 30})
	want("bob", bob.ID, Quota{})
	d.SetDefaultQuota(Quota{Storage: 5, Messages: 6})
	want("ann", ann.ID, Quota{Storage: 1 << 30})
	want("bob", bob.ID, Quota{Storage: 5, Messages: 6})
	must(t, d.SetQuota(t.Context(), ann.Address, Quota{}))
	want("ann", ann.ID, Quota{Storage: 5, Messages: 6})
	if err := d.SetQuota(t.Context(), addr(t, "nobody@example.org"), Quota{}); !mail.IsKind(err, mail.NotFound) {
		t.Errorf("got %v", err)
	}
	if err := d.SetQuota(t.Context(), ann.Address, Quota{Storage: -2}); !mail.IsKind(err, mail.Syntax) {
		t.Errorf("got %v", err)
	}
}
