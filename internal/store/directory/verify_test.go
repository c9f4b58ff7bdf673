package directory

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// TestVerifyAndRepair: each damage is found and named, and mended so that nothing is left to find and the directory
// opens with the other account as it was.
func TestVerifyAndRepair(t *testing.T) {
	t.Parallel()
	const ann, bob = 2, 3
	garble := func(tx kv.Tx, k []byte) { tx.Set(k, []byte("{")) }
	readdress := func(t *testing.T, tx kv.Tx, to string) {
		must(t, setRecord(tx, accountKey(bob), accountRecord{Address: addr(t, to), Salt: []byte("salt"), Generation: 1}))
	}
	for name, c := range map[string]struct {
		harm func(t *testing.T, tx kv.Tx)
		want []string
	}{
		"account lost":         {func(t *testing.T, tx kv.Tx) { tx.Delete(accountKey(bob)) }, []string{"account-missing"}},
		"account garbled":      {func(t *testing.T, tx kv.Tx) { garble(tx, accountKey(bob)) }, []string{"account-missing", "directory-row"}},
		"address twice":        {func(t *testing.T, tx kv.Tx) { readdress(t, tx, "ann@example.org") }, []string{"account-address", "credential-ids"}},
		"address in capitals":  {func(t *testing.T, tx kv.Tx) { readdress(t, tx, "Bob@example.org") }, []string{"account-address", "credential-ids"}},
		"credential garbled":   {func(t *testing.T, tx kv.Tx) { garble(tx, credentialKey{bob, 1}.record()) }, []string{"directory-row"}},
		"use of no credential": {func(t *testing.T, tx kv.Tx) { must(t, setRecord(tx, credentialKey{bob, 9}.use(), LastUse{})) }, []string{"last-use"}},
		"domain lost":          {func(t *testing.T, tx kv.Tx) { tx.Delete(domainKey("example.org")) }, []string{"domain-missing"}},
		"domain garbled":       {func(t *testing.T, tx kv.Tx) { garble(tx, domainKey("example.org")) }, []string{"directory-row", "domain-missing"}},
		"alias garbled":        {func(t *testing.T, tx kv.Tx) { garble(tx, aliasKey(addr(t, "info@example.org"))) }, []string{"directory-row"}},
		"alias leads nowhere": {func(t *testing.T, tx kv.Tx) {
			must(t, setRecord(tx, aliasKey(addr(t, "info@example.org")), aliasRecord{}))
		}, []string{"alias"}},
		"alias of an account": {func(t *testing.T, tx kv.Tx) {
			must(t, setRecord(tx, aliasKey(addr(t, "bob@example.org")), aliasRecord{[]mail.Address{addr(t, "ann@example.org")}}))
		}, []string{"alias"}},
		"highest id lost": {func(t *testing.T, tx kv.Tx) { tx.Delete(keyLastID) }, []string{"account-ids"}},
		"secret lost":     {func(t *testing.T, tx kv.Tx) { tx.Delete(keySecret) }, []string{"directory-secret"}},
		"secret garbled":  {func(t *testing.T, tx kv.Tx) { garble(tx, keySecret) }, []string{"directory-row"}},
		"format lost":     {func(t *testing.T, tx kv.Tx) { tx.Delete(keyVersion) }, []string{"directory-format"}},
		"unknown kind":    {func(t *testing.T, tx kv.Tx) { tx.Set([]byte("dw"), nil) }, []string{"row-unknown"}},
		"nothing":         {func(*testing.T, kv.Tx) {}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := kv.Open(t.Context(), kv.Options{Dir: t.TempDir()})
			must(t, err)
			defer func() { must(t, db.Close()) }()
			d, err := Open(t.Context(), db, Options{Hostname: testHost, Cost: cheap})
			must(t, err)
			must(t, d.AddDomain(t.Context(), "example.org"))
			for _, a := range []string{"ann@example.org", "bob@example.org"} {
				_, err := d.AddAccount(t.Context(), addr(t, a), "secret words")
				must(t, err)
			}
			must(t, d.AddAlias(t.Context(), Alias{addr(t, "info@example.org"), []mail.Address{addr(t, "ann@example.org")}}))
			want, err := d.Account(t.Context(), addr(t, "ann@example.org"))
			must(t, err)
			must(t, d.Close())
			must(t, db.Update(t.Context(), func(tx kv.Tx) error { c.harm(t, tx); return nil }))
			if found := verify(t, db); !slices.Equal(found, c.want) {
				t.Fatalf("found %q, want %q", found, c.want)
			}
			_, err = db.Repair(t.Context(), kv.RepairOptions{}, verification)
			must(t, err)
			if found := verify(t, db); len(found) > 0 {
				t.Errorf("after the repair: %q", found)
			}
			if d, err = Open(t.Context(), db, Options{Hostname: testHost, Cost: cheap}); err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			got, err := d.Account(t.Context(), addr(t, "ann@example.org"))
			if all, _ := d.Accounts(t.Context()); err != nil || !cmp.Equal(got, want) || len(all) != 3 {
				t.Errorf("the accounts are %+v, %v", all, err)
			}
		})
	}
}

func verification(v *kv.Verification) error {
	_, err := Verify(v)
	return err
}

func verify(t *testing.T, db *kv.Engine) (found []string) {
	t.Helper()
	_, err := db.Verify(t.Context(), kv.VerifyOptions{Report: func(f kv.Finding) {
		found = append(found, f.ID)
		t.Log(f)
	}}, verification)
	must(t, err)
	slices.Sort(found)
	return found
}
