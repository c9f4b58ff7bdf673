package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest"
)

// openServer is a server in this process, on loopback ports, until the test ends.
type openServer struct {
	*running
	file string
	log  *mailtest.Buffer
}

// serveHere serves the configuration of world with other listeners and rules.
func serveHere(t *testing.T, rules string) *openServer {
	t.Helper()
	_, file := world(t)
	s := &openServer{file: file, log: &mailtest.Buffer{}}
	if err := writeCertificate(filepath.Join(filepath.Dir(file), "tls"), "mail.example.org", true); err != nil {
		t.Fatal(err)
	}
	s.write(t, rules)
	c, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	p, err := openParts(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if s.running, err = openRunning(c, p, nil, log); err != nil {
		t.Fatal(err)
	}
	p.queue.Start()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.serve(ctx, nil, func() { close(ready) }); err != nil {
			t.Error(err)
		}
	}()
	<-ready
	stop := s.watchAlarms()
	t.Cleanup(func() {
		stop()
		cancel()
		<-ended
		s.close()
	})
	return s
}

func (s *openServer) write(t *testing.T, rules string) {
	t.Helper()
	if err := os.WriteFile(s.file, []byte(minimal+rules), 0o600); err != nil {
		t.Fatal(err)
	}
}

// dial connects to a listener by its name.
func (s *openServer) dial(t *testing.T, name string) net.Conn {
	t.Helper()
	for _, l := range s.doors.Listeners() {
		if l.Name != name {
			continue
		}
		c, err := net.Dial("tcp", l.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(20 * time.Second))
		return c
	}
	t.Fatalf("no listener %s", name)
	return nil
}

// command runs candor beside the server.
func (s *openServer) command(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := candor(t, "", append(args, "--config", s.file)...)
	if code != 0 {
		t.Fatalf("%v: exit %d: %s", args, code, errs)
	}
	return out
}

// until reads until the connection has sent a text, and returns what came.
func until(t *testing.T, c net.Conn, want string) string {
	t.Helper()
	var all strings.Builder
	b := make([]byte, 1)
	for !strings.Contains(all.String(), want) {
		if _, err := c.Read(b); err != nil {
			t.Fatalf("got %q, %v; want %q", all.String(), err, want)
		}
		all.Write(b)
	}
	return all.String()
}

const wrongListeners = `
[[listener]]
service = "imap"
address = "127.0.0.1:0"
tls = "required"
name = "imap"
[[listener]]
service = "pop3"
address = "127.0.0.1:0"
tls = "implicit"
name = "pop3s"
`

// TestClients: a person whose program is set wrongly can be told so, when the address or the name tells who it is.
func TestClients(t *testing.T) {
	s := serveHere(t, wrongListeners)
	if out := s.command(t, "clients"); !strings.HasPrefix(out, "No program with a wrong setting") {
		t.Errorf("at first: %s", out)
	}
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it is about the server
	tls.Client(s.dial(t, "imap"), config).Handshake()
	clear := s.dial(t, "imap")
	io.WriteString(clear, "a LOGIN ann@example.org wrong\r\n")
	until(t, clear, "a NO [PRIVACYREQUIRED]")
	text := s.dial(t, "pop3s")
	io.WriteString(text, "USER ann\r\n")
	until(t, text, "-ERR [SYS/PERM] This port needs SSL/TLS from the start")
	rows := strings.Split(s.command(t, "clients"), "\n")
	port := func(name string) string {
		for _, l := range s.doors.Listeners() {
			if l.Name == name {
				_, port, _ := net.SplitHostPort(l.Address)
				return port
			}
		}
		return ""
	}
	for _, want := range [][2]string{
		{"  -  ", "Your program is set to SSL/TLS on port " + port("imap") + "; that port expects STARTTLS. Use port 993 and keep SSL/TLS."},
		{"  ann@example.org  ", "Your program tries to log in without encryption on port " + port("imap") + ". Set *Connection security* to *SSL/TLS*, port 993."},
		{"  -  ", "Your program is set to STARTTLS or none on port " + port("pop3s") + "; that port expects SSL/TLS from the start. Choose SSL/TLS."},
	} {
		if !someLineHas(rows, "127.0.0.1"+want[0], want[1]) {
			t.Errorf("no line with %q in\n%s", want, strings.Join(rows, "\n"))
		}
	}
	right := s.dial(t, "imap")
	io.WriteString(right, "a STARTTLS\r\n")
	until(t, right, "a OK Begin TLS negotiation now\r\n")
	secure := tls.Client(right, config)
	io.WriteString(secure, "b LOGIN ann@example.org \"secret words\"\r\n")
	until(t, secure, "b OK")
	out := s.command(t, "clients", "--json")
	if strings.Count(out, `"accounts":["ann@example.org"]`) != 3 || strings.Count(out, "\n") != 1 || !strings.Contains(out, `"programs":[{"account":"ann@example.org","svc":"imap"`) {
		t.Errorf("after a login from there:\n%s", out)
	}
}

func someLineHas(lines []string, parts ...string) bool {
	for _, line := range lines {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return true
		}
	}
	return false
}

const scanListener = `
[[listener]]
service = "submission"
address = "127.0.0.1:0"
tls = "required"
name = "scan"
[insecure.old-scanner]
listener = "scan"
networks = ["127.0.0.0/8"]
allow = "clear-auth"
reason = "Scanner X"
owner = "karin"
until = %s
`

// TestException: an insecure flag works while it holds, everything tells of it, and after its end its networks
// find the listener shut.
func TestException(t *testing.T) {
	rules := func(days int) string {
		return fmt.Sprintf(scanListener, time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly))
	}
	s := serveHere(t, rules(5))
	c := s.dial(t, "scan")
	io.WriteString(c, "EHLO scanner\r\nAUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQgd29yZHM=\r\nQUIT\r\n")
	until(t, c, "235 2.7.0 Authentication successful\r\n")
	io.ReadAll(c)
	words := "At listener scan, 127.0.0.0/8 may send passwords and mail in clear text. Exception old-scanner (Scanner X, karin) ends in 6 days. It was used 1 time in 30 days, last by 127.0.0.1."
	for end := time.Now().Add(20 * time.Second); !strings.Contains(s.command(t, "status"), words); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %q in\n%s", words, s.command(t, "status"))
		}
	}
	for _, want := range []string{"Login offered: before TLS: by exception insecure:old-scanner; after TLS: ", "Least state accepted from 127.0.0.0/8, by exception insecure:old-scanner: clear."} {
		if out := s.command(t, "status"); !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out := s.command(t, "status"); !strings.Contains(out, "Alarm A-132 old-scanner: Exception old-scanner (Scanner X, karin) ends in 6 days.") {
		t.Errorf("no alarm in\n%s", out)
	}
	for _, want := range []string{"msg=alarm id=A-132 subject=old-scanner stage=\"7 days\"", "msg=\"login ok\"", "tls.floor_source=insecure:old-scanner"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("no %q in\n%s", want, s.log)
		}
	}
	s.write(t, rules(-1))
	s.command(t, "reload")
	until(t, s.dial(t, "scan"), "421 4.7.0 mail.example.org Not open to your network: the exception for it has ended. Set connection security to SSL/TLS, port 465\r\n")
	if out := s.command(t, "status"); !strings.Contains(out, "Exception old-scanner (Scanner X, karin) has ended: scan is closed to its networks.") || strings.Contains(out, "by exception insecure:old-scanner") ||
		!strings.Contains(out, "Shut to 127.0.0.0/8 since the end of exception insecure:old-scanner.") {
		t.Errorf("no end in\n%s", out)
	}
}
