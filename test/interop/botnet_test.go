package interop

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// botsVariable has, in a process of a botnet, what it does.
const botsVariable = "CANDOR_TEST_BOTS"

// bots are the connections of one process of a botnet: those that never finish their handshake, those that send an octet
// a second, and those that guess passwords. A process may open 20,000 files.
type bots struct {
	First                      int // of the addresses
	For                        time.Duration
	Unfinished, Slow, Guessing int
}

// TestBotnet: a real user's login is in time while a botnet holds connections that never finish their handshake and others
// that are slow, and guesses passwords from thousands of addresses (specification, X-53, X-54).
func TestBotnet(t *testing.T) {
	besiege(t, bots{Unfinished: scale(300, 7000), Slow: scale(30, 700), Guessing: scale(80, 1700)})
}

// TestGuessing is the same with nothing but guesses, which then all come through to where passwords are hashed.
func TestGuessing(t *testing.T) {
	besiege(t, bots{Guessing: scale(150, 1700)})
}

// besiege has a user log in while three processes do what b says.
func besiege(t *testing.T, b bots) {
	if attacking() {
		attackAsBots(t)
		return
	}
	s := prepare(t, "[limits]\nmemory = \"512MiB\"\n")
	s.account("ann@example.org", "secret")
	s.run()
	user := &realUser{s: s, config: s.clientTLS()}
	if err := user.login(); err != nil {
		t.Fatal(err)
	}
	var botnet []*exec.Cmd
	b.For = time.Duration(scale(6, 75)) * time.Second
	for i := range 3 {
		b.First = i * 10_000
		botnet = append(botnet, s.send(t, b))
	}
	time.Sleep(b.For / 5) // until most are there
	before := s.processorTime(t)
	user.loginFor(b.For * 3 / 5)
	t.Logf("the server used %s of processor time", s.processorTime(t)-before)
	for _, b := range botnet {
		if err := b.Wait(); err != nil {
			t.Errorf("a process of the botnet: %v", err)
		}
		t.Log(strings.TrimSpace(b.Stdout.(*strings.Builder).String()))
	}
	user.judge(t)
}

// judge holds the user to 99 logins of 100 within a second. In the short form other tests have as much of a claim to the
// processors as the server: there it is half of the logins that the cache does not know, within five.
func (u *realUser) judge(t *testing.T) {
	t.Helper()
	_, highest := u.s.resident(t)
	t.Logf("%d logins: median %.0f ms, 99th percentile %.0f ms, the longest %.0f ms; the server had %d MiB at most", len(u.took),
		quantile(0.5)(u.took), quantile(0.99)(u.took), slices.Max(u.took), highest>>20)
	judged, limit := quantile(0.75)(u.took), 5000.0
	if soak() {
		judged, limit = quantile(0.99)(u.took), 1000
	}
	if u.failed != nil || judged >= limit || highest > memoryCeiling {
		t.Errorf("the user's logins failed %d times: %v; %.0f ms, want less than %.0f, or too much memory", u.failures, u.failed, judged, limit)
	}
}

// realUser logs in from a network of his own, with what the cache does not know every other time and from far away every
// third.
type realUser struct {
	s        *server
	config   *tls.Config
	n        int
	took     []float64 // ms
	failures int
	failed   error
}

func (u *realUser) loginFor(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		began := time.Now()
		if err := u.login(); err != nil {
			u.failures++
			u.failed = err
		}
		u.took = append(u.took, time.Since(began).Seconds()*1000)
	}
}

func (u *realUser) login() error {
	u.n++
	name := "ann@example.org"
	if u.n%2 == 0 { // the cache knows a name as it was sent
		letters := []byte("example")
		for i := range letters {
			letters[i] -= 'a' - 'A'
			letters[i] += byte(u.n>>(i+1)&1) * ('a' - 'A')
		}
		name = "ann@" + string(letters) + ".org"
	}
	raw, err := dialFrom(fmt.Sprintf("127.9.0.%d", 1+u.n%250), u.s.imaps, nil)
	if err != nil {
		return err
	}
	defer raw.Close()
	if u.n%3 == 0 {
		raw = &farLink{Conn: raw}
	}
	conn := tls.Client(raw, u.config)
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	fmt.Fprintf(conn, "a LOGIN %s secret\r\n", name)
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "a OK") {
		return fmt.Errorf("login: %q, %w", line, err)
	}
	return nil
}

// farLink is a connection on which no answer comes sooner than 200 ms after what was sent.
type farLink struct {
	net.Conn
	sent time.Time
}

func (f *farLink) Write(p []byte) (int, error) {
	f.sent = time.Now()
	return f.Conn.Write(p)
}

func (f *farLink) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	time.Sleep(time.Until(f.sent.Add(200 * time.Millisecond)))
	return n, err
}

// dialFrom connects from an address of loopback, with TLS if config is not nil.
func dialFrom(from string, port int, config *tls.Config) (net.Conn, error) {
	d := &net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	to := fmt.Sprintf("127.0.0.1:%d", port)
	var conn net.Conn
	var err error
	if config == nil {
		conn, err = d.Dial("tcp", to)
	} else {
		conn, err = tls.DialWithDialer(d, "tcp", to, config)
	}
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(time.Minute))
}

// send starts a process of the botnet, which ends by itself.
func (s *server) send(t *testing.T, b bots) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "nice", "-n", "19", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.timeout", "10m", "-test.v")
	cmd.Env = append(os.Environ(), attackVariable+"="+s.target(t), botsVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = &strings.Builder{}, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// botnet is what the connections of one process have in common.
type botnet struct {
	*server
	bots
	end                               time.Time
	opened, refused, guesses, answers atomic.Int64
}

func attackAsBots(t *testing.T) {
	b := &botnet{server: attacked(t)}
	if err := json.Unmarshal([]byte(os.Getenv(botsVariable)), &b.bots); err != nil {
		t.Fatal(err)
	}
	b.end = time.Now().Add(b.For)
	var all sync.WaitGroup
	each := func(n int, f func(from string)) {
		for i := range n {
			all.Go(func() {
				time.Sleep(rand.N(b.For / 10))
				for time.Now().Before(b.end) {
					f(botAddress(b.First + i))
					time.Sleep(min(5*time.Second+rand.N(10*time.Second), time.Until(b.end)))
				}
			})
		}
	}
	each(b.Unfinished, func(from string) { b.hold(from, "\x16\x03\x01\x02\x00", nil) })
	each(b.Slow, func(from string) { b.hold(from, "", []byte("\x16\x03\x01\x01\x00\x01")) })
	each(b.Guessing, b.guess)
	all.Wait()
	t.Logf("%d connections opened, %d not taken, %d guesses, %d of them answered", b.opened.Load(), b.refused.Load(), b.guesses.Load(), b.answers.Load())
}

// botAddress is one of loopback; ten share a network.
func botAddress(i int) string {
	n := i / 10
	return fmt.Sprintf("127.%d.%d.%d", 20+n/250, n%250, 1+i%10)
}

func (b *botnet) dial(from string, config *tls.Config) net.Conn {
	conn, err := dialFrom(from, b.imaps, config)
	if err != nil {
		b.refused.Add(1)
		return nil
	}
	b.opened.Add(1)
	conn.SetDeadline(b.end)
	return conn
}

// hold sends what is first and then an octet a second, until the server ends the connection.
func (b *botnet) hold(from, first string, slowly []byte) {
	conn := b.dial(from, nil)
	if conn == nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, first) //nolint:errcheck // the server may have closed
	for i := range slowly {
		if _, err := conn.Write(slowly[i : i+1]); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
	io.Copy(io.Discard, conn) //nolint:errcheck // until it ends, somehow
}

// guess tries three passwords.
func (b *botnet) guess(from string) {
	conn := b.dial(from, &tls.Config{InsecureSkipVerify: true})
	if conn == nil {
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for range 3 {
		name := "ann"
		if n := rand.N(100); n > 20 {
			name = fmt.Sprintf("user%d", n)
		}
		b.guesses.Add(1)
		fmt.Fprintf(conn, "a LOGIN %s@example.org %d\r\n", name, rand.Uint64())
		for line := ""; !strings.HasPrefix(line, "a "); {
			var err error
			if line, err = r.ReadString('\n'); err != nil {
				return
			}
		}
		b.answers.Add(1)
	}
}
