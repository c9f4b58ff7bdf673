package listen

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"candor/internal/mail"
)

// excepted is an exception for a network.
func excepted(network string, a Allow, until time.Time) Exception {
	return Exception{
		Exception: mail.Exception{ID: "old-scanner", Reason: "Scanner X", Owner: "karin", Until: until},
		Networks:  []netip.Prefix{netip.MustParsePrefix(network)}, Allow: a,
	}
}

// TestExceptions: TS-2.3. What is allowed depends on the listener and on the peer's network; TLS makes the exception
// needless, and only its use without TLS counts.
func TestExceptions(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour)
	tell := func(_ context.Context, c *Conn) {
		e, ok := c.Encrypted()
		tr := c.Transport()
		c.WriteString(fmt.Sprintln(e, ok, c.NeedsTLS(), tr.State, tr.Floor, tr.FloorSource))
		c.Flush()
		c.ReadLine(100)
		c.ReadLine(100)
	}
	for _, tc := range []struct {
		name     string
		listener Listener
		want     string
		uses     int64
	}{
		{"clear-auth", Listener{Service: Submission, Mode: Required, Exceptions: []Exception{excepted("127.0.0.0/8", ClearAuth, later)}}, "insecure:old-scanner true false clear clear insecure:old-scanner\n", 1},
		{"clear-session", Listener{Service: Submission, Mode: Required, Exceptions: []Exception{excepted("127.0.0.0/8", ClearSession, later)}}, "none false false clear clear insecure:old-scanner\n", 1},
		{"tls1.0", Listener{Service: Submission, Mode: Required, Exceptions: []Exception{excepted("127.0.0.0/8", TLS10, later)}}, "none false true clear encrypted-obsolete insecure:old-scanner\n", 0},
		{"tls1.0 on 25", Listener{Service: SMTP, Mode: Opportunistic, Exceptions: []Exception{excepted("127.0.0.0/8", TLS10, later)}}, "none false false clear clear insecure:old-scanner\n", 0},
		{"clear-session on a required MX", Listener{Service: SMTP, Mode: Required, Exceptions: []Exception{excepted("127.0.0.0/8", ClearSession, later)}}, "none false false clear clear insecure:old-scanner\n", 1},
		{"none with an exception", Listener{Service: IMAP, Mode: None, ExceptionsOnly: true, Exceptions: []Exception{excepted("127.0.0.0/8", ClearAuth, later)}}, "insecure:old-scanner true false clear clear insecure:old-scanner\n", 1},
		{"elsewhere", Listener{Service: POP3, Mode: Required, Exceptions: []Exception{excepted("10.0.0.0/8", ClearAuth, later)}}, "none false true clear encrypted-unauthenticated listener\n", 0},
		{"elsewhere on none", Listener{Service: POP3, Mode: None, ExceptionsOnly: true, Exceptions: []Exception{excepted("10.0.0.0/8", ClearAuth, later)}}, "-ERR [SYS/PERM] Not open to your network: it has no exception. Set connection security to SSL/TLS, port 995\r\n", 0},
		{"ended", Listener{Service: IMAP, Mode: Required, Exceptions: []Exception{excepted("127.0.0.0/8", ClearAuth, time.Now())}}, "* BYE Not open to your network: the exception for it has ended. Set connection security to SSL/TLS, port 993\r\n", 0},
		{"ended on an implicit port", Listener{Service: IMAP, Mode: Implicit, Exceptions: []Exception{excepted("127.0.0.0/8", TLS10, time.Now())}}, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var uses Uses
			ts := serve(t, Options{Listeners: []Listener{tc.listener}, Handlers: map[Service]Handler{tc.listener.Service: tell}, Uses: &uses})
			raw := ts.dial(t, 0)
			expect(t, raw, tc.want)
			raw.Write([]byte("one\r\ntwo\r\n"))
			expectEnd(t, raw, "")
			ts.stop()
			if got := uses.Of("old-scanner", time.Now()); got.Times != tc.uses || got.Last.IsValid() != (tc.uses > 0) {
				t.Errorf("counted %+v, want %d", got, tc.uses)
			}
		})
	}
}

// TestEndOfException: a connection that is open when its exception ends is closed at that moment.
func TestEndOfException(t *testing.T) {
	t.Parallel()
	ts := serve(t, Options{
		Listeners: []Listener{{Service: Submission, Mode: Required, Exceptions: []Exception{excepted("127.0.0.0/8", ClearAuth, time.Now().Add(time.Second))}}},
		Handlers:  map[Service]Handler{Submission: echo},
	})
	c := ts.dial(t, 0)
	expect(t, c, "hello\r\n")
	send(t, c, "marco\r\n")
	expect(t, c, "= marco\r\n")
	expectEnd(t, c, "")
	ts.expectLog(t, "connection closed", "tls.floor_source=insecure:old-scanner", "the exception for it has ended")
	expectEnd(t, ts.dial(t, 0), "421 4.7.0 mx.example.org Not open to your network: the exception for it has ended. Set connection security to SSL/TLS, port 465\r\n")
}

// TestExceptionTakenBack: a change that ends or shortens an exception closes the connections that came in by it, and no
// others.
func TestExceptionTakenBack(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour)
	other := excepted("127.0.0.0/8", ClearAuth, later)
	other.ID = "another"
	for name, tc := range map[string]struct {
		next   []Exception
		closed bool
	}{
		"gone":          {nil, true},
		"for others":    {[]Exception{excepted("10.0.0.0/8", ClearAuth, later)}, true},
		"another":       {[]Exception{other}, true},
		"allows less":   {[]Exception{excepted("127.0.0.0/8", ClearSession, later)}, true},
		"shortened":     {[]Exception{excepted("127.0.0.0/8", ClearAuth, time.Now().Add(100*time.Millisecond))}, true},
		"ended":         {[]Exception{excepted("127.0.0.0/8", ClearAuth, time.Now().Add(-time.Hour))}, true},
		"the same":      {[]Exception{excepted("127.0.0.0/8", ClearAuth, later)}, false},
		"prolonged":     {[]Exception{excepted("127.0.0.0/8", ClearAuth, later.Add(time.Hour))}, false},
		"for more, too": {[]Exception{excepted("10.0.0.0/8", ClearAuth, later), excepted("127.0.0.0/16", ClearAuth, later)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener := Listener{Name: "scan", Service: Submission, Mode: Required, Hostname: testHost, Address: "127.0.0.1:0"}
			options := Options{Handlers: map[Service]Handler{Submission: echo}}
			options.Listeners = []Listener{listener}
			options.Listeners[0].Exceptions = []Exception{excepted("127.0.0.0/8", ClearAuth, later)}
			sockets, err := OpenSockets(places(options.Listeners), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sockets.Close)
			options.Sockets = sockets
			ts := serve(t, options)
			c := ts.dial(t, 0)
			expect(t, c, "hello\r\n")
			listener.Exceptions = tc.next
			options.Listeners = []Listener{listener}
			if err := ts.Change(options); err != nil {
				t.Fatal(err)
			}
			if tc.closed {
				expectEnd(t, c, "")
				ts.expectLog(t, "connection closed", "tls.floor_source=insecure:old-scanner", "the exception for it has ended")
				return
			}
			send(t, c, "marco\r\n")
			expect(t, c, "= marco\r\n")
		})
	}
}

// TestUses: uses count for 30 days.
func TestUses(t *testing.T) {
	var u Uses
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	first, second := netip.MustParseAddr("10.1.2.7"), netip.MustParseAddr("10.1.2.8")
	u.Note("a", first, now)
	u.Note("a", second, now.AddDate(0, 0, 20))
	u.Note("b", first, now)
	var restored Uses
	if err := restored.Restore(u.Save(now)); err != nil || u.Save(now) != nil {
		t.Errorf("saving: %v", err)
	}
	for _, c := range []struct {
		id   string
		days int
		want mail.Use
	}{
		{"a", 20, mail.Use{Times: 2, Last: second}},
		{"a", 30, mail.Use{Times: 1, Last: second}},
		{"a", 50, mail.Use{}},
		{"b", 29, mail.Use{Times: 1, Last: first}},
		{"c", 0, mail.Use{}},
	} {
		for _, u := range []*Uses{&u, &restored} {
			if got := u.Of(c.id, now.AddDate(0, 0, c.days)); got != c.want {
				t.Errorf("%s after %d days: %+v, want %+v", c.id, c.days, got, c.want)
			}
		}
	}
}

// TestObsoleteTLS: CFG-06. TLS 1.0 and the suites of its time are for the networks of an exception alone, and such a
// session is called obsolete; whoever can do better is not made worse.
func TestObsoleteTLS(t *testing.T) {
	t.Parallel()
	tell := func(_ context.Context, c *Conn) {
		e, ok := c.Encrypted()
		tr := c.Transport()
		c.WriteString(fmt.Sprintln(e, ok, tr.Version, tr.State, tr.Floor, tr.FloorSource))
	}
	ts := serve(t, Options{
		Listeners: []Listener{
			{Service: IMAP, Mode: Implicit, Exceptions: []Exception{excepted("127.0.0.0/8", TLS10, time.Now().Add(time.Hour))}},
			{Service: POP3, Mode: Implicit, Exceptions: []Exception{excepted("10.0.0.0/8", TLS10, time.Now().Add(time.Hour))}},
		},
		Handlers: map[Service]Handler{IMAP: tell, POP3: tell},
	})
	cbc := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	for _, c := range []struct {
		name       string
		least, top uint16
		suites     []uint16
		want       string
		usual      bool // others may do it as well
	}{
		{"TLS 1.0", tls.VersionTLS10, tls.VersionTLS10, nil, "insecure:old-scanner true TLS1.0 encrypted-obsolete encrypted-obsolete insecure:old-scanner\n", false},
		{"TLS 1.1", tls.VersionTLS11, tls.VersionTLS11, nil, "insecure:old-scanner true TLS1.1 encrypted-obsolete encrypted-obsolete insecure:old-scanner\n", false},
		{"TLS 1.2 with CBC", tls.VersionTLS12, tls.VersionTLS12, cbc, "insecure:old-scanner true TLS1.2 encrypted-obsolete encrypted-obsolete insecure:old-scanner\n", false},
		{"TLS 1.2", tls.VersionTLS12, tls.VersionTLS12, nil, "tls true TLS1.2 encrypted-unauthenticated encrypted-obsolete insecure:old-scanner\n", true},
		{"TLS 1.0 to 1.3", tls.VersionTLS10, tls.VersionTLS13, nil, "tls true TLS1.3 encrypted-unauthenticated encrypted-obsolete insecure:old-scanner\n", true},
	} {
		config := clientTLS()
		config.MinVersion, config.MaxVersion, config.CipherSuites = c.least, c.top, c.suites
		got, err := io.ReadAll(tls.Client(ts.dial(t, 0), config))
		if string(got) != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
		if err := tls.Client(ts.dial(t, 1), config).Handshake(); (err == nil) != c.usual {
			t.Errorf("%s without an exception: %v", c.name, err)
		}
	}
}
