package smtpd_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	netsmtp "net/smtp"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"candor/internal/mailtest"
	"candor/internal/proto/sasl"
	"candor/internal/server/listen"
	"candor/internal/server/smtpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const people = "account ann@example.org pencil\naccount bob@example.org\n"

// client is a plain connection that reads replies whole.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr net.Addr) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{t, c, bufio.NewReader(c)}
}

// want reads replies whose codes, in their order, are those given, and returns the last one's line.
func (c *client) want(codes ...string) string {
	c.t.Helper()
	var line string
	for _, code := range codes {
		for {
			var err error
			if line, err = c.r.ReadString('\n'); err != nil {
				c.t.Fatalf("reading a reply: %v", err)
			}
			if !strings.HasPrefix(line, code) {
				c.t.Fatalf("got %q, want %s", line, code)
			}
			if line[3] == ' ' {
				break
			}
		}
	}
	return line
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// begin goes as far as an accepted recipient.
func (c *client) begin() {
	c.t.Helper()
	c.send("EHLO client.example\r\nMAIL FROM:<eve@client.example>\r\nRCPT TO:<bob@example.org>\r\n")
	c.want("220", "250", "250", "250")
}

func (c *client) eof() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.t.Fatalf("got %q, %v; want the end", rest, err)
	}
}

func newMX(t testing.TB, o smtpd.Options) (*mailtest.World, *smtpd.Server, net.Addr) {
	t.Helper()
	w := mailtest.NewWorld(t, people)
	s, _ := serve(t, w, o)
	return w, s, w.Serve(t, listen.SMTP, listen.Opportunistic, s.Handler())
}

// smuggled are the lone dots that some server somewhere takes for the end of DATA.
var smuggled = []string{
	"\n.\n", "\n.\r", "\n.\r\n", "\r.\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r",
	"\r\n.\r\r\n", "\n.\r\r\n", "\r.\r\r\n", "\r\r\n\r.\r\n",
}

// TestSmuggling is X-34 and T-20: a message within a message is never seen, whatever the line ends, by DATA
// and by BDAT; and the session goes on.
func TestSmuggling(t *testing.T) {
	w, s, addr := newMX(t, smtpd.Options{})
	for _, dot := range smuggled {
		inner := "MAIL FROM:<ceo@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\n"
		text := "Subject: outer\r\n\r\nx" + dot + inner
		c := dial(t, addr)
		c.begin()
		c.send("DATA\r\n")
		c.want("354")
		c.send(text + ".\r\n")
		if got := c.want("550"); got != "550 5.5.2 Bare CR or LF not allowed\r\n" {
			t.Errorf("DATA %q: got %q", dot, got)
		}
		c.send("MAIL FROM:<eve@client.example>\r\nRCPT TO:<bob@example.org>\r\n")
		c.want("250", "250")
		c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(text), text))
		if got := c.want("550"); got != "550 5.5.2 Bare CR or LF not allowed\r\n" {
			t.Errorf("BDAT %q: got %q", dot, got)
		}
		c.send("QUIT\r\n")
		c.want("221")
		c.eof()
	}
	if got := w.Messages(t, "bob@example.org", "INBOX"); len(got) > 0 {
		t.Errorf("stored %q", got)
	}
	if got := s.Stats(); got.BareLineEnds != int64(2*len(smuggled)) || got.Accepted != 0 {
		t.Errorf("counted %+v", got)
	}
}

// TestSmugglingFromUser is X-35: from a program that logs in, every line end becomes CRLF, and what
// would be a lone dot elsewhere is content.
func TestSmugglingFromUser(t *testing.T) {
	w := mailtest.NewWorld(t, people)
	s, _ := serve(t, w, smtpd.Options{})
	addr := w.Serve(t, listen.Submission, listen.Implicit, s.Handler())
	c := dial(t, addr)
	c.Conn = tls.Client(c.Conn, w.ClientTLS())
	c.r = bufio.NewReader(c.Conn)
	c.send("EHLO x\r\nAUTH PLAIN AGFubkBleGFtcGxlLm9yZwBwZW5jaWw=\r\n")
	c.want("220", "250", "235")
	for i, dot := range smuggled {
		c.send("MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n")
		c.want("250", "250", "354")
		c.send(fmt.Sprintf("From: ann@example.org\r\nSubject: %d\r\n\r\nx%sMAIL FROM:<>\r\n.\r\n", i, dot))
		c.want("250")
	}
	c.send("QUIT\r\n")
	c.want("221")
	got := strings.Join(waitMessages(t, w, "bob@example.org", len(smuggled)), "")
	for i, dot := range smuggled {
		// Only a dot that follows CRLF was put there by the client.
		content := lineEnd.ReplaceAllString(strings.Replace(dot, "\r\n.", "\r\n", 1), "\r\n")
		if want := fmt.Sprintf("Subject: %d\r\n\r\nx%sMAIL FROM:<>\r\n", i, content); !strings.Contains(got, want) {
			t.Errorf("%q: no message ends in %q", dot, want)
		}
	}
}

// lineEnd is whatever some program means as one.
var lineEnd = regexp.MustCompile(`\r*\n|\r`)

func waitMessages(t testing.TB, w *mailtest.World, account string, n int) []string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if got := w.Messages(t, account, "INBOX"); len(got) >= n {
			return got
		}
		if time.Now().After(end) {
			t.Fatalf("%d messages did not come\n%s", n, w.Logged)
		}
	}
}

// TestPipelining sends one whole session, cut in two at every octet: the replies are the same each time
// (RFC 2920, section 3.2).
func TestPipelining(t *testing.T) {
	w, _, addr := newMX(t, smtpd.Options{})
	script := "EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<no@example.org>\r\nDATA\r\nSubject: x\r\n\r\n..\r\n.\r\n" +
		"MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nBDAT 3\r\nx\r\nBDAT 2 LAST\r\n\r\nNOOP\r\nQUIT\r\n"
	codes := []string{"220", "250", "250", "250", "550", "354", "250", "250", "250", "250", "250", "250", "221"}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for cut := range len(script) {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			c := dial(t, addr)
			c.send(script[:cut])
			time.Sleep(time.Millisecond)
			c.send(script[cut:])
			for _, code := range codes {
				line, err := c.r.ReadString('\n')
				for err == nil && len(line) > 3 && line[3] == '-' {
					line, err = c.r.ReadString('\n')
				}
				if err != nil || !strings.HasPrefix(line, code) {
					t.Errorf("cut at %d: got %q, %v; want %s", cut, line, err, code)
					return
				}
			}
			c.Close()
		})
	}
	wg.Wait()
	waitMessages(t, w, "bob@example.org", 2*len(script))
}

// TestReplyGroup: the replies to one group of commands come in one write.
func TestReplyGroup(t *testing.T) {
	_, _, addr := newMX(t, smtpd.Options{})
	c := dial(t, addr)
	c.want("220")
	c.send("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<no@example.org>\r\nDATA\r\n")
	got := make([]byte, 8192)
	n, err := c.Conn.Read(got)
	if err != nil || bytes.Count(got[:n], []byte("\r\n250 ")) != 3 || !bytes.Contains(got[:n], []byte("\r\n354 ")) {
		t.Errorf("one read got %q, %v; want all replies", got[:n], err)
	}
}

// TestTruncated is X-51 and T-21: a message that is cut off anywhere is neither stored nor acknowledged.
func TestTruncated(t *testing.T) {
	w, s, addr := newMX(t, smtpd.Options{})
	text := "Subject: x\r\n\r\nbody\r\n..\r\n.\r\n"
	for cut := range len(text) {
		c := dial(t, addr)
		c.begin()
		c.send("DATA\r\n")
		c.want("354")
		c.send(text[:cut])
		c.Conn.(*net.TCPConn).CloseWrite()
		c.eof()
	}
	for _, chunks := range []string{"BDAT 10\r\nSubject", "BDAT 14\r\nSubject: x\r\n\r\n", "BDAT 14\r\nSubject: x\r\n\r\nBDAT 5 LAST\r\nabc"} {
		c := dial(t, addr)
		c.begin()
		c.send(chunks)
		c.Conn.(*net.TCPConn).CloseWrite()
		rest, _ := io.ReadAll(c.r)
		if strings.Contains(string(rest), "accepted") {
			t.Errorf("%q was answered %q", chunks, rest)
		}
	}
	if got := s.Stats(); got.Accepted != 0 || got.Truncated < int64(len(text)) {
		t.Errorf("counted %+v", got)
	}
	if got := w.Messages(t, "bob@example.org", "INBOX"); len(got) > 0 {
		t.Errorf("stored %q", got)
	}
}

// TestInjection is X-06, in one packet and in two: nothing behind STARTTLS is run.
func TestInjection(t *testing.T) {
	_, s, addr := newMX(t, smtpd.Options{})
	for _, packets := range [][]string{
		{"STARTTLS\r\nNOOP\r\n"}, {"STARTTLS\r", "\nNOOP\r\n"}, {"STARTTLS\r\nN", "OOP\r\n"}, {"EHLO x\r\nSTARTTLS\r\n\x16\x03\x01"},
	} {
		c := dial(t, addr)
		c.want("220")
		c.send("EHLO x\r\n")
		c.want("250")
		for _, p := range packets {
			c.send(p)
			time.Sleep(5 * time.Millisecond)
		}
		if strings.HasPrefix(packets[0], "EHLO") {
			c.want("250")
		}
		c.want("554")
		c.eof()
	}
	if got := s.Stats().Injections; got != 4 {
		t.Errorf("counted %d injections, want 4", got)
	}
}

// TestNetSMTP talks with an independent client.
func TestNetSMTP(t *testing.T) {
	w := mailtest.NewWorld(t, people)
	s, _ := serve(t, w, smtpd.Options{})
	addr := w.Serve(t, listen.Submission, listen.Required, s.Handler())
	c, err := netsmtp.Dial(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(w.ClientTLS()); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(plainAuth{"ann@example.org", "pencil"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail("ann@example.org"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("bob@example.org"); err != nil {
		t.Fatal(err)
	}
	body, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(body, "From: Ann <ann@example.org>\nSubject: hello\n\n.dot\nend\n")
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
	got := waitMessages(t, w, "bob@example.org", 1)[0]
	for _, want := range []string{
		"Received: from [authenticated]\r\n", "by mx.example.org with UTF8SMTPSA id ", " for <bob@example.org>", "\r\n        tls TLS_AES_128_GCM_SHA256 group X25519MLKEM768 (TLS1.3, client certificate: none);",
		"\r\nDate: ", "\r\nMessage-ID: <", "From: Ann <ann@example.org>\r\nSubject: hello\r\n\r\n.dot\r\nend\r\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the message lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "127.0.0.1") || strings.Contains(got, "localhost") {
		t.Errorf("the message tells where its author sits:\n%s", got)
	}
}

// plainAuth is PLAIN without the check of the host name that the library's own makes: the test
// dials an address.
type plainAuth struct{ user, password string }

func (a plainAuth) Start(*netsmtp.ServerInfo) (string, []byte, error) {
	return "PLAIN", []byte("\x00" + a.user + "\x00" + a.password), nil
}

func (plainAuth) Next([]byte, bool) ([]byte, error) { return nil, nil }

// TestScram logs in by a mechanism whose server speaks last: that word is a challenge here, which is
// answered with an empty response (RFC 4954, section 4). With -PLUS the state is authenticated-bound.
func TestScram(t *testing.T) {
	w := mailtest.NewWorld(t, people)
	s, _ := serve(t, w, smtpd.Options{})
	addr := w.Serve(t, listen.Submission, listen.Implicit, s.Handler())
	for _, tc := range []struct{ mechanism, password, code, logged string }{
		{sasl.ScramSHA256, "pencil", "235", "cb=none tls.state=encrypted-unauthenticated"},
		{sasl.ScramSHA256, "wrong", "535", "reason=wrong tls.state=encrypted-unauthenticated"},
		{sasl.ScramSHA256Plus, "pencil", "235", "cb=exporter tls.state=authenticated-bound"},
		{sasl.ScramSHA256Plus, "wrong", "535", "reason=wrong tls.state=encrypted-unauthenticated"},
	} {
		c := dial(t, addr)
		conn := tls.Client(c.Conn, w.ClientTLS())
		c.Conn, c.r = conn, bufio.NewReader(conn)
		c.send("EHLO x\r\n")
		c.want("220", "250")
		var channel *sasl.Channel
		if tc.mechanism == sasl.ScramSHA256Plus {
			cs := conn.ConnectionState()
			channel = sasl.NewChannel(&cs, cs.PeerCertificates[0])
		}
		x := sasl.NewScramClient(tc.mechanism, channel, "ann@example.org", []byte(tc.password))
		c.send("AUTH " + tc.mechanism + " " + sasl.EncodeInitial(x.Start()) + "\r\n")
		line := c.challenge()
		for strings.HasPrefix(line, "334 ") {
			challenge, err := sasl.DecodeResponse([]byte(strings.TrimSpace(line[4:])))
			if err != nil {
				t.Fatal(err)
			}
			response, err := x.Next(challenge)
			if err != nil {
				t.Fatal(err)
			}
			c.send(sasl.Encode(response) + "\r\n")
			line = c.challenge()
		}
		if !strings.HasPrefix(line, tc.code) || !strings.Contains(w.Logged.String(), "method="+tc.mechanism+" "+tc.logged) {
			t.Errorf("%s, password %q: got %q, want %s; log:\n%s", tc.mechanism, tc.password, line, tc.code, w.Logged)
		}
		if err := x.Finish(); tc.code == "235" && err != nil {
			t.Errorf("the server did not prove itself: %v", err)
		}
		if channel != nil && tc.code == "235" {
			c.send("MAIL FROM:<ann@example.org>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n")
			c.want("250", "250", "354")
			c.send("Subject: bound\r\n\r\nx\r\n.\r\n")
			c.want("250")
		}
	}
	for end := time.Now().Add(20 * time.Second); len(w.Messages(t, "ann@example.org", "INBOX")) == 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if got := strings.Join(w.Messages(t, "ann@example.org", "INBOX"), ""); !strings.Contains(got, "state=authenticated-bound") || !strings.Contains(got, "peer=sasl:SCRAM-SHA-256-PLUS") {
		t.Errorf("the message does not tell how it came: %s", got)
	}
}

func (c *client) challenge() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return line
}

// TestNoCertificate is R-07: where TLS is demanded and cannot be had, nothing else is.
func TestNoCertificate(t *testing.T) {
	w := mailtest.NewWorld(t, people)
	s, _ := serve(t, w, smtpd.Options{})
	w.Certificates = nil
	c := dial(t, w.Serve(t, listen.Submission, listen.Required, s.Handler()))
	c.send("EHLO x\r\nSTARTTLS\r\nMAIL FROM:<ann@example.org>\r\nQUIT\r\n")
	c.want("220", "250")
	if got := c.want("454"); got != "454 4.7.0 TLS not available now\r\n" {
		t.Errorf("got %q", got)
	}
	c.want("530", "221")
}

// TestNonsense sends what no client would: whole sessions with octets changed, dropped and doubled.
// Nothing that a peer sends may end in a panic, nor keep a session from its end.
func TestNonsense(t *testing.T) {
	w, s, addr := newMX(t, smtpd.Options{})
	script := []byte("EHLO x\r\nMAIL FROM:<a@b.example> SIZE=10\r\nRCPT TO:<bob@example.org>\r\nBDAT 3\r\nx\r\nBDAT 2 LAST\r\n\r\n" +
		"MAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\nSubject: x\r\n\r\n..\r\n.\r\nRSET\r\nAUTH PLAIN AA==\r\nSTARTTLS\r\nQUIT\r\n")
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		text := bytes.Clone(script)
		for range 1 + random.IntN(8) {
			i := random.IntN(len(text))
			switch random.IntN(3) {
			case 0:
				text[i] = byte(random.IntN(256))
			case 1:
				text = append(text[:i], text[i+1:]...)
			case 2:
				text = append(text[:i:i], text[max(0, i-20):]...)
			}
		}
		c := dial(t, addr)
		c.send(string(text))
		c.Conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c.r)
		c.Close()
	}
	if got := s.Stats(); got.Panics != 0 || got.Sessions != 100 {
		t.Errorf("counted %+v\n%s", got, w.Logged)
	}
}

// TestReceived shows the trace field of mail from outside.
func TestReceived(t *testing.T) {
	w, _, addr := newMX(t, smtpd.Options{})
	for hello, want := range map[string]string{
		"HELO out.example":            "from out.example ([127.0.0.1])\r\n        by mx.example.org with SMTP id ",
		"EHLO out.example":            "from out.example ([127.0.0.1])\r\n        by mx.example.org with ESMTP id ",
		"EHLO a);(b;tls=<x>\"\\":      "from a???b?tls??x??? ([127.0.0.1])\r\n",
		"EHLO " + "ü" + ".example":    "from ??.example ([127.0.0.1])\r\n",
		"EHLO client.example\r\nRSET": "from client.example ",
	} {
		c := dial(t, addr)
		c.want("220")
		c.send(hello + "\r\n")
		c.want("250")
		if strings.Contains(hello, "RSET") {
			c.want("250")
		}
		c.send("MAIL FROM:<a@b.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n")
		c.want("250", "250", "354")
		before := len(w.Messages(t, "bob@example.org", "INBOX"))
		c.send("Subject: x\r\n\r\n.\r\n")
		c.want("250")
		got := waitMessages(t, w, "bob@example.org", before+1)[before]
		if !strings.Contains(got, "Received: "+want) && !strings.Contains(got, want) {
			t.Errorf("%q: the message lacks %q:\n%s", hello, want, got)
		}
	}
}

// TestBodyWithoutHeader: what is no header does not become one below our trace fields.
func TestBodyWithoutHeader(t *testing.T) {
	w, _, addr := newMX(t, smtpd.Options{})
	c := dial(t, addr)
	c.begin()
	c.send("DATA\r\n")
	c.want("354")
	c.send("just text\r\nSubject: not one\r\n.\r\n")
	c.want("250")
	got := waitMessages(t, w, "bob@example.org", 1)[0]
	if !strings.HasSuffix(got, "\r\n\r\njust text\r\nSubject: not one\r\n") {
		t.Errorf("got %q", got)
	}
}

// TestPanic: a bug ends the session that met it, with an honest answer, and no other.
func TestPanic(t *testing.T) {
	w := mailtest.NewWorld(t, people)
	s := smtpd.New(smtpd.Options{Hostname: mailtest.Hostname, Log: w.Log}) // RCPT needs the directory that is missing
	addr := w.Serve(t, listen.SMTP, listen.Opportunistic, s.Handler())
	other := dial(t, addr)
	other.want("220")
	c := dial(t, addr)
	c.send("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<bob@example.org>\r\n")
	c.want("220", "250", "250", "421 4.3.0")
	c.eof()
	other.send("NOOP\r\n")
	other.want("250")
	if got := s.Stats().Panics; got != 1 {
		t.Errorf("counted %d panics, want 1", got)
	}
}

// TestTimeouts: every wait ends, and says so.
func TestTimeouts(t *testing.T) {
	limits := smtpd.Limits{CommandTimeout: 100 * time.Millisecond, DataTimeout: 100 * time.Millisecond}
	w, _, addr := newMX(t, smtpd.Options{Limits: limits})
	c := dial(t, addr)
	c.want("220", "421 4.4.2")
	c.eof()
	c = dial(t, addr)
	c.send("NOO")
	c.want("220", "421 4.4.2")
	c.eof()
	c = dial(t, addr)
	c.begin()
	c.send("DATA\r\nSubject: x\r\n")
	c.want("354", "421 4.4.2")
	c.eof()
	if got := w.Messages(t, "bob@example.org", "INBOX"); len(got) > 0 {
		t.Errorf("stored %q", got)
	}
}

// TestShutdown: who waits for nothing is told; a message that is coming in is still taken.
func TestShutdown(t *testing.T) {
	w := mailtest.NewWorld(t, people)
	s, _ := serve(t, w, smtpd.Options{})
	l, err := listen.New(listen.Options{
		Listeners:    []listen.Listener{{Name: "smtp", Service: listen.SMTP, Address: "127.0.0.1:0", Mode: listen.Opportunistic, Hostname: mailtest.Hostname}},
		Certificates: w.Certificates, Handlers: map[listen.Service]listen.Handler{listen.SMTP: s.Handler()}, Log: w.Log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { l.Serve(ctx, 10*time.Second, nil) })
	idle, busy := dial(t, l.Addrs()[0]), dial(t, l.Addrs()[0])
	idle.want("220")
	busy.begin()
	busy.send("DATA\r\n")
	busy.want("354")
	stop()
	idle.want("421 4.3.2")
	idle.eof()
	busy.send("Subject: x\r\n\r\n.\r\n")
	busy.want("250", "421 4.3.2")
	busy.eof()
	wg.Wait()
	waitMessages(t, w, "bob@example.org", 1)
}

// TestStream: a message of many times the buffers comes through unchanged.
func TestStream(t *testing.T) {
	w, _, addr := newMX(t, smtpd.Options{})
	body := strings.Repeat(strings.Repeat("0123456789abcdef", 4)+"\r\n.dot\r\n", 100_000)
	c := dial(t, addr)
	c.begin()
	c.send("DATA\r\n")
	c.want("354")
	c.send("Subject: big\r\n\r\n" + strings.ReplaceAll(body, "\r\n.", "\r\n..") + ".\r\n")
	c.want("250")
	if got := waitMessages(t, w, "bob@example.org", 1)[0]; !strings.HasSuffix(got, "Subject: big\r\n\r\n"+body) {
		t.Errorf("a message of %d octets came out as %d", len(body), len(got))
	}
}

// TestConcurrent: many sessions at once, each message whole and each once.
func TestConcurrent(t *testing.T) {
	w, s, addr := newMX(t, smtpd.Options{})
	const sessions, each = 8, 10
	t.Run("sessions", func(t *testing.T) {
		for i := range sessions {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				c := dial(t, addr)
				c.begin()
				for j := range each {
					if j > 0 {
						c.send("MAIL FROM:<eve@client.example>\r\nRCPT TO:<bob@example.org>\r\n")
						c.want("250", "250")
					}
					c.send("DATA\r\n")
					c.want("354")
					c.send(fmt.Sprintf("Subject: %d-%d\r\n\r\n%s\r\n.\r\n", i, j, strings.Repeat("x", 1000*j)))
					c.want("250")
				}
			})
		}
	})
	seen := map[string]bool{}
	for _, m := range waitMessages(t, w, "bob@example.org", sessions*each) {
		_, rest, _ := strings.Cut(m, "Subject: ")
		subject, _, _ := strings.Cut(rest, "\r\n")
		seen[subject] = true
	}
	if len(seen) != sessions*each || s.Stats().Accepted != sessions*each {
		t.Errorf("%d different messages, counted %d, want %d", len(seen), s.Stats().Accepted, sessions*each)
	}
}
