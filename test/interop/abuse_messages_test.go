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

// smtpTalk is an SMTP client that may send what no library would.
type smtpTalk struct {
	net.Conn
	r *bufio.Reader
}

func (s *server) smtpTalk() (*smtpTalk, error) {
	conn, err := dialPort(s.smtp)
	if err != nil {
		return nil, err
	}
	c := newSMTPTalk(conn)
	_, err = c.reply()
	return c, err
}

func newSMTPTalk(conn net.Conn) *smtpTalk { return &smtpTalk{conn, bufio.NewReader(conn)} }

// reply reads one, which may have several lines, and returns its last.
func (c *smtpTalk) reply() (string, error) {
	c.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		line, err := c.r.ReadString('\n')
		if err != nil || len(line) < 4 || line[3] == ' ' {
			return strings.TrimSpace(line), err
		}
	}
}

// say sends text and returns the last of n replies.
func (c *smtpTalk) say(text string, n int) (reply string, err error) {
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	for range n {
		if reply, err = c.reply(); err != nil {
			return reply, err
		}
	}
	return reply, nil
}

const beginContent = "EHLO client.example\r\nMAIL FROM:<eve@client.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n"

// deliver sends content and returns the reply to its end.
func (s *server) deliver(content string) (string, error) {
	c, err := s.smtpTalk()
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.say(beginContent, 4); err != nil {
		return "", err
	}
	return c.say(content+"\r\n.\r\n", 1)
}

// nested is a message in so many multiparts, or forwarded so many times.
func nested(depth int, message bool) string {
	var b strings.Builder
	for i := range depth {
		if message {
			b.WriteString("Content-Type: message/rfc822\r\n\r\n")
		} else {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n", i, i)
		}
	}
	return b.String() + "\r\nHello\r\n"
}

// hostile are messages that are made to take memory or time, with the code that each is answered with.
func hostile() map[string]struct{ content, code string } {
	return map[string]struct{ content, code string }{
		"nested 10,000 deep":     {nested(10_000, false), "250"},
		"forwarded 10,000 times": {nested(10_000, true), "250"},
		"20,000 parts":           {"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\n", 20_000), "250"},
		"100,000 header fields":  {strings.Repeat("X: y\r\n", 100_000) + "\r\nHello", "552"},
		"65,000 header fields":   {strings.Repeat("X:\r\n", 65_000) + "\r\nHello", "250"},
		"130,000 addresses":      {"To: " + strings.Repeat("<>", 500) + strings.Repeat("\r\n "+strings.Repeat("<>", 400), 300) + "\r\n\r\nHello", "250"},
		"parameters":             {"Content-Type: text/plain" + strings.Repeat(";\r\n a*0=b", 25_000) + "\r\n\r\nHello", "250"},
		"NULs":                   {"Subject: nul\r\n\r\n" + strings.Repeat("\x00", 100_000), "250"},
		"bare CR":                {"Subject: cr\r\n\r\n" + strings.Repeat("x\r", 50_000), "250"},
		"bare LF":                {"Subject: lf\r\n\r\n" + strings.Repeat("x\n", 50_000), "550"},
		"invalid UTF-8":          {"Subject: \xff\xfe\xc0\x80\r\n\r\n" + strings.Repeat("\xff\xc0", 50_000), "250"},
		"encoded words":          {"Subject: " + strings.Repeat("=?utf-8?q?=c3?=\r\n ", 12_000) + "\r\n\r\nHello", "250"},
	}
}

// TestHostileMessages sends what is made to take memory, many at a time, and reads it back.
func TestHostileMessages(t *testing.T) {
	n := scale(4, 40)
	abuse(t, fmt.Sprintf("%d of each hostile message", n), nil, func(t *testing.T, s *server) {
		for name, m := range hostile() {
			crowd(n, func(int) {
				reply, err := s.deliver(m.content)
				if err != nil || !strings.HasPrefix(reply, m.code) && !strings.HasPrefix(reply, "451 4.3.1") {
					t.Errorf("%s: %q, %v; want %s", name, reply, err, m.code)
				}
			})
		}
		s.deliver("Subject: the last\r\n\r\nHello")
		s.waitFor(t, "ann@example.org", "the last")
		crowd(n, func(int) {
			c, err := s.tryLogin("ann@example.org")
			if err != nil {
				t.Error(err)
				return
			}
			defer c.conn.Close()
			c.patience = 10 * time.Minute // who asks for much waits for others who do
			for _, command := range []string{"EXAMINE INBOX", "FETCH 1:* (ENVELOPE BODYSTRUCTURE)", "FETCH 1:* BODY.PEEK[HEADER.FIELDS (X TO SUBJECT)]", "FETCH 1:* BODY.PEEK[1.1]", `SEARCH TEXT "nowhere"`} {
				if _, err := c.do(command); err != nil && !strings.Contains(err.Error(), "UNAVAILABLE") {
					t.Errorf("%s: %v", command, err)
				}
			}
		})
	})
}

// TestRecipients: far too many recipients, and a flood of commands, are refused one by one.
func TestRecipients(t *testing.T) {
	abuse(t, "10,000 recipients", nil, func(t *testing.T, s *server) {
		crowd(scale(5, 50), func(int) {
			c, err := s.smtpTalk()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if _, err := c.say("EHLO x\r\nMAIL FROM:<eve@client.example>\r\n", 2); err != nil {
				t.Error(err)
				return
			}
			const group = 100
			last := ""
			for range 10_000 / group {
				if last, err = c.say(strings.Repeat("RCPT TO:<ann@example.org>\r\n", group), group); err != nil {
					t.Error(err)
					return
				}
			}
			if !strings.HasPrefix(last, "452 ") && !strings.HasPrefix(last, "250 ") {
				t.Errorf("the 10,000th recipient: %q", last)
			}
		})
	})
}

// TestSizeOfMessage: a great message costs no more memory than a small one.
func TestSizeOfMessage(t *testing.T) {
	highest := func(size int) int64 {
		s := startBounded(t)
		line := strings.Repeat("x", 76) + "\r\n"
		for range 3 {
			c, err := s.smtpTalk()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.say(beginContent+"Subject: sized\r\n\r\n", 4); err != nil {
				t.Fatal(err)
			}
			for sent := 0; sent < size; sent += 1000 * len(line) {
				if _, err := io.WriteString(c, strings.Repeat(line, 1000)); err != nil {
					t.Fatal(err)
				}
			}
			if reply, err := c.say(".\r\n", 1); err != nil || !strings.HasPrefix(reply, "250") {
				t.Fatalf("got %q, %v", reply, err)
			}
			c.Close()
		}
		s.waitCount(t, "ann@example.org", "sized", 3)
		c := s.imapLogin(t, "ann@example.org")
		if _, err := c.do("SELECT INBOX"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c.conn, "b FETCH 1:3 BODY[]\r\n"); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, "b OK") {
				break
			}
		}
		_, most := s.resident(t)
		s.stop()
		return most
	}
	small, great := highest(50<<10), highest(50<<20-100_000)
	t.Logf("50 KiB: %d MiB; 50 MiB: %d MiB", small>>20, great>>20)
	if great > small+24<<20 {
		t.Errorf("messages of 50 MiB take %d MiB more memory than those of 50 KiB", (great-small)>>20)
	}
}
