package listen

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// greeted says hello and waits for the end; a line "login" counts as a login.
func greeted(_ context.Context, c *Conn) {
	c.WriteString("hello\r\n")
	c.Flush()
	for {
		line, err := c.ReadLine(100)
		if err != nil {
			return
		}
		if string(line) == "login\r\n" {
			c.Authenticated()
		}
		c.WriteString("ok\r\n")
		c.Flush()
	}
}

// TestPerNetwork: the limit of strangers from one address; those logged in do not count.
func TestPerNetwork(t *testing.T) {
	t.Parallel()
	for service, word := range map[Service]string{
		IMAP: "* BYE Too many connections from your network; try later\r\n",
		POP3: "-ERR [SYS/TEMP] Too many connections from your network; try later\r\n",
		SMTP: "421 4.7.0 mx.example.org Too many connections from your network; try later\r\n",
	} {
		ts := serve(t, Options{
			Listeners: []Listener{{Service: service, Mode: Required}}, Handlers: map[Service]Handler{service: greeted},
			Limits: Limits{Unauthenticated: 2, UnauthenticatedSMTP: 2},
		})
		first, second := ts.dial(t, 0), ts.dial(t, 0)
		expect(t, first, "hello\r\n")
		expect(t, second, "hello\r\n")
		expectEnd(t, ts.dial(t, 0), word)
		if service != SMTP {
			send(t, first, "login\r\n")
			expect(t, first, "ok\r\n")
			third := ts.dial(t, 0)
			expect(t, third, "hello\r\n")
			expectEnd(t, ts.dial(t, 0), word)
		}
		second.Close()
		for { // until the server has seen it
			c := ts.dial(t, 0)
			line, _ := bufio.NewReader(c).ReadString('\n')
			if line == "hello\r\n" {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if ts.Stats()[0].Refused < 1 {
			t.Error("the refusal was not counted")
		}
	}
}

// TestGlobalLimit: X-53. At the limit the oldest connection without a completed command goes; a newcomer
// is never refused.
func TestGlobalLimit(t *testing.T) {
	t.Parallel()
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Required}, {Service: SMTP, Mode: Opportunistic}},
		Handlers:  map[Service]Handler{IMAP: greeted, SMTP: greeted},
		Limits:    Limits{LoginPorts: 3, Port25: 1, Exempt: loopbackNet},
	})
	join := func() net.Conn {
		c := ts.dial(t, 0)
		expect(t, c, "hello\r\n")
		return c
	}
	talk := func(c net.Conn, line string) {
		send(t, c, line+"\r\n")
		expect(t, c, "ok\r\n")
		send(t, c, "again\r\n") // the command before is completed when the next is asked for
		expect(t, c, "ok\r\n")
	}
	talker, silent, user := join(), join(), join()
	talk(talker, "noop")
	talk(user, "login")
	silent2 := join() // user no longer counts
	newcomer := join()
	expectEnd(t, silent, "")
	talk(newcomer, "noop")
	talk(talker, "noop")
	fourth := join()
	expectEnd(t, silent2, "")
	talk(fourth, "noop")
	join() // all have completed a command: the oldest goes
	expectEnd(t, talker, "")
	talk(user, "noop")
	mx := ts.dial(t, 1) // port 25 is counted by itself
	expect(t, mx, "hello\r\n")
	talk(fourth, "noop")
	if n := ts.Stats()[0].Dropped; n != 3 {
		t.Errorf("%d connections were dropped, want 3", n)
	}
}

// TestHandshakeSlots: X-54. The oldest half-finished handshake makes room.
func TestHandshakeSlots(t *testing.T) {
	t.Parallel()
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Implicit}}, Handlers: map[Service]Handler{IMAP: echo},
		Limits: Limits{Handshakes: 3, Exempt: loopbackNet},
	})
	var slow []net.Conn
	for range 3 {
		c := ts.dial(t, 0)
		send(t, c, "\x16\x03\x01")
		slow = append(slow, c)
	}
	for ts.admission.handshakes() < 3 {
		time.Sleep(time.Millisecond)
	}
	c := tls.Client(ts.dial(t, 0), clientTLS())
	expect(t, c, "hello\r\n")
	ended := 0
	for _, s := range slow {
		s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			ended++
		}
	}
	if ended != 1 {
		t.Errorf("%d slow handshakes were dropped, want 1", ended)
	}
}

// TestHandshakeOfTheFar: who has said hello and waits for the answer is not dropped for those who have not, however many
// come; else the oldest is.
func TestHandshakeOfTheFar(t *testing.T) {
	t.Parallel()
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Implicit}}, Handlers: map[Service]Handler{IMAP: echo},
		Limits: Limits{Handshakes: 3, Exempt: loopbackNet},
	})
	far := ts.dial(t, 0)
	answer := make(chan struct{})
	heard := make(chan struct{})
	secure := tls.Client(&farPeer{Conn: far, heard: heard, answer: answer}, clientTLS())
	done := make(chan error, 1)
	go func() { done <- secure.Handshake() }()
	<-heard
	for range 10 {
		send(t, ts.dial(t, 0), "\x16\x03\x01")
	}
	for ts.Stats()[0].Dropped < 8 {
		time.Sleep(time.Millisecond)
	}
	close(answer)
	if err := <-done; err != nil {
		t.Errorf("the far peer: %v", err)
	}
	expect(t, secure, "hello\r\n")
}

// TestHandshakesThatStall: those who say hello and then nothing take no slot from those who have not said it yet.
func TestHandshakesThatStall(t *testing.T) {
	t.Parallel()
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Implicit}}, Handlers: map[Service]Handler{IMAP: echo},
		Limits: Limits{Handshakes: 3, Exempt: loopbackNet},
	})
	var hello recorder
	tls.Client(&hello, clientTLS()).Handshake()
	var stalled []net.Conn
	for range 3 {
		c := ts.dial(t, 0)
		send(t, c, hello.String())
		expect(t, c, "\x16")
		stalled = append(stalled, c)
	}
	slow := ts.dial(t, 0)
	expectEnd(t, skipping{stalled[0]}, "")
	expect(t, tls.Client(ts.dial(t, 0), clientTLS()), "hello\r\n")
	expectEnd(t, skipping{stalled[1]}, "")
	expect(t, tls.Client(slow, clientTLS()), "hello\r\n")
}

// skipping has only the end of what it reads.
type skipping struct{ io.Reader }

func (s skipping) Read(p []byte) (int, error) {
	_, err := s.Reader.Read(p)
	return 0, err
}

// farPeer is a client that the server's first octets reach when answer is closed; heard is closed when they have come.
type farPeer struct {
	net.Conn
	heard, answer chan struct{}
	late          bool
}

func (f *farPeer) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if !f.late {
		f.late = true
		close(f.heard)
		<-f.answer
	}
	return n, err
}

func (a *admission) handshakes() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.handshaking.Len()
}

// TestHandshakePace: 60 a minute from one network at once, then one a second.
func TestHandshakePace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{}.withDefaults()
		a := newAdmission(&limits)
		c, other := &Conn{prefix: netip.MustParsePrefix("192.0.2.1/32")}, &Conn{prefix: netip.MustParsePrefix("2001:db8::/64")}
		var delays []time.Duration
		for range 63 {
			delays = append(delays, a.handshakeDelay(c, time.Now()))
		}
		if slices.Max(delays[:60]) != 0 || !slices.Equal(delays[60:], []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}) {
			t.Errorf("delays %v", delays)
		}
		if d := a.handshakeDelay(other, time.Now()); d != 0 {
			t.Errorf("another network waits %s", d)
		}
		time.Sleep(time.Hour)
		if d := a.handshakeDelay(c, time.Now()); d != 0 {
			t.Errorf("an hour later: %s", d)
		}
		for i := range 3 * maxPaces {
			p, _ := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).Prefix(32)
			a.handshakeDelay(&Conn{prefix: p}, time.Now())
		}
		if len(a.paces) > maxPaces {
			t.Errorf("%d networks are remembered", len(a.paces))
		}
	})
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	for a, want := range map[string]string{"192.0.2.7": "192.0.2.7/32", "2001:db8::1:2:3:4": "2001:db8::/64", "::1": "::/64"} {
		if got := prefixOf(netip.MustParseAddr(a)).String(); got != want {
			t.Errorf("%s: got %s, want %s", a, got, want)
		}
	}
}

// TestTimeToAuthenticate: talking does not help, logging in does.
func TestTimeToAuthenticate(t *testing.T) {
	t.Parallel()
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Required}, {Service: SMTP, Mode: Opportunistic}},
		Handlers: map[Service]Handler{IMAP: greeted, SMTP: func(ctx context.Context, c *Conn) {
			c.SetReadTimeout(patience)
			greeted(ctx, c)
		}},
		Limits: Limits{Authenticate: 150 * time.Millisecond, FirstCommand: 150 * time.Millisecond},
	})
	stranger, user, mx, silent := ts.dial(t, 0), ts.dial(t, 0), ts.dial(t, 1), ts.dial(t, 1)
	send(t, user, "login\r\n")
	expect(t, user, "hello\r\nok\r\n")
	send(t, mx, "EHLO\r\n")
	expect(t, mx, "hello\r\nok\r\n")
	var err error
	for err == nil { // a NOOP now and then
		time.Sleep(20 * time.Millisecond)
		stranger.Write([]byte("noop\r\n"))
		stranger.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err = stranger.Read(make([]byte, 100)); errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
	}
	expectEnd(t, silent, "hello\r\n")
	for _, c := range []net.Conn{user, mx} {
		send(t, c, "still\r\n")
		expect(t, c, "ok\r\n")
	}
}

// TestRate: content that trickles is given up at the end of a window.
func TestRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const leastRate = 128
		c := &Conn{door: &door{limits: &Limits{ContentRate: leastRate}}}
		check := func() error { return c.rate.check(time.Now()) }
		c.DemandRate()
		c.rate.count(int(leastRate * 30))
		time.Sleep(30 * time.Second)
		if err := check(); err != nil {
			t.Errorf("just enough in the grace: %v", err)
		}
		for range 60 {
			time.Sleep(time.Second)
			c.rate.count(leastRate - 1)
		}
		if err := check(); !errors.Is(err, ErrTooSlow) {
			t.Errorf("127 octets a second: %v", err)
		}
		c.DemandRate()
		end := time.Now().Add(time.Hour)
		if got := c.rate.cap(end); !got.Equal(time.Now().Add(rateGrace)) {
			t.Errorf("a wait for the first octets may take until %s", got)
		}
		c.EndRate()
		time.Sleep(time.Hour)
		if err := check(); err != nil {
			t.Errorf("nothing is demanded: %v", err)
		}
	})
}

// TestDrain: handlers that wait are woken, one that does not listen loses its connection after the
// grace, and no goroutine is left behind.
func TestDrain(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	woken := make(chan error, 1)
	stuck := make(chan error, 1)
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Required}, {Service: POP3, Mode: Implicit}, {Service: SMTP, Mode: Opportunistic}},
		Handlers: map[Service]Handler{
			IMAP: func(ctx context.Context, c *Conn) {
				c.WriteString("hello\r\n")
				c.Flush()
				woken <- c.WaitInput(ctx, time.Hour)
				c.WriteString("* BYE\r\n")
			},
			POP3: greeted,
			SMTP: func(_ context.Context, c *Conn) {
				c.WriteString("hello\r\n")
				c.Flush()
				_, err := c.ReadLine(100)
				stuck <- err
			},
		},
	})
	idle, silent, busy := ts.dial(t, 0), ts.dial(t, 1), ts.dial(t, 2)
	expect(t, idle, "hello\r\n")
	expect(t, busy, "hello\r\n")
	ts.stop()
	if err := <-woken; !errors.Is(err, context.Canceled) {
		t.Errorf("WaitInput: %v, want the context's error", err)
	}
	if err := <-stuck; !errors.Is(err, ErrClosed) {
		t.Errorf("ReadLine: %v, want ErrClosed", err)
	}
	expectEnd(t, idle, "* BYE\r\n")
	for _, c := range []net.Conn{silent, busy} {
		if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a connection is still open")
		}
	}
	if _, err := net.Dial("tcp", ts.Addrs()[0].String()); err == nil {
		t.Error("the socket still accepts")
	}
	if len(ts.conns) != 0 || len(ts.admission.counts) != 0 || ts.admission.login.Len() != 0 || ts.Stats()[0].Open != 0 {
		t.Errorf("left: %d connections, %v", len(ts.conns), ts.admission.counts)
	}
}

// TestDrainHandshakes: peers that have not finished, or begun, a handshake do not hold up a shutdown.
func TestDrainHandshakes(t *testing.T) {
	t.Parallel()
	s, err := New(Options{
		Listeners:    []Listener{{Name: "imaps", Service: IMAP, Mode: Implicit, Address: "127.0.0.1:0"}, {Name: "imap", Service: IMAP, Mode: Required, Address: "127.0.0.1:0"}},
		Certificates: certificates(t), Handlers: map[Service]Handler{IMAP: echo}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ctx, time.Hour, nil) }()
	for i, text := range []string{"", "\x16\x03\x01", "STARTTLS\r\n"} {
		c, err := net.Dial("tcp", s.Addrs()[i/2].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		send(t, c, text)
		if i == 2 {
			expect(t, c, "hello\r\ngo\r\n")
		}
	}
	for s.admission.handshakes() < 3 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("the server does not end")
	}
}
