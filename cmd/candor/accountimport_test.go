package main

import (
	"os"
	"testing"
)

func TestAccountImport(t *testing.T) {
	data := t.TempDir()
	run := func(stdin string, args ...string) string {
		t.Helper()
		out, errs, _ := candor(t, stdin, append(args, "--config", data+"/candor.toml")...)
		return out + errs
	}
	run("", "quickstart", "--hostname", "mail.example.org", "--domain", "example.org", "--data", data)
	if got := run("", "auth", "census", "--verifiers"); got != "Every password has SCRAM keys.\n" {
		t.Errorf("census without any: %q", got)
	}
	if got := run("", "auth", "census", "--verifiers", "--json"); got != `{"old":[]}`+"\n" {
		t.Errorf("census --json without any: %q", got)
	}
	users := data + "/users"
	text := "# users\n\nann@example.org:{SSHA}pyCe/6X2ihSvNRnT490IWy53XKBqVI5D:1000:1000::/home/ann::\r\n" +
		"bob:{DIGEST-MD5}bob:realm:1b353d36a46e072e40fb5d3a81126518:1000\n" +
		"carol@example.org\n" +
		"dave@example.org:{NTLM}00\n" +
		"ann@example.org:{PLAIN}x\n"
	if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "2 accounts are added.\n" +
		"line 5 is left out: that is no password hash: it begins with its scheme, such as {SHA512-CRYPT}\n" +
		"line 6 is left out: the password scheme {NTLM} is not known; known are ARGON2I, ARGON2ID, BLF-CRYPT, CRAM-MD5, CRYPT, DIGEST-MD5, HMAC-MD5, LDAP-MD5, MD5, MD5-CRYPT, PBKDF2, PLAIN-MD5, SCRAM-SHA-256, SHA, SHA1, SHA256, SHA256-CRYPT, SHA512, SHA512-CRYPT, SMD5, SSHA, SSHA256, SSHA512\n" +
		"line 7 is left out: ann@example.org is there twice\n" +
		"candor: 3 lines are left out\n"
	if got := run("", "account", "import", users, "--domain", "example.org"); got != want {
		t.Errorf("import printed\n%swant\n%s", got, want)
	}
	if got := run("erin@example.org:{PLAIN}secret\n", "account", "import", "-", "--json"); got != `{"added":1,"left_out":0}`+"\n" {
		t.Errorf("import --json printed %q", got)
	}
	if got := run("{SMD5}J+mCr4R+cOOuqTzjvxEqJloVtuY=\n", "account", "add", "frank@example.org", "--password-hash-stdin"); got != "frank@example.org is added.\n" {
		t.Errorf("add printed %q", got)
	}
	if got := run("{SMD5}J\n", "account", "add", "gina@example.org", "--password-hash-stdin"); got != "candor: {SMD5}: the hash is damaged or cut off\n" {
		t.Errorf("add of a damaged hash printed %q", got)
	}
	want = "ann@example.org    {SSHA}        never used\nbob@example.org    {DIGEST-MD5}  never used\nfrank@example.org  {SMD5}        never used\n"
	if got := run("", "auth", "census", "--verifiers"); got != want {
		t.Errorf("census printed\n%swant\n%s", got, want)
	}
}
