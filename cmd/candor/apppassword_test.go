package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"candor/internal/server/web"
)

func TestAppPassword(t *testing.T) {
	data := t.TempDir()
	run := func(stdin string, args ...string) string {
		t.Helper()
		out, errs, _ := candor(t, stdin, append(args, "--config", data+"/candor.toml")...)
		return out + errs
	}
	run("", "quickstart", "--hostname", "mail.example.org", "--domain", "example.org", "--data", data)
	const ann = "ann@example.org"
	run("secret\n", "account", "add", ann, "--password-stdin")
	password := run("", "account", "app-password", "add", ann, "--name", "phone", "--scope", "imap,smtp", "--until", "2999-12-31")
	if !regexp.MustCompile(`^[a-z2-9]{4}(-[a-z2-9]{4}){6}\n$`).MatchString(password) {
		t.Errorf("add printed %q", password)
	}
	var made web.AppPassword
	if text := run("", "account", "app-password", "add", ann, "--name", "reader", "--json"); json.Unmarshal([]byte(text), &made) != nil || made.Password == "" {
		t.Errorf("add --json printed %q", text)
	}
	want := "phone   smtp,imap             until 2999-12-31  never used\nreader  smtp,imap,pop3,sieve  no end            never used\n"
	if got := run("", "account", "app-password", "list", ann); got != want {
		t.Errorf("list printed\n%swant\n%s", got, want)
	}
	if got := run("", "account", "app-password", "list", ann, "--json"); strings.Count(got, "\n") != 2 || strings.Contains(got, made.Password) {
		t.Errorf("list --json printed %q", got)
	}
	for _, c := range [][]string{
		{"no date", "add", ann, "--name", "x", "--until", "31.12.2999", `candor: --until: "31.12.2999" is no date: write it like 2026-12-31`},
		{"past", "add", ann, "--name", "x", "--until", "2001-01-01", "candor: the app password would have ended already: choose a later date"},
		{"no scope", "add", ann, "--name", "x", "--scope", "ftp", `candor: --scope: "ftp" is no scope: use smtp, imap, pop3, sieve or web`},
		{"again", "add", ann, "--name", "phone", `candor: ann@example.org has an app password "phone" already: choose another name, or revoke that one`},
		{"revoke", "revoke", ann, "phone", `The app password "phone" of ann@example.org is revoked.`},
		{"revoke again", "revoke", ann, "phone", `candor: ann@example.org has no app password "phone"`},
	} {
		if got := run("", append([]string{"account", "app-password"}, c[1:len(c)-1]...)...); got != c[len(c)-1]+"\n" {
			t.Errorf("%s: %q, want %q", c[0], got, c[len(c)-1])
		}
	}
}
