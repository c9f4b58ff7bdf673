package directory

import (
	"slices"
	"strings"
	"testing"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

func imported(t testing.TB, d *Directory, accounts ...ImportedAccount) {
	t.Helper()
	done, err := d.ImportAccounts(t.Context(), accounts)
	must(t, err)
	for i := range done {
		if done[i].Err != nil || done[i].Account.Address != canonical(accounts[i].Address) {
			t.Fatalf("%s: %+v", accounts[i].Address, done[i])
		}
	}
}

const sshaOfHorse = "{SSHA}pyCe/6X2ihSvNRnT490IWy53XKBqVI5D" // correct-horse

// TestImport: an old hash keeps SCRAM away until the first right password, which replaces it.
func TestImport(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const carol = "carol@example.org"
		imported(t, d, ImportedAccount{addr(t, carol), sshaOfHorse})
		offered := func(step string, want bool) {
			t.Helper()
			if got := slices.Contains(d.Mechanisms(Attempt{Service: IMAP}), sasl.ScramSHA256); got != want {
				t.Errorf("%s: SCRAM is offered: %v", step, got)
			}
		}
		offered("imported", false)
		for _, m := range []string{sasl.Plain, sasl.Login, command} {
			if got := result(login(t, d, IMAP, m, carol, "wrong")); got != "wrong" {
				t.Errorf("%s with a wrong password: %s", m, got)
			}
		}
		if old, err := d.OldPasswords(t.Context()); err != nil || len(old) != 1 || old[0].Address != addr(t, carol) || old[0].Verifiers[0] != "{SSHA}" {
			t.Errorf("old passwords: %+v, %v", old, err)
		}
		if got := result(login(t, d, IMAP, sasl.Plain, carol, "correct-horse")); got != carol {
			t.Errorf("the first login: %s", got)
		}
		offered("after the first login", true)
		for key, row := range d.db.(*memDB).rows {
			if strings.Contains(string(row), "SSHA") {
				t.Errorf("row %q still has the old hash", key)
			}
		}
		expect(t, d, "afterwards", IMAP, carol, "correct-horse", carol)
		expect(t, d, "afterwards", IMAP, carol, "wrong", "wrong")
		if old, err := d.OldPasswords(t.Context()); err != nil || len(old) != 0 {
			t.Errorf("old passwords: %+v, %v", old, err)
		}
	})
}

// TestImportOfForms has one password in the three forms of the specification, section 9.3, and in clear.
func TestImportOfForms(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		names := []string{"one@example.org", "two@example.org", "three@example.org", "four@example.org", "five@example.org"}
		for i, hash := range []string{
			"{DIGEST-MD5}alice:example.test:1b353d36a46e072e40fb5d3a81126518",
			"{DIGEST-MD5}alice@example.test::823ee3cf8777d7f36218c173d06ea2c2",
			"{DIGEST-MD5}alice:mail.example.test:5f4ca0c0dd1a014fbd0b8a11123d21d2",
			"{PLAIN}correct-horse",
			"{DIGEST-MD5}alice:example.test:823ee3cf8777d7f36218c173d06ea2c2", // the sum of another form
		} {
			imported(t, d, ImportedAccount{addr(t, names[i]), hash})
		}
		for range 2 { // again from the cache
			for _, name := range names[:4] {
				if got := result(login(t, d, IMAP, sasl.Plain, name, "correct-horse")); got != name {
					t.Errorf("%s: %s", name, got)
				}
			}
			if got := result(login(t, d, IMAP, sasl.Plain, names[4], "correct-horse")); got != "wrong" {
				t.Errorf("the sum of another form: %s", got)
			}
		}
		for key, row := range d.db.(*memDB).rows {
			if strings.Contains(string(row), "correct-horse") {
				t.Errorf("row %q holds a password in clear", key)
			}
		}
	})
}

// TestImportOfRaw: a password that OpaqueString refuses goes on to work as it is, without SCRAM.
func TestImportOfRaw(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const carol, dave = "carol@example.org", "dave@example.org"
		imported(t, d, ImportedAccount{addr(t, carol), "{PLAIN}tab\tinside"}, ImportedAccount{addr(t, dave), "{PLAIN-MD5}2ae46a3f76507494da59e109e460cab2"})
		for _, m := range []string{sasl.Plain, sasl.Login, command, sasl.Plain} {
			if got := result(login(t, d, IMAP, m, carol, "tab\tinside")); got != carol {
				t.Errorf("%s: %s", m, got)
			}
			if got := result(login(t, d, IMAP, m, carol, "tab\tInside")); got != "wrong" {
				t.Errorf("%s: %s", m, got)
			}
			if got := result(login(t, d, IMAP, m, dave, "tab\tinside")); got != dave {
				t.Errorf("%s: %s", m, got)
			}
		}
		old, err := d.OldPasswords(t.Context())
		if err != nil || len(old) != 2 || old[0].Verifiers[0] != "argon2id-raw" {
			t.Errorf("old passwords: %+v, %v", old, err)
		}
		must(t, d.SetPassword(t.Context(), addr(t, carol), "new"))
		if got := result(login(t, d, IMAP, sasl.Plain, carol, "new")); got != carol {
			t.Errorf("with a new password: %s", got)
		}
	})
}

// TestImportTogether: what is wrong with one account concerns no other, and every login is verified anew.
func TestImportTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		done, err := d.ImportAccounts(t.Context(), []ImportedAccount{
			{addr(t, "carol@example.org"), sshaOfHorse},
			{addr(t, "Alice@example.org"), sshaOfHorse},
			{addr(t, "dave@example.net"), sshaOfHorse},
			{addr(t, "dave@example.org"), "{SSHA}x"},
			{addr(t, "CAROL@example.org"), sshaOfHorse},
			{addr(t, "erin@example.org"), "{BLF-CRYPT}$2y$31$sxsY9EA6xt/hBbufzH4bxOdGrlWTkQ25/QRYPkLpid1H17i6zeuXy"},
			{addr(t, "frank@example.org"), "{PLAIN}frank"},
			{mail.Address{Local: "*", Domain: "example.org"}, sshaOfHorse},
			{addr(t, "ally@example.org"), sshaOfHorse},
		})
		must(t, err)
		for i, want := range []mail.Kind{0, mail.Exists, mail.NotFound, mail.Syntax, mail.Exists, mail.TooBig, 0, mail.Syntax, mail.Exists} {
			if want != 0 {
				wantKind(t, done[i].Account.Address.String(), done[i].Err, want)
			} else if done[i].Err != nil || done[i].Account.ID == 0 {
				t.Errorf("%d: %+v", i, done[i])
			}
		}
		if got := result(login(t, d, IMAP, sasl.Plain, "frank", "frank")); got != "frank@example.org" {
			t.Errorf("with a password in clear: %s", got)
		}
	})
}

// TestImportIsKept opens the directory again before the first login.
func TestImportIsKept(t *testing.T) {
	db := newMemDB()
	d := open(t, db, Options{Cost: cheap})
	must(t, d.AddDomain(t.Context(), "example.test"))
	for i, text := range oldHashes {
		imported(t, d, ImportedAccount{mail.Address{Local: mail.LocalPart("a" + string(rune('a'+i))), Domain: "example.test"}, text})
	}
	d.Close()
	d = open(t, db, Options{Cost: cheap})
	if old, err := d.OldPasswords(t.Context()); err != nil || len(old) != len(oldHashes) || d.state.epoch != uint64(len(oldHashes)) {
		t.Errorf("%d of %d are kept, epoch %d, %v", len(old), len(oldHashes), d.state.epoch, err)
	}
}
