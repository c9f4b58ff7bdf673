package interop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// wireClient speaks a protocol line by line.
type wireClient struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func newWireClient(t *testing.T, conn net.Conn) *wireClient {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return &wireClient{t, conn, bufio.NewReader(conn)}
}

// say sends text as it is.
func (c *wireClient) say(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.conn, format, args...); err != nil {
		c.t.Fatal(err)
	}
}

// until reads lines to the first that begins with want.
func (c *wireClient) until(want string) {
	c.t.Helper()
	for seen := ""; ; {
		line, err := c.r.ReadString('\n')
		if strings.HasPrefix(line, want) {
			return
		}
		if seen = tail(seen + line); err != nil {
			c.t.Fatalf("want %q, got %q, then %v", want, seen, err)
		}
	}
}

// ended reads to the end, which must be an orderly one.
func (c *wireClient) ended() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if err != nil || len(rest) > 0 {
		c.t.Errorf("after the last word came %q, %v", rest, err)
	}
}

func (s *server) plainWire(t *testing.T, port int) *wireClient {
	t.Helper()
	conn, err := dialPort(port)
	if err != nil {
		t.Fatal(err)
	}
	return newWireClient(t, conn)
}

func (s *server) tlsWire(t *testing.T, port int) *wireClient {
	t.Helper()
	conn, err := dialTLS(s, port)
	if err != nil {
		t.Fatal(err)
	}
	return newWireClient(t, conn)
}

func (s *server) imapWire(t *testing.T) *wireClient {
	t.Helper()
	c := s.tlsWire(t, s.imaps)
	c.until("* OK")
	c.say("a LOGIN ann@example.org secret\r\n")
	c.until("a OK")
	return c
}

func (s *server) smtpWire(t *testing.T, commands ...string) *wireClient {
	t.Helper()
	c := s.plainWire(t, s.smtp)
	c.until("220 ")
	for _, command := range append([]string{"EHLO client.example"}, commands...) {
		c.say("%s\r\n", command)
		c.until(map[bool]string{true: "354 ", false: "250 "}[command == "DATA"])
	}
	return c
}

// TestDrain: SIGTERM tells idle sessions of every protocol, and lets a message under way come to its end.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := start(t)
	big := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 40_000) // more than sockets buffer
	if _, err := s.imapLogin(t, "ann@example.org").append("Archive", "()", "Subject: big\r\n\r\n"+big); err != nil {
		t.Fatal(err)
	}
	handshake := s.plainWire(t, s.imaps) // says nothing; it has been accepted when a later one is served
	transaction := []string{"MAIL FROM:<eve@elsewhere.example>", "RCPT TO:<ann@example.org>"}
	idleSMTP := s.smtpWire(t, transaction...)
	data := s.smtpWire(t, append(transaction, "DATA")...)
	data.say("Subject: drained data\r\n\r\nfirst\r\n")
	bdat := s.smtpWire(t, transaction...)
	bdat.say("BDAT 100 LAST\r\nSubject: drained bdat\r\n\r\n")
	idleIMAP, idling, appending, fetching := s.imapWire(t), s.imapWire(t), s.imapWire(t), s.imapWire(t)
	idling.say("b SELECT INBOX\r\nc IDLE\r\n")
	idling.until("+ ")
	appending.say("b APPEND Archive {31}\r\n")
	appending.until("+ ")
	appending.say("Subject: drained")
	fetching.say("b SELECT Archive\r\nc FETCH 1 BODY.PEEK[]\r\n")
	fetching.until("* 1 FETCH")
	pop3 := s.tlsWire(t, s.pop3s)
	pop3.until("+OK")

	s.cmd.Process.Signal(syscall.SIGTERM)
	idleSMTP.until("421 4.3.2 ")
	idleIMAP.until("* BYE ")
	idling.until("* BYE ")
	pop3.until("-ERR [SYS/TEMP] ")
	for _, c := range []*wireClient{idleSMTP, idleIMAP, idling, pop3, handshake} {
		c.ended()
	}
	for _, port := range []int{s.smtp, s.submissions, s.imaps, s.pop3s} {
		if conn, err := dialPort(port); err == nil {
			conn.Close()
			t.Errorf("port %d accepts while the server ends", port)
		}
	}
	data.say("second\r\n.\r\n")
	data.until("250 ")
	data.until("421 4.3.2 ")
	bdat.say("%s", strings.Repeat("y", 100-len("Subject: drained bdat\r\n\r\n")))
	bdat.until("250 ")
	appending.say(" append\r\n\r\ntext\r\n")
	appending.until("b OK")
	appending.until("* BYE ")
	fetching.until("c OK")
	fetching.until("* BYE ")
	if err := s.wait(); err != nil {
		t.Errorf("candor serve ended with %v\n%s", err, s.log)
	}
	s.run()
	for _, subject := range []string{"drained data", "drained bdat"} {
		s.waitFor(t, "ann@example.org", subject)
	}
	if got := s.status(t, "ann@example.org", "Archive"); !strings.HasPrefix(got, "MESSAGES 2") {
		t.Errorf("Archive has %s", got)
	}
}

// TestDrainTime: a session that does not end in time is broken off, and what it has begun is not kept.
func TestDrainTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit   string
		signals int
		want    string
	}{
		"time is over":    {"drain_timeout = \"1s\"\n", 1, "within the drain time"},
		"a second signal": {"drain_timeout = \"10m\"\n", 2, "a second signal came"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := prepare(t, "[limits]\n"+c.limit)
			s.account("ann@example.org", "secret")
			s.run()
			data := s.smtpWire(t, "MAIL FROM:<eve@elsewhere.example>", "RCPT TO:<ann@example.org>", "DATA")
			data.say("Subject: never\r\n\r\nfirst\r\n")
			idle := s.smtpWire(t)
			s.cmd.Process.Signal(syscall.SIGTERM)
			idle.until("421 4.3.2 ")
			for range c.signals - 1 {
				s.cmd.Process.Signal(syscall.SIGTERM)
			}
			if rest, err := io.ReadAll(data.r); len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the broken session got %q, %v", rest, err)
			}
			if err := s.wait(); err != nil {
				t.Errorf("candor serve ended with %v", err)
			}
			s.await(c.want)
			s.run()
			if n := s.count(t, "ann@example.org", "never"); n != 0 {
				t.Errorf("%d copies of half a message", n)
			}
		})
	}
}
