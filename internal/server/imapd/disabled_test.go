package imapd

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/mailtest"
	"candor/internal/server/listen"
)

// TestDisabledSessionEnds: an account that is disabled does nothing more in sessions that are open, and hears of no mail.
func TestDisabledSessionEnds(t *testing.T) {
	w := mailtest.NewWorld(t, "account ann@example.org secret\n")
	d := door(Limits{})
	addr := w.Serve(t, listen.IMAP, listen.Implicit, d.Handler(t, w))
	asks, appends, leaves, idles := logIn(t, w, addr), logIn(t, w, addr), logIn(t, w, addr), logIn(t, w, addr)
	idles.says("c SELECT INBOX", "c OK")
	idles.says("x IDLE", "+ idling")
	if err := w.Directory.SetDisabled(t.Context(), mail.Address{Local: "ann", Domain: "example.org"}, true); err != nil {
		t.Fatal(err)
	}
	const refused = "* BYE This account cannot be used any more\r\nx NO [NOPERM] This account cannot be used any more\r\n"
	for _, c := range []struct {
		s          *imapSession
		line, want string
	}{
		{asks, "x NOOP", refused},
		{appends, "x APPEND INBOX {3}", refused},
		{leaves, "x LOGOUT", "* BYE"},
	} {
		fmt.Fprintf(c.s, "%s\r\n", c.line)
		if got := c.s.rest(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.line, got, c.want)
		}
	}
	w.Append(t, "ann@example.org", "INBOX", "Subject: secret\n\n")
	if got := idles.rest(); got != refused {
		t.Errorf("IDLE: %q, want %q", got, refused)
	}
}

// imapSession is one of ann's.
type imapSession struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func logIn(t testing.TB, w *mailtest.World, addr net.Addr) *imapSession {
	t.Helper()
	conn, err := tls.Dial("tcp", addr.String(), w.ClientTLS())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	s := &imapSession{t, conn, bufio.NewReader(conn)}
	s.says("a LOGIN ann@example.org secret", "a OK")
	return s
}

// says sends a line and reads up to one that begins so.
func (s *imapSession) says(line, want string) {
	s.t.Helper()
	fmt.Fprintf(s, "%s\r\n", line)
	for {
		got, err := s.r.ReadString('\n')
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		if strings.HasPrefix(got, want) {
			return
		}
	}
}

// rest reads to the end.
func (s *imapSession) rest() string {
	s.t.Helper()
	text, err := io.ReadAll(s.r)
	if err != nil {
		s.t.Fatalf("%q, then %v", text, err)
	}
	return string(text)
}
