package interop

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// imapClient is the least of a client: enough to look at mailboxes without another program's help.
type imapClient struct {
	conn     net.Conn
	r        *bufio.Reader
	patience time.Duration // for a line
}

// imapLogin connects over 993 and logs in with the password "secret".
func (s *server) imapLogin(t testing.TB, user string) *imapClient {
	t.Helper()
	c, err := s.tryLogin(user)
	if err != nil {
		t.Fatalf("IMAP login of %s: %v\n%s", user, err, s.log)
	}
	t.Cleanup(func() { c.conn.Close() })
	return c
}

func (s *server) tryLogin(user string) (*imapClient, error) {
	conn, err := dialTLS(s, s.imaps)
	if err != nil {
		return nil, err
	}
	c := newIMAPClient(conn)
	_, err = c.do("LOGIN " + user + " secret")
	return c, err
}

// newIMAPClient reads the greeting of a connection; if it is missing, so will be the first reply.
func newIMAPClient(conn net.Conn) *imapClient {
	c := &imapClient{conn, bufio.NewReader(conn), time.Minute}
	c.line()
	return c
}

// line reads a line and the literals in it.
func (c *imapClient) line() (string, error) {
	c.conn.SetReadDeadline(time.Now().Add(c.patience))
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String(), err
		}
		m := literalEnd.FindStringSubmatch(line)
		if m == nil {
			return strings.TrimSuffix(b.String(), "\r\n"), nil
		}
		n, _ := strconv.Atoi(m[1])
		if _, err := io.CopyN(&b, c.r, int64(n)); err != nil {
			return b.String(), err
		}
	}
}

var literalEnd = regexp.MustCompile(`\{(\d+)\}\r\n$`)

// do runs a command and returns its untagged responses.
func (c *imapClient) do(command string) ([]string, error) {
	c.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	if _, err := fmt.Fprintf(c.conn, "a %s\r\n", command); err != nil {
		return nil, err
	}
	var untagged []string
	for {
		line, err := c.line()
		if err != nil {
			return untagged, err
		}
		if rest, tagged := strings.CutPrefix(line, "a "); tagged {
			if !strings.HasPrefix(rest, "OK") {
				return untagged, fmt.Errorf("%s: %s", command, rest)
			}
			return untagged, nil
		}
		untagged = append(untagged, line)
	}
}

// append stores a message and returns the text of the tagged OK.
func (c *imapClient) append(mailbox, flags, text string) (string, error) {
	c.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	if _, err := fmt.Fprintf(c.conn, "a APPEND %s %s {%d+}\r\n%s\r\n", mailbox, flags, len(text), text); err != nil {
		return "", err
	}
	for {
		line, err := c.line()
		if err != nil {
			return "", err
		}
		if rest, tagged := strings.CutPrefix(line, "a "); tagged {
			if !strings.HasPrefix(rest, "OK") {
				return "", fmt.Errorf("APPEND: %s", rest)
			}
			return rest, nil
		}
	}
}

// imapScript runs commands, each of which must succeed.
func (s *server) imapScript(t testing.TB, user string, commands ...string) {
	t.Helper()
	c := s.imapLogin(t, user)
	for _, command := range commands {
		if _, err := c.do(command); err != nil {
			t.Fatal(err)
		}
	}
	c.do("LOGOUT")
}

// status returns "MESSAGES n UNSEEN n" of a mailbox.
func (s *server) status(t testing.TB, user, mailbox string) string {
	t.Helper()
	lines, err := s.imapLogin(t, user).do("STATUS " + mailbox + " (MESSAGES UNSEEN)")
	if err != nil || len(lines) != 1 {
		t.Fatalf("STATUS: %q, %v", lines, err)
	}
	return strings.Trim(lines[0][strings.Index(lines[0], "("):], "()")
}

// count returns how many messages in INBOX have the text in their subject.
func (s *server) count(t testing.TB, user, subject string) int {
	t.Helper()
	c := s.imapLogin(t, user)
	defer c.conn.Close()
	if _, err := c.do("EXAMINE INBOX"); err != nil {
		t.Fatal(err)
	}
	lines, err := c.do(fmt.Sprintf("SEARCH SUBJECT %q", subject))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if f := strings.Fields(l); len(f) >= 2 && f[1] == "SEARCH" {
			return len(f) - 2
		}
	}
	return 0
}

func (s *server) waitFor(t testing.TB, user, subject string) {
	t.Helper()
	s.waitCount(t, user, subject, 1)
}

// waitCount waits until exactly n messages with the subject are there.
func (s *server) waitCount(t testing.TB, user, subject string, n int) {
	t.Helper()
	got := 0
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = s.count(t, user, subject); got >= n {
			break
		}
	}
	if got != n {
		t.Fatalf("%d messages with subject %q for %s, want %d\n%s", got, subject, user, n, s.log)
	}
}

// message returns the text of the newest message with the subject in INBOX.
func (s *server) message(t testing.TB, user, subject string) string {
	t.Helper()
	c := s.imapLogin(t, user)
	if _, err := c.do("EXAMINE INBOX"); err != nil {
		t.Fatal(err)
	}
	lines, err := c.do(fmt.Sprintf("SEARCH SUBJECT %q", subject))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(lines[0])
	lines, err = c.do("FETCH " + f[len(f)-1] + " BODY.PEEK[]")
	if err != nil {
		t.Fatal(err)
	}
	head, text, _ := strings.Cut(lines[0], "\r\n")
	m := literalEnd.FindStringSubmatch(head + "\r\n")
	n, _ := strconv.Atoi(m[1])
	return text[:n]
}

// sendPlain delivers a message through port 25 as a stranger's server does.
func (s *server) sendPlain(t testing.TB, to, subject string) {
	t.Helper()
	s.sendText(t, to, "From: Eve <eve@elsewhere.example>\r\nTo: "+to+"\r\nSubject: "+subject+"\r\n\r\nHello\r\n")
}

func (s *server) sendText(t testing.TB, to, text string) {
	t.Helper()
	c, err := smtp.Dial(fmt.Sprintf("127.0.0.1:%d", s.smtp))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := sendOver(c, to, text); err != nil {
		t.Fatalf("sending: %v\n%s", err, s.log)
	}
}

func sendOver(c *smtp.Client, to, text string) error {
	if err := c.Mail("eve@elsewhere.example"); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// dialTLS connects to a port with TLS from the first byte.
func dialTLS(s *server, port int) (net.Conn, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", fmt.Sprintf("127.0.0.1:%d", port), s.clientTLS())
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(time.Minute))
}

// dialPort connects to a loopback port.
func dialPort(port int) (net.Conn, error) {
	return net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 10*time.Second)
}

// eachLine calls f with each line of r, however long, without its end, until f returns false or r ends.
func eachLine(r io.Reader, f func(line string) bool) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" && !f(strings.TrimSuffix(line, "\n")) || err != nil {
			return
		}
	}
}

// TestEachLine: a line that is longer than what a bufio.Scanner takes does not end the reading.
func TestEachLine(t *testing.T) {
	long := strings.Repeat("x", 1<<17)
	var got []string
	eachLine(strings.NewReader("one\n"+long+"\nready\nlast"), func(line string) bool {
		got = append(got, line)
		return line != "last"
	})
	if want := []string{"one", long, "ready", "last"}; !slices.Equal(got, want) {
		t.Errorf("got %d lines, %.100q", len(got), got)
	}
}
