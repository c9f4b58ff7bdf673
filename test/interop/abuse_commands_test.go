package interop

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// TestGreatLiterals announces literals of a gigabyte, and sends as much of them as the server takes.
func TestGreatLiterals(t *testing.T) {
	abuse(t, "literals of 1 GiB", nil, func(t *testing.T, s *server) {
		crowd(scale(4, 40), func(int) {
			for _, command := range []string{
				"LOGIN {1073741824%s}", "LOGIN ann@example.org {1073741824%s}", "SELECT {1073741824%s}",
				"APPEND INBOX {1073741824%s}", "APPEND INBOX ~{1073741824%s}", "SEARCH SUBJECT {1073741824%s}", "X {99999999999999999999%s}",
			} {
				for _, sync := range []string{"", "+"} {
					s.announce(t, fmt.Sprintf(command, sync), strings.HasPrefix(command, "LOGIN"))
				}
			}
		})
	})
}

// announce sends a command with a literal and then content for as long as the connection lives, 8 MiB at most.
// The server must not ask for the literal.
func (s *server) announce(t *testing.T, command string, stranger bool) {
	var c *imapClient
	if stranger {
		conn, err := dialTLS(s, s.imaps)
		if err != nil {
			t.Error(err)
			return
		}
		c = newIMAPClient(conn)
	} else {
		var err error
		if c, err = s.tryLogin("ann@example.org"); err != nil {
			t.Error(err)
			return
		}
	}
	defer c.conn.Close()
	if _, err := io.WriteString(c.conn, "a "+command+"\r\n"); err != nil {
		t.Errorf("%s: %v", command, err)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		junk := strings.Repeat(strings.Repeat("x", 98)+"\r\n", 160)
		for range 512 {
			if _, err := io.WriteString(c.conn, junk); err != nil {
				return
			}
		}
	}()
	line, err := c.line()
	if strings.HasPrefix(line, "+") || err == nil && !strings.HasPrefix(line, "a NO") && !strings.HasPrefix(line, "a BAD") && !strings.HasPrefix(line, "* BYE") {
		t.Errorf("%s: answered %q, %v", command, line, err)
	}
	c.conn.Close()
	<-done
}

// TestCommandBombs sends commands that a naive server works on for ever.
func TestCommandBombs(t *testing.T) {
	fill := func(t *testing.T, s *server) { s.fill(t, scale(1000, 10_000), scale(200, 2000)) }
	abuse(t, "commands that take long", fill, func(t *testing.T, s *server) {
		pattern := strings.Repeat("%*", 3900)
		bombs := []string{
			`LIST "" "` + pattern + `"`,
			`LIST "" "` + strings.Repeat("*a", 3900) + `"`,
			`LIST "" "` + strings.Repeat("*", 7900) + `b"`,
			"FETCH " + strings.TrimSuffix(strings.Repeat("1:*,", 15_000), ",") + " FLAGS",
			"UID FETCH " + strings.TrimSuffix(strings.Repeat("*:1,", 15_000), ",") + " (UID)",
			"SEARCH " + strings.Repeat("NOT ", 15_000) + "SEEN",
			"SEARCH " + strings.Repeat("(", 30_000) + "ALL" + strings.Repeat(")", 30_000),
			"SEARCH " + strings.Repeat("OR SEEN ", 7500) + "SEEN",
			"SEARCH " + strings.Repeat("1:* ", 15_000) + "ALL",
			"SEARCH " + strings.TrimSpace(strings.Repeat(`TEXT "aaaaaaaaaaaaab" `, 2500)),
			"SEARCH " + strings.TrimSpace(strings.Repeat("1,3:* ", 10_000)),
			"FETCH 1:* (" + strings.TrimSpace(strings.Repeat("BODY.PEEK[HEADER] ", scale(300, 3000))) + ")",
			"FETCH 1 BODY.PEEK[" + strings.TrimSuffix(strings.Repeat("1.", 20_000), ".") + "]",
			"STORE 1:* +FLAGS (" + strings.TrimSpace(strings.Repeat("k ", 30_000)) + ")",
			"STATUS INBOX (" + strings.TrimSpace(strings.Repeat("MESSAGES ", 7000)) + ")",
		}
		crowd(scale(2, 10), func(int) {
			for _, bomb := range bombs {
				c, err := s.tryLogin("ann@example.org")
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := c.do("EXAMINE INBOX"); err != nil {
					t.Error(err)
				}
				began := time.Now()
				io.WriteString(c.conn, "b "+bomb+"\r\n") //nolint:errcheck // shows at the reply
				for {
					line, err := c.line()
					if err != nil {
						t.Errorf("%.60s…: no answer in %s: %v", bomb, time.Since(began), err)
					}
					if err != nil || strings.HasPrefix(line, "b ") {
						break
					}
				}
				c.conn.Close()
			}
		})
	})
}

// fill makes mailboxes, and messages in INBOX.
func (s *server) fill(t *testing.T, mailboxes, messages int) {
	t.Helper()
	c := s.imapLogin(t, "ann@example.org")
	defer c.conn.Close()
	send := func(n int, command func(i int) string) {
		go func() {
			for i := range n {
				fmt.Fprintf(c.conn, "c %s\r\n", command(i))
			}
		}()
		for range n {
			for {
				line, err := c.line()
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(line, "c ") {
					break
				}
			}
		}
	}
	send(mailboxes, func(i int) string { return fmt.Sprintf("CREATE %s/%d", strings.Repeat("a", 40), i) })
	text := "Subject: one of many\r\nTo: someone@example.org\r\n\r\n" + strings.Repeat("a", 1000) + "\r\n"
	send(messages, func(int) string { return fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(text), text) })
}
