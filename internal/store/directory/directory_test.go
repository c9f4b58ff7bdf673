package directory

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// cheap makes hashing quick where its cost is not what is tested.
var cheap = Cost{Memory: 8, Passes: 1}

const testHost mail.Domain = "mx.example.net"

// open opens a directory on db; it is closed with the test.
func open(t testing.TB, db kv.DB, o Options) *Directory {
	t.Helper()
	o.Hostname = testHost
	d, err := Open(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// filled returns a directory with two domains and some accounts.
func filled(t testing.TB) *Directory {
	d := open(t, newMemDB(), Options{Cost: cheap})
	must(t, d.AddDomain(t.Context(), "example.org"))
	must(t, d.AddDomain(t.Context(), "example.com"))
	for _, a := range []string{"ann@example.org", "bob@example.org", "bob@example.com", "eve+x@example.org"} {
		_, err := d.AddAccount(t.Context(), addr(t, a), "")
		must(t, err)
	}
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(t testing.TB, s string) mail.Address {
	t.Helper()
	if local, ok := strings.CutSuffix(s, "@"); ok {
		return mail.Address{Local: mail.LocalPart(local)}
	}
	a, err := mail.ParseAddress(s)
	must(t, err)
	return a
}

func alias(t testing.TB, d *Directory, from string, to ...string) {
	t.Helper()
	a := Alias{Address: addr(t, from)}
	for _, target := range to {
		a.Targets = append(a.Targets, addr(t, target))
	}
	must(t, d.AddAlias(t.Context(), a))
}

// overTLS is a proof of encryption.
func overTLS(t testing.TB) mail.Encrypted {
	t.Helper()
	e, err := mail.EncryptedBy(tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13})
	must(t, err)
	return e
}

func wantKind(t testing.TB, what string, err error, kind mail.Kind) {
	t.Helper()
	if !mail.IsKind(err, kind) {
		t.Errorf("%s: %v, want kind %v", what, err, kind)
	}
}

func TestFirstDomainHasPostmaster(t *testing.T) {
	d := open(t, newMemDB(), Options{})
	must(t, d.AddDomain(t.Context(), "example.org"))
	must(t, d.AddDomain(t.Context(), "example.com"))
	all, err := d.Accounts(t.Context())
	must(t, err)
	if len(all) != 1 || all[0].Address.String() != "postmaster@example.org" || all[0].HasPassword {
		t.Errorf("accounts: %+v, want postmaster@example.org without a password", all)
	}
	domains, err := d.Domains(t.Context())
	must(t, err)
	if want := []mail.Domain{"example.com", "example.org"}; !slices.Equal(domains, want) {
		t.Errorf("domains: %v, want %v", domains, want)
	}
}

func TestErrors(t *testing.T) {
	d := filled(t)
	ctx := t.Context()
	alias(t, d, "sales@example.org", "ann@example.org")
	account := func(a, password string) error { _, err := d.AddAccount(ctx, addr(t, a), password); return err }
	remove := func(a string) error { _, err := d.RemoveAccount(ctx, addr(t, a), nil); return err }
	for _, c := range []struct {
		name string
		err  error
		want mail.Kind
	}{
		{"domain twice", d.AddDomain(ctx, "example.org"), mail.Exists},
		{"domain not canonical", d.AddDomain(ctx, "Example.ORG"), mail.Syntax},
		{"domain literal", d.AddDomain(ctx, "[192.0.2.1]"), mail.Syntax},
		{"domain empty", d.AddDomain(ctx, ""), mail.Syntax},
		{"removing a domain in use", d.RemoveDomain(ctx, "example.org"), mail.InUse},
		{"removing no domain", d.RemoveDomain(ctx, "example.net"), mail.NotFound},
		{"account twice", account("ann@example.org", ""), mail.Exists},
		{"account in another case", account("ANN@example.org", ""), mail.Exists},
		{"account where an alias is", account("sales@example.org", ""), mail.Exists},
		{"account elsewhere", account("ann@example.net", ""), mail.NotFound},
		{"account as catch-all", account("*@example.org", ""), mail.Syntax},
		{"account with a bad password", account("new@example.org", "tab\t"), mail.Syntax},
		{"account with a long password", account("new@example.org", strings.Repeat("x", maxPassword+1)), mail.Syntax},
		{"removing no account", remove("new@example.org"), mail.NotFound},
		{"password of no account", d.SetPassword(ctx, addr(t, "new@example.org"), "x"), mail.NotFound},
		{"empty password", d.SetPassword(ctx, addr(t, "ann@example.org"), ""), mail.Syntax},
		{"disabling no account", d.SetDisabled(ctx, addr(t, "new@example.org"), true), mail.NotFound},
		{"alias twice", d.AddAlias(ctx, Alias{addr(t, "SALES@example.org"), []mail.Address{addr(t, "a@b.test")}}), mail.Exists},
		{"alias where an account is", d.AddAlias(ctx, Alias{addr(t, "ann@example.org"), []mail.Address{addr(t, "a@b.test")}}), mail.Exists},
		{"alias elsewhere", d.AddAlias(ctx, Alias{addr(t, "a@example.net"), []mail.Address{addr(t, "a@b.test")}}), mail.NotFound},
		{"alias to nowhere", d.AddAlias(ctx, Alias{addr(t, "a@example.org"), nil}), mail.Syntax},
		{"alias to too many", d.AddAlias(ctx, Alias{addr(t, "a@example.org"), slices.Repeat([]mail.Address{addr(t, "a@b.test")}, maxTargets+1)}), mail.TooMany},
		{"removing no alias", d.RemoveAlias(ctx, addr(t, "ann@example.org")), mail.NotFound},
		{"credentials of no account", func() error { _, err := d.Credentials(ctx, addr(t, "new@example.org")); return err }(), mail.NotFound},
	} {
		wantKind(t, c.name, c.err, c.want)
	}
}

func TestAccountIDIsNeverReused(t *testing.T) {
	db := newMemDB()
	d := open(t, db, Options{Cost: cheap})
	must(t, d.AddDomain(t.Context(), "example.org"))
	ann := addr(t, "ann@example.org")
	seen := map[mail.AccountID]bool{}
	for range 3 {
		a, err := d.AddAccount(t.Context(), ann, "")
		must(t, err)
		if a.ID == 0 || seen[a.ID] {
			t.Errorf("id %d was given again", a.ID)
		}
		seen[a.ID] = true
		removed, err := d.RemoveAccount(t.Context(), ann, nil)
		if err != nil || removed.ID != a.ID {
			t.Errorf("RemoveAccount = %+v, %v", removed, err)
		}
		d.Close()
		d = open(t, db, Options{Cost: cheap})
	}
}

func TestRemoveDomain(t *testing.T) {
	d := open(t, newMemDB(), Options{Cost: cheap})
	must(t, d.AddDomain(t.Context(), "example.org"))
	_, err := d.RemoveAccount(t.Context(), addr(t, "postmaster@example.org"), nil)
	must(t, err)
	alias(t, d, "a@example.org", "b@example.net")
	wantKind(t, "with an alias", d.RemoveDomain(t.Context(), "example.org"), mail.InUse)
	must(t, d.RemoveAlias(t.Context(), addr(t, "A@example.org")))
	must(t, d.RemoveDomain(t.Context(), "example.org"))
	if r, err := d.Resolve(t.Context(), addr(t, "a@example.org")); err != nil || r.Route != mail.Remote {
		t.Errorf("an address of a former domain: %+v, %v; want remote", r, err)
	}
}

// TestReopen compares what a directory says before and after it and its store were closed.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	store := func() kv.DB {
		db, err := kv.Open(t.Context(), kv.Options{Dir: dir})
		must(t, err)
		return db
	}
	db := store()
	d := open(t, db, Options{Cost: cheap})
	must(t, d.AddDomain(t.Context(), "example.org"))
	must(t, d.AddDomain(t.Context(), "xn--bcher-kva.example"))
	for a, password := range map[string]string{"ann@example.org": "secret", "jürgen@bücher.example": "", `"a b"@example.org`: "secret"} {
		_, err := d.AddAccount(t.Context(), addr(t, a), password)
		must(t, err)
	}
	must(t, d.SetDisabled(t.Context(), addr(t, `"a b"@example.org`), true))
	alias(t, d, "*@example.org", "ann@example.org", "Else@Example.NET")
	alias(t, d, "gone@example.org", "ann@example.org")
	must(t, d.RemoveAlias(t.Context(), addr(t, "gone@example.org")))
	if _, err := d.Login(t.Context(), overTLS(t), Attempt{Service: IMAP, Mechanism: "IMAP-LOGIN"}, "ann@example.org", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	before := describe(t, d)
	must(t, d.Close())
	must(t, db.Close())
	db = store()
	again := open(t, db, Options{Cost: cheap})
	if diff := cmp.Diff(before, describe(t, again), cmpopts.EquateComparable(LastUse{})); diff != "" {
		t.Errorf("after opening again (-before +after):\n%s", diff)
	}
	if _, err := again.Login(t.Context(), overTLS(t), Attempt{Service: IMAP, Mechanism: "IMAP-LOGIN"}, "ann@example.org", []byte("secret")); err != nil {
		t.Errorf("logging in after opening again: %v", err)
	}
	must(t, again.Close())
	must(t, db.Close())
}

type description struct {
	Domains     []mail.Domain
	Accounts    []Account
	Aliases     []Alias
	Credentials []Credential
	Mechanisms  []string
}

func describe(t testing.TB, d *Directory) (all description) {
	t.Helper()
	var err error
	all.Domains, err = d.Domains(t.Context())
	must(t, err)
	all.Accounts, err = d.Accounts(t.Context())
	must(t, err)
	all.Aliases, err = d.Aliases(t.Context())
	must(t, err)
	for _, a := range all.Accounts {
		c, err := d.Credentials(t.Context(), a.Address)
		must(t, err)
		all.Credentials = append(all.Credentials, c...)
	}
	all.Mechanisms = d.Mechanisms(Attempt{Service: IMAP})
	return all
}

// TestIndexFollows compares what each change makes of memory with what reading the store gives.
func TestIndexFollows(t *testing.T) {
	d := filled(t)
	ann, master := addr(t, "ann@example.org"), addr(t, "postmaster@example.org")
	for i, step := range []func() error{
		func() error { return d.SetPassword(t.Context(), ann, "one") },
		func() error { return d.SetPassword(t.Context(), ann, "two") },
		func() error { return d.SetDisabled(t.Context(), ann, true) },
		func() error { return d.SetDisabled(t.Context(), ann, false) },
		func() error { return withoutScram(t.Context(), d, ann) },
		func() error { return d.AddDomain(t.Context(), "a.example") },
		func() error {
			return d.AddAlias(t.Context(), Alias{addr(t, "postmaster@a.example"), []mail.Address{ann}})
		},
		func() error { _, err := d.RemoveAccount(t.Context(), master, nil); return err },
		func() error { return d.RemoveAlias(t.Context(), addr(t, "postmaster@a.example")) },
		func() error { return d.RemoveDomain(t.Context(), "a.example") },
		func() error { _, err := d.RemoveAccount(t.Context(), ann, nil); return err },
	} {
		must(t, step())
		memory := d.state
		must(t, d.load(t.Context()))
		if diff := cmp.Diff(memory, d.state, cmp.AllowUnexported(state{}, account{}, credential{}, argon2id{}), cmp.Comparer(sameAccount)); diff != "" {
			t.Errorf("step %d: memory is not what the store holds (-memory +store):\n%s", i, diff)
		}
	}
}

func sameAccount(a, b *account) bool {
	x, y := new(memTx), new(memTx)
	x.rows, y.rows = map[string][]byte{}, map[string][]byte{}
	return a.write(x) == nil && b.write(y) == nil && maps.EqualFunc(x.rows, y.rows, bytes.Equal)
}

// withoutScram takes an account's SCRAM keys away, as if it had been imported.
func withoutScram(ctx context.Context, d *Directory, a mail.Address) error {
	return d.edit(ctx, a, func(a *account) (*account, error) {
		c := *a.main()
		c.Verifiers.Scram = nil
		c.Generation++
		return a.with(c), nil
	})
}

func TestNewerFormatIsRefused(t *testing.T) {
	db := newMemDB()
	db.rows[string(keyVersion)] = number(formatVersion + 1)
	_, err := Open(t.Context(), db, Options{})
	if err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("Open: %v, want a refusal that says why", err)
	}
}

func TestDamagedRecordIsRefused(t *testing.T) {
	for _, key := range [][]byte{domainKey("x.test"), accountKey(7), credentialKey{1, 1}.record(), credentialKey{1, 1}.use(), aliasKey(mail.Address{Local: "a", Domain: "x.test"}), keyChanges, keyEpoch, keySecret, keyLastID, trialKey{1, "PLAIN"}.record(), []byte("dw"), []byte("d")} {
		db := newMemDB()
		open(t, db, Options{}).Close()
		db.rows[string(key)] = []byte("{")
		if d, err := Open(t.Context(), db, Options{}); err == nil {
			d.Close()
			t.Errorf("record %q: Open took a damaged one", key)
		}
	}
}

// TestOtherNode lets two directories share one store.
func TestOtherNode(t *testing.T) {
	db := newMemDB()
	one, two := open(t, db, Options{Cost: cheap}), open(t, db, Options{Cost: cheap})
	must(t, one.AddDomain(t.Context(), "example.org"))
	a, err := two.AddAccount(t.Context(), addr(t, "ann@example.org"), "")
	if err != nil || a.ID != 2 {
		t.Errorf("an account in a domain that the other node made: %+v, %v", a, err)
	}
	_, err = one.AddAccount(t.Context(), addr(t, "ann@example.org"), "")
	wantKind(t, "an account that the other node has made", err, mail.Exists)
	must(t, two.AddDomain(t.Context(), "example.com"))
	must(t, one.Refresh(t.Context()))
	if diff := cmp.Diff(describe(t, two), describe(t, one), cmpopts.EquateComparable(LastUse{})); diff != "" {
		t.Errorf("after Refresh (-writer +reader):\n%s", diff)
	}
}

// TestLostAnswer: a transaction that became durable though its Update failed must be visible.
func TestLostAnswer(t *testing.T) {
	db := newMemDB()
	d := open(t, db, Options{})
	db.lost = errors.New("the answer got lost")
	if err := d.AddDomain(t.Context(), "example.org"); !errors.Is(err, db.lost) {
		t.Errorf("AddDomain: %v, want the store's error", err)
	}
	db.lost = nil
	if all, _ := d.Domains(t.Context()); len(all) != 1 {
		t.Errorf("domains: %v, want the one that is durable", all)
	}
}

func TestCancelledChange(t *testing.T) {
	d := filled(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.AddDomain(ctx, "example.net"); err == nil {
		t.Error("a change was made for a caller that had gone")
	}
	must(t, d.AddDomain(t.Context(), "example.net"))
}

func TestWarnsWithoutPostmaster(t *testing.T) {
	var logged bytes.Buffer
	d := open(t, newMemDB(), Options{Log: slog.New(slog.NewTextHandler(&logged, nil))})
	must(t, d.AddDomain(t.Context(), "example.org"))
	_, err := d.RemoveAccount(t.Context(), addr(t, "postmaster@example.org"), nil)
	must(t, err)
	if !strings.Contains(logged.String(), "postmaster") {
		t.Errorf("logged %q, want a warning", logged.String())
	}
}

func FuzzRecord(f *testing.F) {
	db := newMemDB()
	d, err := Open(context.Background(), db, Options{Cost: cheap})
	if err != nil {
		f.Fatal(err)
	}
	defer d.Close()
	must(f, d.AddDomain(context.Background(), "example.org"))
	_, err = d.AddAccount(context.Background(), addr(f, "ann@example.org"), "secret")
	must(f, err)
	alias(f, d, "*@example.org", "ann@example.org", "x@example.net")
	d.uses.note(credentialKey{2, 1}, d.now(), Attempt{Service: IMAP, Mechanism: "PLAIN"})
	d.writeUses(context.Background())
	for k, v := range db.rows {
		f.Add([]byte(k), v)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s := newState()
		s.accounts[1] = &account{id: 1}
		if s.read(kv.Pair{Key: key, Value: value}, map[credentialKey]LastUse{}) != nil {
			return
		}
		s.index()
		for id, a := range s.accounts {
			tx := &memTx{rows: map[string][]byte{}}
			if err := a.write(tx); err != nil {
				t.Errorf("account %d was read of %q but cannot be written: %v", id, value, err)
			}
		}
	})
}
