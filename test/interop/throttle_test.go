package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// talker is a client at an address of its own that says lines and hears lines.
type talker struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func (s *server) talkFrom(t *testing.T, from string, port int) *talker {
	t.Helper()
	config := s.clientTLS()
	if port != s.submissions && port != s.imaps && port != s.pop3s {
		config = nil
	}
	conn, err := dialFrom(from, port, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &talker{t, conn, bufio.NewReader(conn)}
}

// hears reads up to a line that begins with want.
func (c *talker) hears(want string) {
	c.t.Helper()
	for {
		line, err := c.r.ReadString('\n')
		if strings.HasPrefix(line, want) {
			return
		}
		if err != nil {
			c.t.Fatalf("want %q, got %q, then %v", want, line, err)
		}
	}
}

// says sends a line and waits for a reply.
func (c *talker) says(line, want string) {
	c.t.Helper()
	fmt.Fprintf(c.conn, "%s\r\n", line)
	c.hears(want)
}

// ended is so when nothing more comes.
func (c *talker) ended() {
	c.t.Helper()
	if line, err := c.r.ReadString('\n'); err == nil {
		c.t.Errorf("after the last word came %q", line)
	}
}

// TestBlocked: an address that has guessed hears of it at every door where one logs in, also in sessions that have begun
// (specification, R-15, R-25, R-33), until it is over or an operator ends it. Others, and port 25, are not concerned.
func TestBlocked(t *testing.T) {
	t.Parallel()
	s := prepare(t, "")
	s.account("ann@example.org", "secret")
	s.run()
	const bad, good = "127.9.1.1", "127.9.1.2"
	begun := map[string]*talker{}
	for name, port := range map[string]int{"smtp": s.submissions, "imap": s.imaps, "pop3": s.pop3s} {
		begun[name] = s.talkFrom(t, bad, port)
	}
	begun["smtp"].hears("220 ")
	begun["smtp"].says("EHLO client.example", "250 ")
	begun["imap"].hears("* OK ")
	begun["pop3"].hears("+OK ")
	begun["pop3"].says("USER ann@example.org", "+OK")

	if out := s.candor("", "auth", "blocked", "--config", s.config); out != "Nobody is blocked.\n" {
		t.Errorf("at first: %q", out)
	}
	crowd(4, func(i int) {
		for j := range 5 {
			c := s.talkFrom(t, bad, s.imaps)
			c.hears("* OK ")
			c.says(fmt.Sprintf("a LOGIN user%d@example.org guess", 5*i+j), "a NO [AUTHENTICATIONFAILED] Authentication failed")
			c.conn.Close()
		}
	})
	for port, want := range map[int]string{
		s.submission: "421 4.7.0 Too many failed logins; try later\r\n", s.submissions: "421 4.7.0 Too many failed logins; try later\r\n",
		s.imap: "* BYE Too many failed logins\r\n", s.imaps: "* BYE Too many failed logins\r\n",
		s.pop3: "-ERR [SYS/TEMP] Too many failed logins\r\n", s.pop3s: "-ERR [SYS/TEMP] Too many failed logins\r\n",
	} {
		c := s.talkFrom(t, bad, port)
		c.hears(want)
		c.ended()
	}
	s.talkFrom(t, bad, s.smtp).hears("220 ")

	began := time.Now()
	begun["smtp"].says("AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=", "421 4.7.0 Too many failed logins; try later\r\n")
	begun["imap"].says("a LOGIN ann@example.org secret", "* BYE Too many failed logins\r\n")
	begun["pop3"].says("PASS secret", "-ERR [SYS/TEMP] Too many failed logins\r\n")
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("three refusals took %s: a right password can be told from a wrong one", took)
	}
	begun["smtp"].ended()
	begun["pop3"].ended()

	c := s.talkFrom(t, good, s.imaps)
	c.hears("* OK ")
	c.says("a LOGIN ann@example.org secret", "a OK ")

	var b struct {
		Network, Reason string
		Wrong, Refused  int
		Until           time.Time
	}
	out := s.candor("", "auth", "blocked", "--json", "--config", s.config)
	if err := json.Unmarshal([]byte(out), &b); err != nil || b.Network != bad+"/32" || b.Reason != "refused" || b.Wrong != 20 || b.Refused < 9 ||
		time.Until(b.Until) < 14*time.Minute {
		t.Errorf("auth blocked: %v\n%s", err, out)
	}
	if out := s.candor("", "auth", "blocked", "clear", bad, "--config", s.config); out != "The wrong logins of "+bad+" are forgotten.\n" {
		t.Errorf("auth blocked clear: %q", out)
	}
	c = s.talkFrom(t, bad, s.imaps)
	c.hears("* OK ")
	c.says("a LOGIN ann@example.org secret", "a OK ")
	if !strings.Contains(s.log.String(), "logins refused") {
		t.Error("the log does not tell of it")
	}
}
