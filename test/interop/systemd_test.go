package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"candor/internal/mailtest"
	"candor/internal/mailtest/tool"
)

// TestUnits: systemd finds nothing wrong with the units, and next to nothing to confine further.
func TestUnits(t *testing.T) {
	t.Parallel()
	analyze, dir := tool.Need(t, "systemd-analyze"), t.TempDir()
	for _, name := range []string{"candor.service", "candor.socket"} {
		unit, err := os.ReadFile("../../packaging/" + name)
		if err != nil {
			t.Fatal(err)
		}
		// The program is not installed here.
		text := strings.ReplaceAll(string(unit), "/usr/bin/candor", binary)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	service := filepath.Join(dir, "candor.service")
	if out, err := output(t, "", analyze, "verify", service, filepath.Join(dir, "candor.socket")); err != nil || strings.Contains(out, dir) {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if out, err := output(t, "", analyze, "security", "--offline=yes", "--threshold=20", service); err != nil { // tenths: 2.0 of 10
		t.Errorf("security: %v\n%s", err, out)
	}
}

// TestSocketUnit: the socket unit has the default listeners, all of them.
func TestSocketUnit(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("../../packaging/candor.socket")
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for _, m := range regexp.MustCompile(`(?m)^ListenStream=\[::\]:(\d+)$`).FindAllStringSubmatch(string(unit), -1) {
		ports = append(ports, m[1])
	}
	s := prepare(t, "")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "[[listener]]")
	if err := os.WriteFile(s.config, []byte(head), 0o600); err != nil {
		t.Fatal(err)
	}
	out := s.candor("", "status", "--config", s.config)
	if n := strings.Count(out, "Port "); n != len(ports) {
		t.Errorf("%d default listeners, %d in the unit", n, len(ports))
	}
	for _, p := range ports {
		if !strings.Contains(out, "Port "+p+" ") {
			t.Errorf("port %s is no default listener's", p)
		}
	}
}

// TestSocketActivation: sockets that the service manager has opened are served; those without a listener are
// refused; a reload cannot drop one.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	activate := tool.Need(t, "systemd-socket-activate")
	s := prepare(t, "")
	s.account("ann@example.org", "secret")
	at := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	s.runAs(func() {
		// It begins candor when the first client comes, and hands over the client with the socket.
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			conn, err := net.Dial("tcp", at(s.imaps))
			if err == nil {
				t.Cleanup(func() { conn.Close() })
				return
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}, activate, "--listen", at(s.imaps), "--listen", at(s.smtp), "--fdname=a:b", binary, "serve", "--config", s.config)
	s.smtpWire(t)
	session := s.imapLogin(t, "ann@example.org")
	s.replace(fmt.Sprintf("address = %q\ntls = \"implicit\"\n\n[[listener]]\nservice = \"pop3\"", at(s.imaps)),
		fmt.Sprintf("address = %q\ntls = \"implicit\"\n\n[[listener]]\nservice = \"pop3\"", at(freePorts(t, 1)[0])))
	if out, err := s.try("", "reload", "--config", s.config); exitCode(err) != 1 || !strings.Contains(out, ".socket unit") {
		t.Errorf("a socket of systemd was dropped: %v, %s", err, out)
	}
	if _, err := session.do("NOOP"); err != nil {
		t.Error(err)
	}
	s.stop()

	free := freePorts(t, 1)[0]
	cmd := command(t, activate, "--listen", at(free), binary, "serve", "--config", s.config)
	out := &mailtest.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", at(free)); err == nil {
			defer conn.Close()
			break
		}
	}
	if err := cmd.Wait(); exitCode(err) != 1 || !strings.Contains(out.String(), `add a [[listener]] with address = "`+at(free)) {
		t.Errorf("a socket without a listener: %v, %s", err, out)
	}
}

// manager is the socket that a service manager listens at for sd_notify(3).
type manager struct{ *net.UnixConn }

func newManager(t *testing.T) manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	return manager{conn}
}

// expect reads to a message that matches.
func (m manager) expect(t *testing.T, want string) {
	t.Helper()
	var seen []string
	for b := make([]byte, 4096); ; {
		n, err := m.Read(b)
		if err != nil {
			t.Fatalf("want %s, got %q, then %v", want, seen, err)
		}
		if regexp.MustCompile(want).Match(b[:n]) {
			return
		}
		seen = append(seen, string(b[:n]))
	}
}

// TestNotify: the service manager hears of start, reload and end, and that the server is healthy.
func TestNotify(t *testing.T) {
	t.Parallel()
	m, s := newManager(t), prepare(t, "")
	s.runAs(func() {}, "env", "NOTIFY_SOCKET="+m.LocalAddr().String(), "WATCHDOG_USEC=600000", binary, "serve", "--config", s.config)
	m.expect(t, `^READY=1\nSTATUS=Serving mail\.example\.org with 7 listeners$`)
	m.expect(t, `^WATCHDOG=1$`)
	m.expect(t, `^WATCHDOG=1$`)
	s.reload()
	m.expect(t, `^RELOADING=1\nMONOTONIC_USEC=\d+\n`)
	m.expect(t, `^READY=1\n`)
	s.replace(`tls = "required"`, `tls = "yes"`)
	s.cmd.Process.Signal(syscall.SIGHUP)
	m.expect(t, `^READY=1\nSTATUS=.* the last reload was refused: .*says nothing definite`)
	s.cmd.Process.Signal(syscall.SIGTERM)
	m.expect(t, `^STOPPING=1\n`)
	if err := s.wait(); err != nil {
		t.Error(err)
	}
}

// TestConfined: the process can read no file that a reload newly names outside of the usual places, and says so.
func TestConfined(t *testing.T) {
	t.Parallel()
	s := prepare(t, "")
	s.run()
	if out := s.candor("", "status", "--config", s.config); strings.Contains(out, "no Landlock") {
		tool.Lacking(t, "Landlock is not in this kernel")
	} else if !strings.Contains(out, "Files: writes only in "+s.dir) {
		t.Fatalf("status: %s", out)
	}
	dir, err := os.MkdirTemp("/var/tmp", "candor-confined-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command("cp", "-r", filepath.Join(s.dir, "tls"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.replace(`cert = "tls/cert.pem"`, `cert = "`+dir+`/tls/cert.pem"`)
	if out, err := s.try("", "reload", "--config", s.config); exitCode(err) != 1 || !strings.Contains(out, "restart candor") {
		t.Errorf("reload: %v, %s", err, out)
	}
	s.stop()
	s.run()
	s.reload()
	s.stop()
}
