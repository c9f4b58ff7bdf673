// Package interop drives the real binary on loopback with software that nobody here wrote.
package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"candor/internal/mailtest"
)

// hostname is what the server calls itself; it is also in its certificate.
const hostname = "mail.example.org"

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	if attacking() {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "candor-interop-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "candor")
	build := exec.Command("go", "build", "-o", binary, "candor/cmd/candor")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building candor:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// ports are the listeners of a server under test.
type ports struct{ smtp, submission, submissions, imap, imaps, pop3, pop3s int }

// server is a running candor with its data folder.
type server struct {
	t      testing.TB
	dir    string
	config string
	cert   string
	ports
	cmd  *exec.Cmd
	log  *mailtest.Buffer
	told chan struct{} // closed when the log of cmd has ended
}

// prepare makes a data folder with quickstart and gives every listener a free port. more is appended to the
// configuration.
func prepare(t testing.TB, more string) *server {
	t.Helper()
	return prepareFor(t, hostname, "example.org", more)
}

// prepareFor is prepare with other names.
func prepareFor(t testing.TB, hostname, domain, more string) *server {
	t.Helper()
	s := &server{t: t, dir: filepath.Join(t.TempDir(), "data"), log: &mailtest.Buffer{}}
	s.candor("", "quickstart", "--hostname", hostname, "--domain", domain, "--data", s.dir, "--ports", "high")
	s.config, s.cert = filepath.Join(s.dir, "candor.toml"), filepath.Join(s.dir, "tls", "cert.pem")
	s.listenAtFree(more)
	return s
}

// listenAtFree gives every listener a free port, and appends more to the configuration.
func (s *server) listenAtFree(more string) {
	t := s.t
	t.Helper()
	free := freePorts(t, 7)
	s.ports = ports{free[0], free[1], free[2], free[3], free[4], free[5], free[6]}
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "[[listener]]")
	for _, l := range []struct {
		service string
		port    int
		tls     string
	}{
		{"smtp", s.smtp, "opportunistic"},
		{"submission", s.submission, "required"},
		{"submission", s.submissions, "implicit"},
		{"imap", s.imap, "required"},
		{"imap", s.imaps, "implicit"},
		{"pop3", s.pop3, "required"},
		{"pop3", s.pop3s, "implicit"},
	} {
		head += fmt.Sprintf("\n[[listener]]\nservice = %q\naddress = \"127.0.0.1:%d\"\ntls = %q\n", l.service, l.port, l.tls)
	}
	if err := os.WriteFile(s.config, []byte(head+"\n"+more), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start prepares and runs a server whose load tests and clients are exempt from limits, with accounts ann and
// bob of example.org, both with the password "secret".
func start(t testing.TB) *server {
	t.Helper()
	s := prepare(t, "[limits]\nexempt = [\"127.0.0.0/8\"]\n")
	s.account("ann@example.org", "secret")
	s.run()
	s.account("bob@example.org", "secret")
	return s
}

// lastPort is the last port handed out. Ports below the kernel's ephemeral range cannot be taken by a client's
// connection before the server binds them.
var lastPort = struct {
	sync.Mutex
	n int
}{n: 20000 + os.Getpid()%100*100}

func freePorts(t testing.TB, n int) []int {
	t.Helper()
	lastPort.Lock()
	defer lastPort.Unlock()
	var all []int
	for tries := 0; len(all) < n; tries++ {
		if tries > 5000 {
			t.Fatal("no free ports between 20000 and 32000")
		}
		if lastPort.n++; lastPort.n >= 32000 {
			lastPort.n = 20000
		}
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", lastPort.n)); err == nil {
			l.Close()
			all = append(all, lastPort.n)
		}
	}
	return all
}

// candor runs a command to its end and returns its output.
func (s *server) candor(stdin string, args ...string) string {
	s.t.Helper()
	out, err := s.try(stdin, args...)
	if err != nil {
		s.t.Fatalf("candor %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (s *server) try(stdin string, args ...string) (string, error) {
	return s.tryFor(time.Minute, stdin, args...)
}

// tryFor is try for a command that may take long.
func (s *server) tryFor(patience time.Duration, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *server) account(address, password string) {
	s.t.Helper()
	s.candor(password+"\n", "account", "add", address, "--password-stdin", "--config", s.config)
}

// run starts serve and waits for the line "ready".
func (s *server) run() {
	s.t.Helper()
	s.runAs(func() {}, binary, "serve", "--config", s.config)
}

// runAs is run with another command, which needs something to be done before it is ready.
func (s *server) runAs(begun func(), name string, args ...string) {
	s.t.Helper()
	s.cmd = exec.Command(name, args...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ready, told := make(chan struct{}), make(chan struct{})
	s.told = told
	go func() {
		defer close(told)
		var once sync.Once
		eachLine(stderr, func(line string) bool {
			if line == "ready" {
				once.Do(func() { close(ready) })
			}
			fmt.Fprintln(s.log, line)
			return true
		})
	}()
	cmd := s.cmd
	s.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			<-told
			cmd.Wait()
		}
	})
	begun()
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		s.t.Fatalf("candor serve was not ready in 30 s:\n%s", s.log)
	}
}

// wait waits for the server to end, and for the last of what it logs: Wait alone would cut that off.
func (s *server) wait() error {
	<-s.told
	return s.cmd.Wait()
}

// stop ends the server with SIGTERM and waits for it.
func (s *server) stop() {
	s.t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- s.wait() }()
	select {
	case err := <-done:
		if err != nil {
			s.t.Errorf("candor serve ended with %v:\n%s", err, s.log)
		}
	case <-time.After(30 * time.Second):
		s.t.Fatalf("candor serve did not end in 30 s after SIGTERM:\n%s", s.log)
	}
}

// kill ends the server with SIGKILL.
func (s *server) kill() {
	s.cmd.Process.Kill()
	s.wait()
}

func (s *server) clientTLS() *tls.Config {
	s.t.Helper()
	pem, err := os.ReadFile(s.cert)
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: hostname}
}

// output runs a program to its end and returns its output and error.
func output(t testing.TB, stdin string, name string, args ...string) (string, error) {
	t.Helper()
	cmd := command(t, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// onTerminal runs a program that wants a terminal, on one that nobody types on, and returns what it showed.
func onTerminal(t testing.TB, name string, args ...string) (string, error) {
	t.Helper()
	cmd := command(t, name, args...)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan string)
	go func() {
		var out bytes.Buffer
		_, _ = io.Copy(&out, terminal) // ends when the terminal is closed, on Linux with EIO
		shown <- out.String()
	}()
	err = cmd.Wait()
	terminal.Close()
	return <-shown, err
}

// command is a program with a home of its own that ends after two minutes at most.
func command(t testing.TB, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8", "TERM=xterm")
	return cmd
}

// must is output for a program that has to succeed.
func (s *server) must(stdin string, name string, args ...string) string {
	s.t.Helper()
	out, err := output(s.t, stdin, name, args...)
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s\nlog of the server:\n%s", name, strings.Join(args, " "), err, out, s.log)
	}
	return out
}

// alone waits until no other run of these tests on this machine uses what there is only once, and keeps it until the
// end of the test.
func alone(t testing.TB, what string) {
	t.Helper()
	name := fmt.Sprintf("candor-test-%s-%d.lock", what, os.Getuid())
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
}

// write puts a file into a temporary folder and returns its path.
func write(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// await waits for text in the server's log.
func (s *server) await(text string) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(s.log.String(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("the log lacks %q:\n%s", text, s.log)
		}
	}
}
