package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
)

func TestStartTLS(t *testing.T) {
	t.Parallel()
	ts := one(t, Submission, Required, func(ctx context.Context, c *Conn) {
		if _, ok := c.Encrypted(); ok || c.Transport().State != mail.Clear || !c.CanStartTLS() {
			t.Errorf("before TLS: %+v", c.Transport())
		}
		echo(ctx, c)
		e, ok := c.Encrypted()
		tr := c.Transport()
		if !ok || !e.Valid() || tr.State != mail.EncryptedUnauthenticated || tr.Mode != mail.StartTLS || tr.Version != "TLS1.3" ||
			tr.Group != "X25519MLKEM768" || tr.Floor != mail.EncryptedUnauthenticated || tr.FloorSource != "listener" || tr.ALPN != "smtp" {
			t.Errorf("after TLS: %v %+v", e, tr)
		}
		if c.CanStartTLS() {
			t.Error("STARTTLS may be offered a second time")
		}
	})
	raw := ts.dial(t, 0)
	expect(t, raw, "hello\r\n")
	send(t, raw, "STARTTLS\r\n")
	expect(t, raw, "go\r\n")
	c := tls.Client(raw, clientTLS("smtp"))
	send(t, c, "one\r\ntwo\r\n")
	expect(t, c, "= one\r\n= two\r\n")
	send(t, c, "QUIT\r\n")
	expectEnd(t, c, "bye\r\n")
}

// TestStartTLSSplit sends the command and the handshake in two parts at every octet of the command.
func TestStartTLSSplit(t *testing.T) {
	t.Parallel()
	ts := one(t, IMAP, Required, echo)
	const command = "STARTTLS\r\n"
	for i := 1; i < len(command); i++ {
		raw := ts.dial(t, 0)
		expect(t, raw, "hello\r\n")
		send(t, raw, command[:i])
		time.Sleep(time.Millisecond) // let the parts arrive apart; together they must work as well
		send(t, raw, command[i:])
		expect(t, raw, "go\r\n")
		c := tls.Client(raw, clientTLS())
		send(t, c, "x\r\n")
		expect(t, c, "= x\r\n")
		raw.Close()
	}
}

// TestStartTLSInjection: X-06, T-8, T-11. Octets behind the command end the connection, wherever
// the packets are cut, and nothing of them is executed.
func TestStartTLSInjection(t *testing.T) {
	t.Parallel()
	var hello recorder
	tls.Client(&hello, clientTLS()).Handshake()
	for name, injected := range map[string]string{"command": "NOOP\r\n", "one octet": "N", "ClientHello": hello.String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ts := one(t, SMTP, Opportunistic, echo)
			raw := ts.dial(t, 0)
			expect(t, raw, "hello\r\n")
			send(t, raw, "STARTTLS\r\n"+injected)
			expectEnd(t, raw, "! "+ErrEarlyData.Error()+"\r\n")
			ts.expectLog(t, "starttls refused", "tls.fail=starttls-injection", "rip=127.0.0.1")
		})
	}
}

// TestInjectionInSocket: the injected octets are still in the socket, not in the reader, when the command is run.
func TestInjectionInSocket(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	result := make(chan error, 1)
	ts := one(t, SMTP, Opportunistic, func(ctx context.Context, c *Conn) {
		c.ReadLine(100)
		close(read)
		for c.early() == nil { // until the kernel has handed the second packet over
			time.Sleep(time.Millisecond)
		}
		result <- c.StartTLS(ctx, "go\r\n")
	})
	raw := ts.dial(t, 0)
	send(t, raw, "STARTTLS\r\n")
	<-read
	send(t, raw, "RSET\r\n")
	if err := <-result; !errors.Is(err, ErrEarlyData) {
		t.Fatalf("StartTLS: %v, want ErrEarlyData", err)
	}
	expectEnd(t, raw, "")
}

// TestInjectionAfterGoAhead: T-9. What comes in clear after the go-ahead reaches the TLS parser and breaks
// the handshake; no octet of it reaches whoever reads after TLS.
func TestInjectionAfterGoAhead(t *testing.T) {
	t.Parallel()
	var after []byte
	done := make(chan error, 1)
	ts := one(t, SMTP, Opportunistic, func(ctx context.Context, c *Conn) {
		c.ReadLine(100)
		err := c.StartTLS(ctx, "go\r\n")
		after, _ = c.Peek()
		after = slices.Clone(after)
		done <- err
	})
	raw := ts.dial(t, 0)
	send(t, raw, "STARTTLS\r\n")
	expect(t, raw, "go\r\n")
	send(t, raw, "RSET\r\nMAIL FROM:<a@example.test>\r\n")
	if err := <-done; err == nil {
		t.Fatal("the handshake succeeded")
	}
	if len(after) > 0 {
		t.Fatalf("%q was read after the handshake", after)
	}
	got, _ := io.ReadAll(raw)
	if strings.Contains(string(got), "!") || len(got) > 0 && got[0] != 21 {
		t.Fatalf("got %q, want nothing but an alert", got)
	}
}

// TestNoPlaintextAfterTLS plays every way of cutting an attacker's text around the command and the
// go-ahead, and then completes the handshake as a legal client behind the attacker does.
func TestNoPlaintextAfterTLS(t *testing.T) {
	t.Parallel()
	read := make(chan []string, 1)
	ts := one(t, IMAP, Required, func(ctx context.Context, c *Conn) {
		var lines []string
		defer func() { read <- lines }()
		for {
			line, err := c.ReadLine(100)
			if err != nil {
				return
			}
			_, encrypted := c.Encrypted()
			lines = append(lines, fmt.Sprintf("%t %s", encrypted, line))
			if string(line) == "a STARTTLS\r\n" && c.StartTLS(ctx, "a OK\r\n") != nil {
				return
			}
		}
	})
	const attack = "a STARTTLS\r\nb LOGIN x y\r\n"
	for i := 1; i <= len(attack); i++ {
		raw := ts.dial(t, 0)
		send(t, raw, attack[:i])
		time.Sleep(time.Millisecond)
		send(t, raw, attack[i:])
		c := tls.Client(raw, clientTLS())
		io.WriteString(c, "c NOOP\r\n")
		raw.Close()
		for _, line := range <-read {
			if strings.HasPrefix(line, "true b") {
				t.Fatalf("cut at %d: %q was read under TLS", i, line)
			}
		}
	}
}

func TestStartTLSRefused(t *testing.T) {
	t.Parallel()
	h := func(ctx context.Context, c *Conn) {
		if c.CanStartTLS() {
			t.Errorf("%s offers STARTTLS", c)
		}
		c.WriteString(fmt.Sprint(errors.Is(c.StartTLS(ctx, "go\r\n"), ErrNoTLS)))
	}
	ts := one(t, SMTP, None, h)
	expectEnd(t, ts.dial(t, 0), "true")
	ts = one(t, IMAP, Implicit, h)
	expectEnd(t, tls.Client(ts.dial(t, 0), clientTLS()), "true")

	s, err := New(Options{
		Listeners: []Listener{{Service: SMTP, Mode: Opportunistic, Address: "127.0.0.1:0"}},
		Handlers:  map[Service]Handler{SMTP: h},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Serve(ctx, time.Second, nil); close(done) }()
	defer func() { cancel(); <-done }()
	raw, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	expectEnd(t, raw, "true")
}

// recorder is a connection that keeps what is written and never answers.
type recorder struct {
	strings.Builder
	net.Conn
}

func (r *recorder) Write(p []byte) (int, error)     { return r.Builder.Write(p) }
func (r *recorder) Read([]byte) (int, error)        { return 0, io.EOF }
func (r *recorder) Close() error                    { return nil }
func (r *recorder) SetDeadline(time.Time) error     { return nil }
func (r *recorder) SetReadDeadline(time.Time) error { return nil }
