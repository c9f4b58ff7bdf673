package pop3d_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest"
	"candor/internal/mailtest/tool"
	"candor/internal/server/listen"
	"candor/internal/server/pop3d"
	"candor/internal/store/mailbox"
)

const (
	account  = "ann@example.org"
	password = "a good secret"
)

func world(t testing.TB) *mailtest.World {
	t.Helper()
	return mailtest.NewWorld(t, "account "+account+" "+password+"\n")
}

func serve(t testing.TB, w *mailtest.World) net.Addr {
	t.Helper()
	return w.Serve(t, listen.POP3, listen.Implicit, handler(nil, w))
}

// client is a logged-in session under TLS.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func login(t testing.TB, w *mailtest.World, addr net.Addr) *client {
	t.Helper()
	c := dial(t, w, addr)
	c.expect("+OK ")
	c.do("USER "+account, "+OK ")
	c.do("PASS "+password, "+OK ")
	return c
}

func dial(t testing.TB, w *mailtest.World, addr net.Addr) *client {
	t.Helper()
	conn, err := tls.Dial("tcp", addr.String(), w.ClientTLS())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return &client{t, conn, bufio.NewReaderSize(conn, 64<<10)}
}

func (c *client) do(command, want string) {
	c.t.Helper()
	if _, err := io.WriteString(c, command+"\r\n"); err != nil {
		c.t.Fatalf("%s: %v", command, err)
	}
	c.expect(want)
}

func (c *client) expect(want string) {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, want) {
		c.t.Fatalf("got %q, %v; want %q", line, err, want)
	}
}

// lines reads a multi-line reply, its end included, and returns its size.
func (c *client) lines() int {
	c.t.Helper()
	for n := 0; ; {
		line, err := c.r.ReadSlice('\n')
		if n += len(line); err != nil {
			c.t.Fatalf("after %d octets: %v", n, err)
		}
		if string(line) == ".\r\n" {
			return n
		}
	}
}

// TestGreatHeader: one that is in US-ASCII, as it is whatever its length, need not be held; nor that of a message which
// never ends it.
func TestGreatHeader(t *testing.T) {
	t.Parallel()
	w := world(t)
	field := "X: " + strings.Repeat("y", 900) + "\n"
	header := strings.Repeat(field, 2000)
	w.Append(t, account, "INBOX", header+"\nbody\n")
	w.Append(t, account, "INBOX", header)
	w.Append(t, account, "INBOX", header+"Subject: ü\n\nbody\n")
	c := login(t, w, serve(t, w))
	for command, want := range map[string]int{"RETR 1": 2000*905 + len("\r\nbody\r\n.\r\n"), "TOP 1 0": 2000*905 + len("\r\n.\r\n"), "RETR 2": 2000*905 + len(".\r\n")} {
		c.do(command, "+OK ")
		if got := c.lines(); got != want {
			t.Errorf("%s: got %d octets, want %d", command, got, want)
		}
	}
	c.do("RETR 3", "-ERR [UTF8] ")
}

// TestWithoutQuit: a connection that breaks removes nothing and gives the maildrop back.
func TestWithoutQuit(t *testing.T) {
	t.Parallel()
	w := world(t)
	w.Append(t, account, "INBOX", "Subject: x\n\nx\n")
	addr := serve(t, w)
	c := login(t, w, addr)
	c.do("DELE 1", "+OK ")
	c.NetConn().Close()
	waitLog(t, w, "reason=disconnected")
	if n := len(w.Messages(t, account, "INBOX")); n != 1 {
		t.Errorf("%d messages are left, want 1", n)
	}
	login(t, w, addr).do("STAT", "+OK 1 ")
}

func (c *client) NetConn() net.Conn { return c.Conn.(*tls.Conn).NetConn() }

func waitLog(t testing.TB, w *mailtest.World, want string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(w.Logged.String(), want); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log lacks %q:\n%s", want, w.Logged)
		}
	}
}

// TestExpunged: another program removes a message while a session shows it.
func TestExpunged(t *testing.T) {
	t.Parallel()
	w := world(t)
	uid := w.Append(t, account, "INBOX", "Subject: x\n\nx\n")
	w.Append(t, account, "INBOX", "Subject: y\n\ny\n")
	c := login(t, w, serve(t, w))
	remove(t, w, uid)
	c.do("RETR 1", "-ERR the message has been removed by another program")
	c.do("TOP 1 0", "-ERR the message has been removed by another program")
	c.do("STAT", "+OK 2 ") // the maildrop stays as it was at login
	c.do("DELE 1", "+OK ")
	c.do("RETR 2", "+OK ")
	c.lines()
	c.do("QUIT", "+OK ")
	if got := w.Messages(t, account, "INBOX"); len(got) != 1 || !strings.Contains(got[0], "Subject: y") {
		t.Errorf("got %q, want y alone", got)
	}
}

func remove(t *testing.T, w *mailtest.World, uids ...mailbox.UID) {
	t.Helper()
	a, err := w.Mailboxes.Account(t.Context(), w.AccountID(t, account))
	if err != nil {
		t.Fatal(err)
	}
	info, err := a.Lookup(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	m, err := a.Open(t.Context(), info.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Remove(t.Context(), uids); err != nil {
		t.Fatal(err)
	}
}

// TestShutdown: a session that waits for a command is told at once, and marks are not carried out.
func TestShutdown(t *testing.T) {
	t.Parallel()
	w := world(t)
	w.Append(t, account, "INBOX", "Subject: x\n\nx\n")
	s, err := listen.New(listen.Options{
		Listeners:    []listen.Listener{{Name: "pop3", Service: listen.POP3, Address: "127.0.0.1:0", Mode: listen.Implicit}},
		Certificates: w.Certificates, Log: w.Log,
		Handlers: map[listen.Service]listen.Handler{listen.POP3: handler(nil, w)},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ctx, time.Minute, nil) }()
	c := login(t, w, s.Addrs()[0])
	c.do("DELE 1", "+OK ")
	cancel()
	c.expect("-ERR [SYS/TEMP] Server is shutting down")
	if _, err := c.r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last word: %v, want the end", err)
	}
	<-done
	if n := len(w.Messages(t, account, "INBOX")); n != 1 {
		t.Errorf("%d messages are left, want 1", n)
	}
}

// TestLimits: what the operator sets holds, and a listener greets with its own name.
func TestLimits(t *testing.T) {
	t.Parallel()
	w := world(t)
	converse := func(l pop3d.Limits, talk func(*client)) {
		t.Helper()
		s, err := listen.New(listen.Options{
			Listeners:    []listen.Listener{{Name: "pop3", Service: listen.POP3, Address: "127.0.0.1:0", Mode: listen.Implicit, Hostname: "pop.example.net"}},
			Certificates: w.Certificates, Log: w.Log,
			Handlers: map[listen.Service]listen.Handler{listen.POP3: pop3d.New(pop3d.Options{Directory: w.Directory, Mailboxes: w.Mailboxes, Log: w.Log, Limits: l}).Handler()},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Serve(ctx, time.Minute, nil) }()
		c := dial(t, w, s.Addrs()[0])
		c.expect("+OK pop.example.net ")
		talk(c)
		if _, err := c.r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("after the last word: %v, want the end", err)
		}
		cancel()
		<-done
	}
	converse(pop3d.Limits{Idle: time.Millisecond}, func(c *client) { c.expect("-ERR [SYS/TEMP] Idle for too long") })
	converse(pop3d.Limits{StrangerBad: 2}, func(c *client) {
		c.do("X", "-ERR unknown command")
		c.do("X", "-ERR unknown command")
		c.expect("-ERR Too many bad commands")
	})
	converse(pop3d.Limits{AuthTries: 1}, func(c *client) {
		c.do("USER "+account, "+OK ")
		c.do("PASS wrong", "-ERR [AUTH] ")
	})
	converse(pop3d.Limits{BadCommands: 1}, func(c *client) {
		c.do("USER "+account, "+OK ")
		c.do("PASS "+password, "+OK ")
		c.do("X", "-ERR unknown command")
		c.expect("-ERR Too many bad commands")
	})
}

// TestPoplib lets Python's client work through a maildrop.
func TestPoplib(t *testing.T) {
	t.Parallel()
	python := tool.Need(t, "python3")
	w := world(t)
	w.Append(t, account, "INBOX", "Subject: one\n\n.dot\n.\n")
	w.Append(t, account, "INBOX", "Subject: two\n\nsecond\n")
	addr := w.Serve(t, listen.POP3, listen.Required, handler(nil, w)).(*net.TCPAddr)
	const script = `
import poplib, ssl, sys
anyone = ssl.create_default_context()
anyone.check_hostname = False
anyone.verify_mode = ssl.CERT_NONE
p = poplib.POP3("127.0.0.1", int(sys.argv[1]), timeout=20)
assert set(p.capa()) == {"UTF8", "STLS", "RESP-CODES", "AUTH-RESP-CODE", "IMPLEMENTATION"}, p.capa()
try:
    p.user(sys.argv[2]); raise SystemExit("USER was accepted in clear")
except poplib.error_proto as e:
    assert b"Encryption required" in e.args[0], e
p.stls(anyone)
assert "USER" in p.capa() and "SASL" in p.capa(), p.capa()
p.user(sys.argv[2]); p.pass_(sys.argv[3])
assert p.stat() == (2, 49), p.stat()
assert p.retr(1)[1] == [b"Subject: one", b"", b".dot", b"."], p.retr(1)
assert p.top(2, 0)[1] == [b"Subject: two", b""], p.top(2, 0)
ids = [l.split()[1] for l in p.uidl()[1]]
assert len(set(ids)) == 2, ids
assert p.list()[1] == [b"1 25", b"2 24"], p.list()
p.dele(1); p.rset(); p.dele(2); p.noop()
p.quit()
print("done")
`
	out, err := exec.Command(python, "-c", script, fmt.Sprint(addr.Port), account, password).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "done" {
		t.Fatalf("poplib: %v\n%s\nlog:\n%s", err, out, w.Logged)
	}
	if got := w.Messages(t, account, "INBOX"); len(got) != 1 || !strings.Contains(got[0], "Subject: one") {
		t.Errorf("got %q, want one alone", got)
	}
}

// TestBigMessage: a message far greater than any buffer comes whole.
func TestBigMessage(t *testing.T) {
	t.Parallel()
	w := world(t)
	text := "Subject: big\n\n" + strings.Repeat(".0123456789 abcdefghijklmnopqrstuvwxyz 0123456789 abcdefghijklmnop\n", 100_000)
	w.Append(t, account, "INBOX", text)
	c := login(t, w, serve(t, w))
	c.do("RETR 1", "+OK ")
	lines := strings.Count(text, "\n")
	if got, want := c.lines(), len(text)+lines+100_000+3; got != want {
		t.Errorf("got %d octets, want %d", got, want)
	}
}

func BenchmarkRetr(b *testing.B) {
	w := world(b)
	for range 100 {
		w.Append(b, account, "INBOX", "Subject: x\n\n"+strings.Repeat("0123456789 0123456789 0123456789 0123456789 0123456789 012345678\n", 64))
	}
	c := login(b, w, serve(b, w))
	for i := 0; b.Loop(); i++ {
		c.do(fmt.Sprintf("RETR %d", 1+i%100), "+OK ")
		c.lines()
	}
}
