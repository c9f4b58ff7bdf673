package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"candor/internal/mailtest"
)

// TestOperator: commands do the same while the server runs and while it does not.
func TestOperator(t *testing.T) {
	t.Parallel()
	s := prepare(t, "")
	conf := []string{"--config", s.config}
	for _, running := range []bool{false, true} {
		name := map[bool]string{false: "stopped", true: "running"}[running]
		if running {
			s.run()
		}
		cmd := func(stdin string, args ...string) string { return s.candor(stdin, append(args, conf...)...) }
		cmd("secret\n", "account", "add", name+"@example.org", "--password-stdin")
		if out, err := s.try("secret\n", append([]string{"account", "add", name + "@example.org", "--password-stdin"}, conf...)...); err == nil {
			t.Errorf("%s: added twice: %s", name, out)
		}
		if out, err := s.try("secret\n", append([]string{"account", "add", "x@absent.example", "--password-stdin"}, conf...)...); err == nil || !strings.Contains(out, "absent.example") {
			t.Errorf("%s: an account of a domain that is not ours: %v, %s", name, err, out)
		}
		cmd("other\n", "account", "password", name+"@example.org", "--password-stdin")
		cmd("", "domain", "add", name+".example")
		cmd("", "alias", "add", "info@"+name+".example", name+"@example.org")
		if out := cmd("", "alias", "list"); !strings.Contains(out, "info@"+name+".example") {
			t.Errorf("%s: aliases %s", name, out)
		}
		for line := range strings.Lines(cmd("", "account", "list", "--json")) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: not an object: %s", name, line)
			}
		}
		var status map[string]any
		if out := cmd("", "status", "--json"); json.Unmarshal([]byte(out), &status) != nil || status["running"] != running {
			t.Errorf("%s: status %s", name, out)
		}
		if _, err := s.try("", append([]string{"domain", "remove", name + ".example"}, conf...)...); err == nil {
			t.Errorf("%s: a domain with an alias was removed", name)
		}
		cmd("", "alias", "remove", "info@"+name+".example")
		cmd("", "domain", "remove", name+".example")
	}
	// The accounts made while it was stopped and while it ran work.
	for _, user := range []string{"stopped@example.org", "running@example.org"} {
		c, err := dialTLS(s, s.imaps)
		if err != nil {
			t.Fatal(err)
		}
		i := newIMAPClient(c)
		if _, err := i.do("LOGIN " + user + " other"); err != nil {
			t.Errorf("login of %s: %v", user, err)
		}
		lines, err := i.do(`LIST (SUBSCRIBED) "" "*" RETURN (SPECIAL-USE)`)
		if err != nil {
			t.Error(err)
		}
		for _, want := range []string{"INBOX", `\Drafts`, `\Sent`, `\Trash`, `\Junk`, `\Archive`} {
			if !strings.Contains(strings.Join(lines, "\n"), want) {
				t.Errorf("%s: no %s in %q", user, want, lines)
			}
		}
		c.Close()
	}
	s.stop()
	if _, err := os.Stat(filepath.Join(s.dir, "candor.sock")); err == nil {
		t.Error("the operator socket is left behind")
	}
}

// TestServeRefusals: serve explains what it refuses and exits with 1; a wrong command line exits with 2.
func TestServeRefusals(t *testing.T) {
	t.Parallel()
	s := prepare(t, "[[listener]]\nservice = \"imap\"\naddress = \"127.0.0.1:1\"\ntls = \"opportunistic\"\n")
	out, err := s.try("", "serve", "--config", s.config)
	if code := exitCode(err); code != 1 || !strings.Contains(out, "CFG-01") || !strings.Contains(out, s.config+":") {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, err := s.try("", "serve", "--no-such-flag"); exitCode(err) != 2 {
		t.Errorf("a wrong flag: %v, %s", err, out)
	}
	if out, err := s.try("", "quickstart", "--hostname", hostname, "--domain", "example.org", "--data", s.dir); err == nil || !strings.Contains(out, "not empty") {
		t.Errorf("quickstart into a full folder: %v, %s", err, out)
	}
	two := start(t)
	if out, err := two.try("", "serve", "--config", two.config); err == nil || !strings.Contains(out, "in use") {
		t.Errorf("a second server on the same folder: %v, %s", err, out)
	}
}

// TestLogReaderGone: the server outlives whoever reads its log, and a hangup right after it began.
func TestLogReaderGone(t *testing.T) {
	t.Parallel()
	s := prepare(t, "")
	s.account("ann@example.org", "secret")
	cmd := exec.Command(binary, "serve", "--config", s.config)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	eachLine(stderr, func(line string) bool { return line != "ready" })
	cmd.Process.Signal(syscall.SIGHUP)
	stderr.Close()
	s.imapLogin(t, "ann@example.org") // logs a line
	s.imapLogin(t, "ann@example.org")
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("candor serve ended with %v", err)
	}
}

func exitCode(err error) int {
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	return 0
}

// TestMetrics: the page is whole on the operator socket, with every listener; the manual names what it shows.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := start(t)
	socket := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.dir, "candor.sock"))
	}}
	defer socket.CloseIdleConnections()
	r, err := (&http.Client{Transport: socket}).Get("http://candor/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	page, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v:\n%s", r.Status, err, page)
	}
	if n := strings.Count(string(page), "\ncandor_listener_open{"); n != 7 {
		t.Errorf("%d listeners in\n%s", n, page)
	}
	manual, err := os.ReadFile("../../docs/manual/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	shown, told := names(string(page)), names(string(manual))
	for name := range shown {
		if !told[name] {
			t.Errorf("docs/manual/monitoring.md does not tell of %s", name)
		}
	}
	for name := range told {
		// Those by kind are absent until there was one, and so is an alarm.
		if !shown[name] && name != "candor_directory_refused" && name != "candor_alarm_raised" {
			t.Errorf("docs/manual/monitoring.md tells of %s, which is not there", name)
		}
	}
}

// names finds the names of our metrics in text.
func names(text string) map[string]bool {
	found := map[string]bool{}
	for _, name := range regexp.MustCompile(`\bcandor_[a-z0-9_]*[a-z0-9]\b`).FindAllString(text, -1) {
		found[name] = true
	}
	return found
}

// TestDemo runs the demo as a new user does and ends it. Beside a demo that is up it goes on with the folder of an
// earlier one, which has other ports.
func TestDemo(t *testing.T) {
	t.Parallel()
	alone(t, "demo")
	dir, imaps := filepath.Join(t.TempDir(), "demo"), 2993
	if portTaken(2525, 2587, 2465, 2143, 2993, 2110, 2995, 2443, 2080) {
		s := prepareFor(t, "mail.demo.example", "demo.example", "")
		dir, imaps = s.dir, s.imaps
	}
	out := &mailtest.Buffer{}
	cmd := exec.Command(binary, "demo", "--data", dir)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	for end := time.Now().Add(time.Minute); !strings.Contains(out.String(), "Ctrl-C ends it"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no proof in a minute:\n%s", out)
		}
	}
	for _, want := range []string{"alice@demo.example", "bob@demo.example", "with ESMTPSA id", "Candor-Transport: v=1;", "state=encrypted-unauthenticated", "Encrypted from the first byte.", fmt.Sprintf("127.0.0.1:%d", imaps)} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v:\n%s", err, out)
	}
}

// portTaken reports whether something listens at one of the ports.
func portTaken(ports ...int) bool {
	for _, port := range ports {
		if conn, err := dialPort(port); err == nil {
			conn.Close()
			return true
		}
	}
	return false
}

// TestDisabled: a disabled account cannot log in to a running server, and gets its mail all the same.
func TestDisabled(t *testing.T) {
	s := start(t)
	s.candor("", "account", "disable", "ann@example.org", "--config", s.config)
	if _, err := s.tryLogin("ann@example.org"); err == nil || !strings.Contains(err.Error(), "AUTHENTICATIONFAILED") {
		t.Errorf("a disabled account logs in: %v", err)
	}
	s.sendPlain(t, "ann@example.org", "meanwhile")
	s.candor("", "account", "enable", "ann@example.org", "--config", s.config)
	s.waitFor(t, "ann@example.org", "meanwhile")
}
