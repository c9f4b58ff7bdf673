package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func candor(t *testing.T, stdin string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &o, &e)
	return o.String(), e.String(), code
}

// TestQuickstartOfRoot: in another user's folder root is refused, and leaves nothing there.
func TestQuickstartOfRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if os.Chown(dir, 65534, -1) != nil {
		t.Skip("only root meets this")
	}
	_, errs, code := candor(t, "", "quickstart", "--hostname", "mail.example.org", "--domain", "example.org", "--data", dir)
	if code != 1 || !strings.Contains(errs, "runuser -u") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestQuickstart: into an existing empty folder, named relative to the current one.
func TestQuickstart(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("data", 0o700); err != nil {
		t.Fatal(err)
	}
	out, errs, code := candor(t, "", "quickstart", "--hostname", "mail.example.org", "--domain", "Example.ORG", "--data", "data", "--ports", "high", "--address", "::1")
	if code != 0 || !strings.Contains(out, "MX    10 mail.example.org.") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	c, err := loadConfig("data/candor.toml")
	if err != nil {
		t.Fatal(err)
	}
	if l := c.Listeners[0]; l.Address != "[::1]:2525" || c.Data != "data" {
		t.Errorf("got %s, data %s", l.Address, c.Data)
	}
	for file, mode := range map[string]os.FileMode{"tls/key.pem": 0o600, "tls/cert.pem": 0o644, "candor.toml": 0o640} {
		if info, err := os.Stat(filepath.Join("data", file)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	if out, errs, code := candor(t, " pass word \n", "account", "add", "ann@example.org", "--password-stdin", "--config", "data/candor.toml"); code != 0 {
		t.Errorf("account add: exit %d: %s%s", code, out, errs)
	}
	quota := func(want string, flags ...string) {
		t.Helper()
		out, errs, _ := candor(t, "", append([]string{"account", "quota", "ann@example.org", "--config", "data/candor.toml"}, flags...)...)
		if out+errs != want {
			t.Errorf("account quota %q: got %q, want %q", flags, out+errs, want)
		}
	}
	quota("storage:  0 octets, no quota\nmessages: 0, no quota\n")
	quota("storage:  0 octets of 1.0 GiB\nmessages: 0, no quota\n", "--storage", "1GiB")
	quota("storage:  0 octets of 1.0 GiB\nmessages: 0 of 1000\n", "--messages", "1000")
	quota("candor: --messages: \"many\" is not a whole number\n", "--messages", "many")
	quota("candor: --storage: use a number above 0, none, or default\n", "--storage", "0")
	if out, errs, _ := candor(t, "", "account", "list", "--config", "data/candor.toml"); !strings.Contains(out, "ann@example.org         quota of its own: 1.0 GiB, 1000 messages\n") {
		t.Errorf("accounts: %s%s", out, errs)
	}
	quota("storage:  0 octets, no quota\nmessages: 0, no quota\n", "--messages", "default", "--storage", "none")
	for _, act := range []struct{ command, said, listed string }{
		{"disable", "ann@example.org cannot log in any more.\n", "ann@example.org         disabled; quota of its own: unlimited\n"},
		{"enable", "ann@example.org can log in again.\n", "ann@example.org         quota of its own: unlimited\n"},
	} {
		if out, errs, _ := candor(t, "", "account", act.command, "ann@example.org", "--config", "data/candor.toml"); out != act.said {
			t.Errorf("account %s: %s%s", act.command, out, errs)
		}
		if out, errs, _ := candor(t, "", "account", "list", "--config", "data/candor.toml"); !strings.Contains(out, act.listed) {
			t.Errorf("accounts: %s%s", out, errs)
		}
	}
	if _, errs, code := candor(t, "", "account", "disable", "nobody@example.org", "--config", "data/candor.toml"); code != exitFailed || !strings.Contains(errs, "there is no account") {
		t.Errorf("disabling nobody: exit %d: %s", code, errs)
	}
	out, errs, _ = candor(t, "", "account", "--config", "data/candor.toml", "list", "--json")
	if strings.Count(out, "\n") != 2 || !strings.Contains(out, `"address":"postmaster@example.org"`) {
		t.Errorf("accounts: %s%s", out, errs)
	}
}

// TestServeWaitsForCommand: a server that starts while a command has the store waits for it to end.
func TestServeWaitsForCommand(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "candor.toml")
	if err := os.WriteFile(config, []byte(minimal+"[[listener]]\nservice = \"imap\"\naddress = \"127.0.0.1:0\"\ntls = \"implicit\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeCertificate(filepath.Join(dir, "tls"), "mail.example.org", true); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	command, err := openOffline(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- serve(ctx, c, serveOptions{log: io.Discard, ready: func() { close(ready) }}) }()
	select {
	case err := <-ended:
		t.Fatalf("the server did not wait: %v", err)
	case <-time.After(200 * time.Millisecond): // it has met the lock by now; if not, the test proves nothing
	}
	if err := command.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("the server did not start: %v", err)
	}
	if _, errs, code := candor(t, "", "serve", "--config", config); code != exitFailed || !strings.Contains(errs, "in use by another candor") {
		t.Errorf("a second server: exit %d: %s", code, errs)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestStatus: of a server that does not run, and of one with a configuration of five lines.
func TestStatus(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "candor.toml")
	if err := os.WriteFile(config, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := candor(t, "", "status", "--config", config)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	for _, want := range []string{
		"mail.example.org is not running.\n",
		"Port 25 (smtp): TLS opportunistic. Least state accepted: clear. Login offered: never. ",
		"Port 587 (submission): TLS required. Least state accepted: encrypted-unauthenticated. Login offered: before TLS: never; after TLS: SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN, LOGIN. ",
		"Port 995 (pop3): TLS implicit. Least state accepted: encrypted-unauthenticated. ",
		"Port 80 (http): TLS none. Least state accepted: clear. Login offered: never. ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var status map[string]any
	out, errs, _ = candor(t, "", "status", "--json", "--config", config)
	if err := json.Unmarshal([]byte(out), &status); err != nil || status["running"] != false {
		t.Errorf("%v: %s%s", err, out, errs)
	}
}

// TestQuickstartRefusals: what cannot become a server leaves nothing behind, so that the next try finds an
// empty folder.
func TestQuickstartRefusals(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for name, c := range map[string]struct{ hostname, domain, address, want string }{
		"hostname is a literal": {"[192.0.2.1]", "example.org", "", "--hostname"},
		"hostname is no name":   {"a b", "example.org", "", "--hostname"},
		"domain is a literal":   {"mail.example.org", "[192.0.2.1]", "", "--domain"},
		"address is no address": {"mail.example.org", "example.org", "localhost", "--address"},
	} {
		_, errs, code := candor(t, "", "quickstart", "--hostname", c.hostname, "--domain", c.domain, "--data", dir, "--address", c.address)
		if code != exitFailed || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: the folder was made", name)
		}
	}
}
