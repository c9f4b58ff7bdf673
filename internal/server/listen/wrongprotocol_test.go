package listen

import (
	"context"
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"
)

const (
	r50 = "421 4.7.0 mx.example.org This port needs SSL/TLS from the start. Set connection security to SSL/TLS, not STARTTLS or none\r\n"
	r51 = "* BYE This port needs SSL/TLS from the start. Set connection security to SSL/TLS, not STARTTLS or none\r\n"
	r52 = "-ERR [SYS/PERM] This port needs SSL/TLS from the start. Set connection security to SSL/TLS\r\n"
)

// TestClearOnImplicitPort: T-12, T-13, T-14, X-48, X-49, X-50.
func TestClearOnImplicitPort(t *testing.T) {
	t.Parallel()
	never := func(context.Context, *Conn) { t.Error("the handler was called") }
	ts := serve(t, Options{
		Listeners: []Listener{{Service: Submission, Mode: Implicit}, {Service: IMAP, Mode: Implicit}, {Service: POP3, Mode: Implicit}},
		Handlers:  map[Service]Handler{Submission: never, IMAP: never, POP3: never},
		Limits:    Limits{FirstByte: 50 * time.Millisecond, Exempt: loopbackNet},
	})
	replies := []string{r50, r51, r52}
	for _, tc := range []struct {
		name, text, seen string
		answered         bool
	}{
		{"silence", "", "silence", true},
		{"SMTP", "EHLO x\r\n", "text", true},
		{"IMAP", "a1 CAPABILITY\r\n", "text", true},
		{"blank line", "\r\n", "text", true},
		{"HTTP", "POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<x>\r\n", "http", true},
		{"SSH", "SSH-2.0-x\r\n", "ssh", true},
		{"SSLv2", "\x80\x2e\x01\x03\x01", "sslv2", false},
		{"binary", "\x00\x01\x02", "other", false},
		{"UTF-8", "é\r\n", "other", false},
	} {
		for i := range replies {
			raw := ts.dial(t, i)
			send(t, raw, tc.text)
			want := ""
			if tc.answered {
				want = replies[i]
			}
			expectEnd(t, raw, want)
		}
		ts.expectLog(t, "wrong-protocol", "seen="+tc.seen, "expected=tls", "svc=pop3")
	}
	if n := ts.Stats()[0].WrongProtocol["text"]; n != 3 {
		t.Errorf("%d times text was counted, want 3", n)
	}
}

// TestTLSOnClearPort: T-15, X-50.
func TestTLSOnClearPort(t *testing.T) {
	t.Parallel()
	ts := one(t, Submission, Required, echo)
	raw := ts.dial(t, 0)
	expect(t, raw, "hello\r\n")
	var hello recorder
	tls.Client(&hello, &tls.Config{ServerName: "mail.example.test", NextProtos: []string{"smtp", "x\ny"}, MinVersion: tls.VersionTLS12}).Handshake()
	for _, octet := range []byte(hello.String()) { // however it comes
		if _, err := raw.Write([]byte{octet}); err != nil {
			break
		}
	}
	expectEnd(t, raw, "")
	ts.expectLog(t, "wrong-protocol", "seen=tls", "expected=starttls", "sni=mail.example.test", `alpn=smtp,x?y`, "rip=127.0.0.1")

	raw = ts.dial(t, 0)
	expect(t, raw, "hello\r\n")
	send(t, raw, "\x80\x2e\x01\x03\x01\x00")
	expectEnd(t, raw, "")
	ts.expectLog(t, "wrong-protocol", "seen=sslv2", "expected=starttls")
}

// TestUnfinishedHelloOnClearPort: the hello never becomes whole; the log line comes nevertheless.
func TestUnfinishedHelloOnClearPort(t *testing.T) {
	t.Parallel()
	ts := one(t, IMAP, Required, echo)
	raw := ts.dial(t, 0)
	expect(t, raw, "hello\r\n")
	send(t, raw, "\x16\x03\x01\x02\x00")
	expectEnd(t, raw, "")
	ts.expectLog(t, "wrong-protocol", "seen=tls", `sni=""`)
}

// TestForeignLine: HTTP and SSH get the service's last word, and no octet of theirs comes back.
func TestForeignLine(t *testing.T) {
	t.Parallel()
	for service, prefix := range map[Service]string{SMTP: "421 4.7.0 mx.example.org ", IMAP: "* BYE ", POP3: "-ERR [SYS/PERM] "} {
		mode := Required
		ts := one(t, service, mode, echo)
		for _, line := range []string{"GET /secret HTTP/1.1", "POST /secret HTTP/1.1", "PRI * HTTP/2.0", "SSH-2.0-secret"} {
			raw := ts.dial(t, 0)
			expect(t, raw, "hello\r\n")
			send(t, raw, line+"\r\nHost: secret\r\n\r\nQUIT\r\n")
			got, err := io.ReadAll(raw)
			if !strings.HasPrefix(string(got), prefix) || strings.Contains(string(got), "secret") || strings.Count(string(got), "\n") != 1 {
				t.Errorf("%s to %s: got %q, %v", line, service, got, err)
			}
		}
		ts.expectLog(t, "wrong-protocol", "seen=http", "expected="+string(service))
		ts.expectLog(t, "wrong-protocol", "seen=ssh")
	}
	// Under TLS without ALPN as well.
	ts := one(t, IMAP, Implicit, echo)
	c := tls.Client(ts.dial(t, 0), clientTLS())
	expect(t, c, "hello\r\n")
	send(t, c, "GET / HTTP/1.1\r\n\r\n")
	got, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(got), "* BYE ") {
		t.Errorf("HTTP under TLS: got %q", got)
	}
	// Later lines are the door's business.
	ts = one(t, POP3, Required, echo)
	raw := ts.dial(t, 0)
	expect(t, raw, "hello\r\n")
	send(t, raw, "NOOP\r\nGET x\r\nQUIT\r\n")
	expectEnd(t, raw, "= NOOP\r\n= GET x\r\nbye\r\n")
}

// TestPeekBeforeGreeting: TS-2.7. A program that speaks first is told so by an alert before the greeting; an impatient
// mail program is greeted all the same.
func TestPeekBeforeGreeting(t *testing.T) {
	t.Parallel()
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Required}}, Handlers: map[Service]Handler{IMAP: echo},
		Limits: Limits{PeekBeforeGreeting: 300 * time.Millisecond, Exempt: loopbackNet},
	})
	_, err := tls.Dial("tcp", ts.Addrs()[0].String(), clientTLS())
	if err == nil || !strings.Contains(err.Error(), "remote error: tls: handshake failure") {
		t.Errorf("got %v, want the alert handshake_failure", err)
	}
	ts.expectLog(t, "wrong-protocol", "seen=tls", "sni="+string(testHost))
	raw := ts.dial(t, 0)
	send(t, raw, "\x80\x2e\x01\x03\x01\x00")
	expectEnd(t, raw, "")
	raw = ts.dial(t, 0)
	send(t, raw, "GET / HTTP/1.1\r\n\r\n")
	if got, _ := io.ReadAll(raw); !strings.HasPrefix(string(got), "* BYE ") {
		t.Errorf("HTTP: got %q", got)
	}
	for _, early := range []string{"NOOP\r\n", ""} {
		raw = ts.dial(t, 0)
		send(t, raw, early)
		expect(t, raw, "hello\r\n")
		send(t, raw, "QUIT\r\n")
		raw.SetReadDeadline(time.Now().Add(patience))
		if got, _ := io.ReadAll(raw); !strings.HasSuffix(string(got), "bye\r\n") {
			t.Errorf("after %q: got %q", early, got)
		}
	}
}

func FuzzParseHello(f *testing.F) {
	var hello recorder
	tls.Client(&hello, &tls.Config{ServerName: "mail.example.test", NextProtos: []string{"imap"}, MinVersion: tls.VersionTLS12}).Handshake()
	f.Add([]byte(hello.String()))
	f.Add([]byte("\x16\x03\x01\x00\x04\x01\x00\x00\x00"))
	f.Add([]byte("\x16\x03\x01\x00\x00\x16\x03\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, complete := parseHello(b)
		if complete {
			// More octets behind a complete hello change nothing.
			again, stillComplete := parseHello(append(b[:len(b):len(b)], "more"...))
			if !stillComplete || again.name != whole.name {
				t.Errorf("%q and then with more: %v, %v", whole, again, stillComplete)
			}
		}
	})
}
