package directory

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

func TestRequirementMet(t *testing.T) {
	all := []string{"EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN", "IMAP-LOGIN", "POP3-USER", "CRAM-MD5"}
	for name, accepted := range map[string]int{"plain-ok": len(all), "scram": 7, "scram-plus": 3, "cert": 1} {
		r, err := ParseRequirement(name)
		must(t, err)
		for i, m := range all {
			if got := r.met(m); got != (i < accepted) {
				t.Errorf("%s accepts %s: %v", name, m, got)
			}
		}
	}
	_, err := ParseRequirement("")
	wantKind(t, "nothing", err, mail.Syntax)
}

// TestRequirementNeedsKeys: SCRAM cannot be required of a password that has no keys for it.
func TestRequirementNeedsKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		carol := addr(t, "carol@example.org")
		imported(t, d, ImportedAccount{carol, sshaOfHorse})
		wantKind(t, "before the first login", d.SetRequirement(t.Context(), carol, RequireScram), mail.Sequence)
		_, err := login(t, d, IMAP, sasl.Plain, "carol", "correct-horse")
		must(t, err)
		must(t, d.SetRequirement(t.Context(), carol, RequireScram))
		wantKind(t, "an unknown one", d.SetRequirement(t.Context(), carol, "more"), mail.Syntax)
		wantKind(t, "nobody's", d.SetRequirement(t.Context(), addr(t, "nobody@example.org"), RequireScram), mail.NotFound)
		wantKind(t, "scopes of no password", d.SetPasswordScopes(t.Context(), addr(t, "postmaster@example.org"), []Scope{ScopeWeb}), mail.NotFound)
		wantKind(t, "an unknown scope", d.SetPasswordScopes(t.Context(), carol, []Scope{"ftp"}), mail.Syntax)
	})
}

// TestMechanismsByScope is rule A-1: an old password that is not for a service does not keep SCRAM from it.
func TestMechanismsByScope(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		carol := addr(t, "carol@example.org")
		imported(t, d, ImportedAccount{carol, sshaOfHorse})
		offered := func(s Service) bool {
			return slices.Contains(d.Mechanisms(Attempt{Service: s}), sasl.ScramSHA256)
		}
		if offered(IMAP) || offered(Submission) {
			t.Error("SCRAM is offered to a password that has no keys")
		}
		must(t, d.SetPasswordScopes(t.Context(), carol, []Scope{ScopeIMAP}))
		if offered(IMAP) || !offered(Submission) {
			t.Error("SCRAM is to be offered at submission alone")
		}
		must(t, d.SetPasswordScopes(t.Context(), carol, []Scope{ScopeWeb}))
		if !offered(IMAP) {
			t.Error("a password for the web keeps SCRAM from IMAP")
		}
	})
}

// TestCachedLogins: what is remembered can be seen and dropped, without anything secret.
func TestCachedLogins(t *testing.T) {
	var logged bytes.Buffer
	d := withPasswords(t)
	d.log = slog.New(slog.NewTextHandler(&logged, nil))
	alice := addr(t, "alice@example.org")
	for _, name := range []string{"alice", "alice", "Alice", "bob@example.org"} {
		_, err := login(t, d, IMAP, sasl.Plain, name, strings.ToLower(name[:strings.IndexByte(name+"@", '@')]))
		must(t, err)
	}
	shown, err := d.CachedLogins(t.Context(), alice)
	if err != nil || len(shown) != 2 || shown[0].Key == shown[1].Key || len(shown[0].Key) != 16 || shown[0].Read != shown[0].Now || shown[0].Credential != 1 {
		t.Errorf("%+v, %v", shown, err)
	}
	must(t, d.SetDisabled(t.Context(), alice, true))
	must(t, d.SetDisabled(t.Context(), alice, false))
	dropped, err := d.ForgetCached(t.Context(), alice)
	if err != nil || len(dropped) != 2 || dropped[0].Now.Account != dropped[0].Read.Account+2 {
		t.Errorf("%+v, %v", dropped, err)
	}
	if shown, _ = d.CachedLogins(t.Context(), alice); len(shown) != 0 || d.Stats().CacheEntries != 1 {
		t.Errorf("left are %+v; %d in all", shown, d.Stats().CacheEntries)
	}
	if got := strings.Count(logged.String(), "entry="+dropped[0].Key+" credential=1 age=0s read=1/1/0 now=1/3/0"); got != 1 {
		t.Errorf("logged %s", logged.String())
	}
	_, err = d.CachedLogins(t.Context(), addr(t, "nobody@example.org"))
	wantKind(t, "nobody's", err, mail.NotFound)
	_, err = d.ForgetCached(t.Context(), addr(t, "nobody@example.org"))
	wantKind(t, "nobody's", err, mail.NotFound)
}

// TestRequirementAlarms: who is locked out by what he requires is told of.
func TestRequirementAlarms(t *testing.T) {
	d := withPasswords(t)
	const alice = "alice@example.org"
	require := func(r Requirement) { must(t, d.SetRequirement(t.Context(), addr(t, alice), r)) }
	want := func(step, text string) {
		t.Helper()
		all := d.RequirementAlarms()
		if text == "" && len(all) == 0 {
			return
		}
		text = "alice@example.org cannot log in: it requires " + text + ". Mend that, or 'candor account require alice@example.org plain-ok'."
		if len(all) != 1 || all[0].ID != "A-136" || all[0].Subject != alice || all[0].Text != text {
			t.Errorf("%s: %+v, want %q", step, all, text)
		}
	}
	want("at first", "")
	require(RequireScram)
	want("SCRAM is offered", "")
	must(t, withoutScram(t.Context(), d, addr(t, "bob@example.org")))
	want("for the sake of bob", "scram, and SCRAM-SHA-256 is not offered at submission because 1 of 5 accounts lacks a SCRAM key")
	must(t, d.SetDisabled(t.Context(), addr(t, alice), true))
	want("disabled", "")
	must(t, d.SetDisabled(t.Context(), addr(t, alice), false))
	require(RequireCert)
	want("no certificate", "cert, and it has no client certificate")
	must(t, d.AddCertificate(t.Context(), addr(t, alice), NewCertificate{Name: "x", Email: addr(t, alice)}))
	want("a certificate", "")
}
