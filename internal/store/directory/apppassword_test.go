package directory

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

func appPasswordOf(t testing.TB, d *Directory, a string, n NewAppPassword) string {
	t.Helper()
	password, err := d.AddAppPassword(t.Context(), addr(t, a), n)
	must(t, err)
	return password
}

// expect logs in at a service by all mechanisms.
func expect(t *testing.T, d *Directory, step string, s Service, name, password, want string) {
	t.Helper()
	for _, m := range allMechanisms {
		if got := result(login(t, d, s, m, name, password)); got != want {
			t.Errorf("%s: %s as %s at %s: %s, want %s", step, m, name, s, got, want)
		}
	}
}

// TestAppPasswords: each works beside the others, at the services of its scopes, until it ends or is revoked.
func TestAppPasswords(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const alice = "alice@example.org"
		phone := appPasswordOf(t, d, alice, NewAppPassword{Name: "phone"})
		sender := appPasswordOf(t, d, alice, NewAppPassword{Name: "sender", Scopes: []Scope{ScopeSMTP}})
		guest := appPasswordOf(t, d, alice, NewAppPassword{Name: "guest", Until: d.now().Add(24 * time.Hour)})
		for _, s := range []Service{Submission, IMAP, POP3} {
			expect(t, d, "main", s, alice, "alice", alice)
			expect(t, d, "phone", s, alice, phone, alice)
			expect(t, d, "guest", s, alice, guest, alice)
			expect(t, d, "wrong", s, alice, "aaaa-aaaa", "wrong")
			expect(t, d, "another account's", s, "bob", phone, "wrong")
		}
		expect(t, d, "in scope", Submission, alice, sender, alice)
		expect(t, d, "out of scope", IMAP, alice, sender, "scope")
		expect(t, d, "out of scope", POP3, alice, sender, "scope")
		expect(t, d, "programs' passwords do not open the web", Service(ScopeWeb), alice, phone, "scope")
		time.Sleep(24 * time.Hour)
		expect(t, d, "ended", IMAP, alice, guest, "expired")
		expect(t, d, "without an end", IMAP, alice, phone, alice)
		must(t, d.RevokeAppPassword(t.Context(), addr(t, alice), "phone"))
		expect(t, d, "revoked", IMAP, alice, phone, "wrong")
		expect(t, d, "main after it", IMAP, alice, "alice", alice)
		expect(t, d, "sender after it", Submission, alice, sender, alice)
		must(t, d.SetPassword(t.Context(), addr(t, alice), "changed"))
		expect(t, d, "after a change of the main password", Submission, alice, sender, alice)
		again := appPasswordOf(t, d, alice, NewAppPassword{Name: "phone"})
		expect(t, d, "made again", IMAP, alice, again, alice)
		expect(t, d, "and not as before", IMAP, alice, phone, "wrong")
		must(t, d.SetDisabled(t.Context(), addr(t, alice), true))
		expect(t, d, "disabled", IMAP, alice, again, "disabled")
	})
}

// TestAppPasswordAlone: an account that has app passwords and no main one.
func TestAppPasswordAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const postmaster = "postmaster@example.org"
		expect(t, d, "before", IMAP, postmaster, "x", "no-verifier")
		p := appPasswordOf(t, d, postmaster, NewAppPassword{Name: "reports"})
		expect(t, d, "with one", IMAP, postmaster, p, postmaster)
		expect(t, d, "wrong", IMAP, postmaster, "x", "wrong")
	})
}

// TestRevokeTouchesNoOther revokes one while another, and the main password, are in the midst of SCRAM.
func TestRevokeTouchesNoOther(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const alice = "alice@example.org"
		doomed := appPasswordOf(t, d, alice, NewAppPassword{Name: "doomed"})
		other := appPasswordOf(t, d, alice, NewAppPassword{Name: "other"})
		type half struct {
			password, want string
			exchange       *Exchange
			final          []byte
		}
		halves := []*half{{password: "alice", want: alice}, {password: other, want: alice}, {password: doomed, want: "wrong"}}
		for _, h := range halves {
			var err error
			h.exchange, err = d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.ScramSHA256))
			must(t, err)
			c := newClient(sasl.ScramSHA256, alice, h.password)
			challenge, _, err := h.exchange.Next(t.Context(), c.Start())
			must(t, err)
			h.final, err = c.Next(challenge)
			must(t, err)
		}
		expect(t, d, "cached", IMAP, alice, "alice", alice)
		hits := d.Stats().CacheHits
		must(t, d.RevokeAppPassword(t.Context(), addr(t, alice), "doomed"))
		if got := result(login(t, d, IMAP, sasl.Plain, alice, "alice")); got != alice || d.Stats().CacheHits != hits+1 {
			t.Errorf("the main password after it: %s; %d hits, want %d", got, d.Stats().CacheHits, hits+1)
		}
		for _, h := range halves {
			_, _, err := h.exchange.Next(t.Context(), h.final)
			if got := result(h.exchange.Account(), err); got != h.want {
				t.Errorf("begun before with %q: %s, want %s", h.password, got, h.want)
			}
		}
	})
}

func TestGeneratedPassword(t *testing.T) {
	if bits := passwordGroups * groupLetters * math.Log2(float64(len(passwordLetters))); bits < 128 {
		t.Errorf("%.0f bits", bits)
	}
	if strings.ContainsAny(passwordLetters, "01ilo") || len(slices.Compact(slices.Sorted(slices.Values([]byte(passwordLetters))))) != len(passwordLetters) {
		t.Errorf("letters %q", passwordLetters)
	}
	form, seen, letters := regexp.MustCompile(`^[a-z2-9]{4}(-[a-z2-9]{4}){6}$`), map[string]bool{}, map[rune]int{}
	for range 1000 {
		p := generatePassword()
		if !form.MatchString(p) || seen[p] {
			t.Fatalf("generated %q", p)
		}
		seen[p] = true
		for _, r := range p {
			letters[r]++
		}
	}
	for _, r := range passwordLetters {
		if n := letters[r]; n < 700 || n > 1100 { // 903 are to be expected; 6 deviations are 178
			t.Errorf("%c is %d of 28,000 letters", r, n)
		}
	}
}

func TestAppPasswordRefusals(t *testing.T) {
	d := filled(t)
	ann := addr(t, "ann@example.org")
	appPasswordOf(t, d, "ann@example.org", NewAppPassword{Name: "phone"})
	for name, c := range map[string]struct {
		NewAppPassword
		kind mail.Kind
	}{
		"no name":       {NewAppPassword{}, mail.Syntax},
		"long name":     {NewAppPassword{Name: strings.Repeat("é", 65)}, mail.Syntax},
		"two lines":     {NewAppPassword{Name: "a\nb"}, mail.Syntax},
		"spaces around": {NewAppPassword{Name: " a"}, mail.Syntax},
		"same name":     {NewAppPassword{Name: "phone"}, mail.Exists},
		"no scope":      {NewAppPassword{Name: "a", Scopes: []Scope{"ftp"}}, mail.Syntax},
		"in the past":   {NewAppPassword{Name: "a", Until: time.Now()}, mail.Syntax},
	} {
		_, err := d.AddAppPassword(t.Context(), ann, c.NewAppPassword)
		wantKind(t, name, err, c.kind)
	}
	_, err := d.AddAppPassword(t.Context(), addr(t, "nobody@example.org"), NewAppPassword{Name: "a"})
	wantKind(t, "no account", err, mail.NotFound)
	wantKind(t, "revoking of nobody's", d.RevokeAppPassword(t.Context(), addr(t, "nobody@example.org"), "phone"), mail.NotFound)
	wantKind(t, "revoking of none", d.RevokeAppPassword(t.Context(), ann, "radio"), mail.NotFound)
	must(t, d.edit(t.Context(), ann, func(a *account) (*account, error) {
		for i := range maxAppPasswords {
			a = a.with(credential{a.LastCredential + 1, credentialRecord{Kind: appPassword, Name: fmt.Sprint(i)}})
		}
		return a, nil
	}))
	_, err = d.AddAppPassword(t.Context(), ann, NewAppPassword{Name: "one more"})
	wantKind(t, "too many", err, mail.TooMany)
}

// TestAppPasswordIsKept: opened again, the directory knows all of it, and never gives an id twice.
func TestAppPasswordIsKept(t *testing.T) {
	db := newMemDB()
	d := open(t, db, Options{Cost: cheap})
	must(t, d.AddDomain(t.Context(), "example.org"))
	ann := addr(t, "ann@example.org")
	_, err := d.AddAccount(t.Context(), ann, "")
	must(t, err)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	p := appPasswordOf(t, d, "ann@example.org", NewAppPassword{Name: "phone", Scopes: []Scope{ScopeIMAP}, Until: until})
	appPasswordOf(t, d, "ann@example.org", NewAppPassword{Name: "other"})
	must(t, d.RevokeAppPassword(t.Context(), ann, "other"))
	d.Close()
	for key, value := range db.rows {
		if strings.Contains(string(value), p) {
			t.Errorf("row %q holds the password", key)
		}
	}
	d = open(t, db, Options{Cost: cheap})
	expect(t, d, "after opening again", IMAP, "ann", p, "ann@example.org")
	appPasswordOf(t, d, "ann@example.org", NewAppPassword{Name: "third"})
	all, err := d.Credentials(t.Context(), ann)
	must(t, err)
	if len(all) != 2 || all[0].Name != "phone" || !slices.Equal(all[0].Scopes, []Scope{ScopeIMAP}) || !all[0].Until.Equal(until) ||
		!slices.Equal(all[0].Verifiers, []string{"hmac-sha-256", "scram-sha-256"}) || all[1].ID != 3 || !slices.Equal(all[1].Scopes, ProgramScopes) {
		t.Errorf("credentials: %+v", all)
	}
}

func TestParseScopes(t *testing.T) {
	got, err := ParseScopes([]string{"web", "smtp", "web"})
	if err != nil || !slices.Equal(got, []Scope{ScopeSMTP, ScopeWeb}) {
		t.Errorf("%v, %v", got, err)
	}
	_, err = ParseScopes([]string{"imap", "IMAP"})
	wantKind(t, "IMAP", err, mail.Syntax)
}
