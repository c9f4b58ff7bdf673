package interop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestHalfOpen holds connections that never finish a handshake, or never say a word.
func TestHalfOpen(t *testing.T) {
	n := scale(600, 10_000)
	abuse(t, fmt.Sprintf("%d half-open connections", n), nil, func(t *testing.T, s *server) {
		hold(t, n/2, func() (net.Conn, error) {
			c, err := dialPort(s.imaps)
			if err == nil {
				_, err = io.WriteString(c, "\x16\x03\x01\x02")
			}
			return c, err
		})
		hold(t, n/2, func() (net.Conn, error) { return dialPort(s.smtp) })
		time.Sleep(time.Second)
	})
}

// TestIdleSessions holds sessions that are logged in and wait for news, which all get it.
func TestIdleSessions(t *testing.T) {
	s := startBounded(t)
	before, _ := s.resident(t)
	n := scale(150, 10_000)
	idle := hold(t, n, func() (net.Conn, error) {
		c, err := s.tryLogin("ann@example.org")
		if err != nil {
			return nil, err
		}
		c.conn.SetDeadline(time.Now().Add(20 * time.Minute))
		if _, err := c.do("SELECT INBOX"); err != nil {
			return c.conn, err
		}
		if _, err := io.WriteString(c.conn, "b IDLE\r\n"); err != nil {
			return c.conn, err
		}
		_, err = c.line()
		return c.conn, err
	})
	now, _ := s.resident(t)
	t.Logf("%d sessions: %d KiB each", n, (now-before)/int64(n)>>10)
	w := s.watch(t)
	time.Sleep(time.Second)
	w.judge(t, fmt.Sprintf("%d idle sessions", n))
	s.sendPlain(t, "ann@example.org", "news")
	for _, c := range idle {
		c.SetReadDeadline(time.Now().Add(time.Minute))
		got := ""
		for r := bufio.NewReader(c); got != "* 1 EXISTS\r\n"; { // the message may bring keywords, told first
			var err error
			if got, err = r.ReadString('\n'); err != nil || !strings.HasPrefix(got, "* ") {
				t.Fatalf("a session heard %q, %v", got, err)
			}
		}
	}
}

// TestSlowReaders asks for a large mailbox over many sessions and never reads.
func TestSlowReaders(t *testing.T) {
	s := startBounded(t)
	c := s.imapLogin(t, "ann@example.org")
	for range 10 {
		if _, err := c.append("INBOX", "()", "Subject: large\r\n\r\n"+strings.Repeat(strings.Repeat("x", 76)+"\r\n", 13_000)); err != nil {
			t.Fatal(err)
		}
	}
	for range 1000 {
		if _, err := c.append("INBOX", "()", "Subject: small\r\nTo: "+strings.Repeat("someone@example.org, ", 40)+"\r\n\r\nHello\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	w := s.watch(t)
	n := scale(60, 1000)
	for i, command := range []string{"UID FETCH 1:* BODY.PEEK[]", "FETCH 11:* (FLAGS ENVELOPE BODYSTRUCTURE)"} {
		hold(t, n/2, func() (net.Conn, error) {
			c, err := s.tryLogin("ann@example.org")
			if err != nil {
				return nil, err
			}
			if _, err := c.do("EXAMINE INBOX"); err != nil {
				return c.conn, err
			}
			_, err = io.WriteString(c.conn, strings.Repeat(fmt.Sprintf("b%d %s\r\n", i, command), 10))
			return c.conn, err
		})
	}
	time.Sleep(time.Second)
	w.judge(t, fmt.Sprintf("%d slow readers", n))
}

// TestSlowWriters sends great headers, long lines and literals to their last octet but one, and stays.
func TestSlowWriters(t *testing.T) {
	s := startBounded(t)
	w := s.watch(t)
	n := scale(150, 1500)
	header := "EHLO x\r\nMAIL FROM:<eve@elsewhere.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n" + strings.Repeat("X: "+strings.Repeat("x", 900)+"\r\n", 280)
	line := strings.Repeat("x", 8000)
	for _, a := range []struct {
		port int
		text string
	}{{s.smtp, header}, {s.imap, line}, {s.smtp, "AUTH PLAIN " + line}} {
		hold(t, n/3, func() (net.Conn, error) {
			c, err := dialPort(a.port)
			if err != nil {
				return nil, err
			}
			go io.WriteString(c, a.text) //nolint:errcheck // the server may not take it
			return c, nil
		})
	}
	hold(t, n/3, func() (net.Conn, error) {
		c, err := s.tryLogin("ann@example.org")
		if err != nil {
			return nil, err
		}
		go io.WriteString(c.conn, "b SEARCH SUBJECT {60000+}\r\n"+strings.Repeat("x", 59_000)) //nolint:errcheck // as above
		return c.conn, nil
	})
	time.Sleep(time.Second)
	w.judge(t, fmt.Sprintf("%d slow writers", n))
}
