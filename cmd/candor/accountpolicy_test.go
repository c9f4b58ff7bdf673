package main

import (
	"strings"
	"testing"
)

func TestAccountPolicy(t *testing.T) {
	data := t.TempDir()
	run := func(stdin string, args ...string) string {
		t.Helper()
		out, errs, _ := candor(t, stdin, append(args, "--config", data+"/candor.toml")...)
		return out + errs
	}
	run("", "quickstart", "--hostname", "mail.example.org", "--domain", "example.org", "--data", data)
	const ann = "ann@example.org"
	run("secret\n", "account", "add", ann, "--password-stdin")
	run("{SMD5}J+mCr4R+cOOuqTzjvxEqJloVtuY=\n", "account", "add", "old@example.org", "--password-hash-stdin")
	for _, c := range [][2]string{
		{"main-password ann@example.org --scope web", "The main password of ann@example.org can be used for: web."},
		{"require ann@example.org scram-plus", "Logins of ann@example.org must be: scram-plus."},
		{"require ann@example.org more", `candor: "more" is no requirement: use plain-ok, scram, scram-plus or cert`},
		{"require old@example.org scram", "candor: a password of old@example.org has no SCRAM keys: it gets them at its next login by PLAIN, or when it is set anew"},
		{"main-password postmaster@example.org --scope web", "candor: postmaster@example.org has no main password"},
		{"main-password ann@example.org --scope mail", `candor: --scope: "mail" is no scope: use smtp, imap, pop3, sieve or web`},
	} {
		if got := run("", append([]string{"account"}, strings.Fields(c[0])...)...); got != c[1]+"\n" {
			t.Errorf("account %s: %q, want %q", c[0], got, c[1])
		}
	}
	want := "ann@example.org  main password for web alone; requires scram-plus\nold@example.org\npostmaster@example.org  cannot log in: no password\n"
	if got := run("", "account", "list"); got != want {
		t.Errorf("account list:\n%swant\n%s", got, want)
	}
	for _, c := range [][2]string{
		{"main-password ann@example.org --scope all", "The main password of ann@example.org can be used for: everything."},
		{"require ann@example.org plain-ok", "Logins of ann@example.org must be: plain-ok."},
	} {
		if got := run("", append([]string{"account"}, strings.Fields(c[0])...)...); got != c[1]+"\n" {
			t.Errorf("account %s: %q, want %q", c[0], got, c[1])
		}
	}
	if got := run("", "account", "list"); !strings.HasPrefix(got, "ann@example.org\nold@example.org\n") {
		t.Errorf("account list:\n%s", got)
	}
	if got := run("", "auth", "cache", "show", ann) + run("", "auth", "cache", "show", ann, "--json"); got != "Nothing is remembered.\n" {
		t.Errorf("cache show: %q", got)
	}
	if got := run("", "auth", "cache", "drop", ann); got != "Nothing is remembered.\n0 entries of ann@example.org are dropped; the server's log has them.\n" {
		t.Errorf("cache drop: %q", got)
	}
}
