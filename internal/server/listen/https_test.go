package listen

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestRefuseMail: TS-2.7, the HTTPS port. A mail program is closed without a word, and the log says what was seen; HTTP
// under TLS goes on, and HTTP in clear is the HTTP server's to answer.
func TestRefuseMail(t *testing.T) {
	t.Parallel()
	var log logBuffer
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "page") })
	s := &http.Server{Handler: page, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(tls.NewListener(RefuseMail(l, slog.New(slog.NewTextHandler(&log, nil))), certificates(t).HTTPS()))
	}()
	defer func() { s.Close(); <-done }()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	for _, c := range []struct{ text, seen string }{
		{"EHLO x\r\n", "mail"},
		{"a1 CAPABILITY\r\n", "mail"},
		{"A LOGIN x y\r\n", "mail"},
		{"USER x\r\n", "mail"},
		{"capa\r\n", "mail"},
		{"SSH-2.0-x\r\n", "ssh"},
		{"\x80\x2e\x01\x03\x01", "sslv2"},
	} {
		before := strings.Count(log.String(), "msg=wrong-protocol seen="+c.seen+" expected=tls svc=http rip=127.0.0.1")
		raw := dial()
		send(t, raw, c.text)
		expectEnd(t, raw, "")
		if after := strings.Count(log.String(), "msg=wrong-protocol seen="+c.seen+" expected=tls svc=http rip=127.0.0.1"); after != before+1 {
			t.Errorf("%q: logged\n%s", c.text, &log)
		}
	}
	raw := dial()
	send(t, raw, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, _ := io.ReadAll(raw); !strings.HasPrefix(string(answer), "HTTP/1.0 400 ") {
		t.Errorf("HTTP in clear: got %q", answer)
	}
	secure := tls.Client(dial(), clientTLS("http/1.1"))
	send(t, secure, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if answer, _ := io.ReadAll(secure); !strings.HasSuffix(string(answer), "page") {
		t.Errorf("HTTP under TLS: got %q", answer)
	}
}
