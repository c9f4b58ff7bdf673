package relay

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
	"candor/internal/transit/queue"
)

const oneMX = "example.net. MX 10 mx.example.net.\nmx.example.net. A 127.0.0.1\n"

func TestDeliversInClear(t *testing.T) {
	t.Parallel()
	s := &server{extensions: []string{"PIPELINING", "SIZE 100000", "8BITMIME"}, replies: map[string]string{
		"RCPT TO:<nobody@example.net>": "550 5.1.1 no such user", "RCPT TO:<full@example.net>": "452 4.2.2 full",
	}}
	b := newBench(t, oneMX, s.start(t, "127.0.0.1", 0))
	res := b.send("bob@example.net", "nobody@example.net", "full@example.net")
	for i, want := range []string{"ok", "5.1.1", "4.2.2"} {
		if got := status(res[i]); got != want {
			t.Errorf("recipient %d: %s, want %s", i, got, want)
		}
	}
	if m := s.received(); len(m) != 1 || m[0] != "Received: by mx.example.org\r\n"+content {
		t.Errorf("received %q", m)
	}
	if tr := res[0].Transport; tr.State != mail.Clear || tr.Floor != mail.Clear || tr.FloorSource != "public-mx" || tr.Fail != "starttls-not-offered" || tr.Mode != mail.NoTLS {
		t.Errorf("transport %+v", tr)
	}
	if !strings.HasPrefix(res[0].RemoteMTA, "mx.example.net[127.0.0.1]:") || res[0].Reply != "250 2.0.0 queued" {
		t.Errorf("result %+v", res[0])
	}
	if !strings.Contains(s.said(), "EHLO mx.example.org\nMAIL FROM:<ann@example.org> SIZE=60") {
		t.Errorf("commands:\n%s", s.said())
	}
}

func TestTLSIsRecorded(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour)
	for _, c := range []struct {
		name  string
		until time.Time
		names []string
		trust bool
		state mail.TransportState
		fail  string
	}{
		{"certificate fits", later, []string{"mx.example.net"}, true, mail.EncryptedNameUnbound, ""},
		{"other name", later, []string{"mx.example.com"}, true, mail.EncryptedUnauthenticated, "pkix-name"},
		{"untrusted", later, []string{"mx.example.net"}, false, mail.EncryptedUnauthenticated, "pkix-untrusted"},
		{"expired", time.Now().Add(-time.Hour), []string{"mx.example.net"}, true, mail.EncryptedUnauthenticated, "pkix-expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config, pool := certificate(t, c.until, c.names...)
			s := &server{tls: config, extensions: []string{"PIPELINING"}}
			b := newBench(t, oneMX, s.start(t, "127.0.0.1", 0), func(o *Options) {
				if c.trust {
					o.Roots = pool
				}
			})
			res := b.send("bob@example.net")
			if status(res[0]) != "ok" {
				t.Fatal(res[0].Err)
			}
			tr := res[0].Transport
			if tr.State != c.state || tr.Fail != c.fail || tr.Mode != mail.StartTLS || tr.Version != "TLS1.3" || tr.Group != "X25519MLKEM768" || tr.SNI != "mx.example.net" || !strings.HasPrefix(tr.SPKI, "sha256:") || tr.Resumed {
				t.Errorf("transport %+v", tr)
			}
			if n := strings.Count(s.said(), "EHLO"); n != 2 {
				t.Errorf("%d times EHLO, want a second one after TLS", n)
			}
		})
	}
}

// TestTLSFailureNeverFallsBackAtOnce: whatever goes wrong with TLS, the attempt ends without the
// message having been sent.
func TestTLSFailureNeverFallsBackAtOnce(t *testing.T) {
	t.Parallel()
	config, _ := certificate(t, time.Now().Add(time.Hour), "mx.example.net")
	old := config.Clone()
	old.MaxVersion = tls.VersionTLS11
	long := config.Clone()
	one := config.Certificates[0]
	long.Certificates = []tls.Certificate{{Certificate: slices.Repeat(one.Certificate, 11), PrivateKey: one.PrivateKey}}
	for _, c := range []struct {
		name     string
		server   *server
		fail     string
		sessions int
	}{
		{"refused", &server{tls: config, goAhead: "454 4.7.0 not now"}, "starttls-refused", 1},
		{"injected reply", &server{tls: config, goAhead: "220 go\r\n250 2.0.0 injected"}, "response-injection", 1},
		{"only old versions", &server{tls: old}, "handshake-", 2},
		{"eleven certificates", &server{tls: long}, "handshake-bad-certificate", 0},
		{"closed after 220", &server{tls: config, goAhead: "220 go", closeAfter: true}, "handshake-eof", 2},
		{"silent after 220", &server{tls: config, hang: "STARTTLS", goAhead: "220 go"}, "handshake-timeout", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, oneMX, c.server.start(t, "127.0.0.1", 0), func(o *Options) { o.Timeouts.Handshake = 500 * time.Millisecond })
			res := b.send("bob@example.net")
			if !strings.HasPrefix(status(res[0]), "4.") {
				t.Errorf("status %s, want 4.x.x", status(res[0]))
			}
			if !strings.HasPrefix(res[0].Transport.Fail, c.fail) {
				t.Errorf("fail %q, want %q", res[0].Transport.Fail, c.fail)
			}
			if len(c.server.received()) > 0 || strings.Contains(c.server.said(), "MAIL") {
				t.Errorf("the message went out: %s", c.server.said())
			}
			c.server.mu.Lock()
			defer c.server.mu.Unlock()
			if c.sessions > 0 && c.server.sessions != c.sessions {
				t.Errorf("%d sessions, want %d", c.server.sessions, c.sessions)
			}
		})
	}
}

// TestClearOnlyAtALaterAttempt runs a queue before the relay: after TLS has failed, the next attempt
// tries it again, and only then goes in clear, on a connection of its own.
func TestClearOnlyAtALaterAttempt(t *testing.T) {
	t.Parallel()
	config, _ := certificate(t, time.Now().Add(time.Hour), "mx.example.net")
	config.MaxVersion = tls.VersionTLS11
	s := &server{tls: config}
	skew := make(chan time.Duration, 1)
	skew <- 0
	now := func() time.Time {
		d := <-skew
		skew <- d
		return time.Now().Add(d)
	}
	advance := func(d time.Duration) { skew <- <-skew + d }
	b := newBench(t, oneMX, s.start(t, "127.0.0.1", 0), func(o *Options) { o.Now = now })
	recorded := &recorder{Transport: b.Relay, results: make(chan queue.Result, 10)}
	q, err := queue.Open(t.Context(), b.db, queue.Options{Hostname: "mx.example.org", Remote: recorded, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	q.Start()
	m := b.message(content)
	m.ID = q.NewID()
	m.Envelope.Recipients = recipients(t, "bob@example.net")
	if err := q.Put(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	first := <-recorded.results
	if first.Err == nil || !strings.HasPrefix(first.Transport.Fail, "handshake-") {
		t.Fatalf("first attempt: %+v", first)
	}
	retry := func() queue.Result {
		for {
			// The result is recorded after the attempt; a retry before that finds nothing to do.
			if n, err := q.Retry(t.Context(), ""); err != nil {
				t.Fatal(err)
			} else if n > 0 {
				return <-recorded.results
			}
			time.Sleep(time.Millisecond)
		}
	}
	advance(time.Minute)
	if soon := retry(); soon.Err == nil {
		t.Fatalf("attempt after a minute: %+v", soon)
	}
	advance(6 * time.Minute)
	late := retry()
	if late.Err != nil || late.Transport.State != mail.Clear || !strings.HasPrefix(late.Transport.Fail, "handshake-") || late.Transport.Mode != mail.NoTLS {
		t.Errorf("attempt after five minutes: %+v", late)
	}
	if len(s.received()) != 1 {
		t.Errorf("received %d messages", len(s.received()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions != 2+2+3 {
		t.Errorf("%d sessions, want two with TLS each time and one in clear at last", s.sessions)
	}
}

type recorder struct {
	queue.Transport
	results chan queue.Result
}

func (r *recorder) Deliver(ctx context.Context, m *queue.Message, to []mail.Recipient) []queue.Result {
	res := r.Transport.Deliver(ctx, m, to)
	r.results <- res[0]
	return res
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		server *server
		want   string
	}{
		{"greeting 554", &server{replies: map[string]string{"greeting": "554 5.7.1 go away"}}, "4.7.1"},
		{"greeting 521", &server{replies: map[string]string{"greeting": "521 no mail here"}}, "5.0.0"},
		{"greeting cut", &server{replies: map[string]string{"greeting": ""}}, "4.4.2"},
		{"hangs after EHLO", &server{hang: "EHLO"}, "4.4.2"},
		{"hangs after DATA", &server{hang: "DATA"}, "4.4.2"},
		{"EHLO unknown", &server{replies: map[string]string{"EHLO": "500 what?"}}, "ok"},
		{"MAIL 451", &server{replies: map[string]string{"MAIL": "451 4.7.1 greylisted"}}, "4.7.1"},
		{"MAIL 550 bare", &server{replies: map[string]string{"MAIL": "550 no"}}, "5.0.0"},
		{"RCPT 550", &server{replies: map[string]string{"RCPT": "550 5.1.1 no"}}, "5.1.1"},
		{"RCPT closes", &server{replies: map[string]string{"RCPT": ""}}, "4.4.2"},
		{"DATA 554", &server{replies: map[string]string{"DATA": "554 5.6.0 no"}}, "5.6.0"},
		{"DATA 250", &server{replies: map[string]string{"DATA": "250 2.0.0 what?"}}, "4.4.2"},
		{"MAIL 554, and closes", &server{extensions: []string{"PIPELINING"}, replies: map[string]string{"MAIL": "last:554 5.7.1 blocked"}}, "5.7.1"},
		{"MAIL 421, and closes", &server{extensions: []string{"PIPELINING"}, replies: map[string]string{"MAIL": "last:421 4.7.0 too many"}}, "4.7.0"},
		{"MAIL 251", &server{replies: map[string]string{"MAIL": "251 2.1.0 odd"}}, "ok"},
		{"message 251", &server{replies: map[string]string{"DATA": "dot:251 2.0.0 odd"}}, "ok"},
		{"message 552", &server{replies: map[string]string{"DATA": "dot:552 5.3.4 too big"}}, "5.3.4"},
		{"message 451", &server{replies: map[string]string{"DATA": "dot:451 4.3.0 later"}}, "4.3.0"},
		{"cut before the last reply", &server{replies: map[string]string{"DATA": "dot:cut:"}}, "4.4.2"},
		{"cut within 250", &server{replies: map[string]string{"DATA": "dot:cut:250 2.0.0 O"}}, "4.4.2"},
		{"SIZE too small", &server{extensions: []string{"SIZE 10"}}, "5.3.4"},
		{"endless reply", &server{replies: map[string]string{"MAIL": strings.Repeat("250-x\r\n", 3000) + "250 x"}}, "4.4.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, oneMX, c.server.start(t, "127.0.0.1", 0), func(o *Options) {
				o.Timeouts.Greeting, o.Timeouts.DataInit = 300*time.Millisecond, 300*time.Millisecond
			})
			res := b.send("bob@example.net")
			if got := status(res[0]); got != c.want {
				t.Errorf("%s (%v), want %s", got, res[0].Err, c.want)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	const zone = `
no-name.example. FAIL dns-servfail
slow.example. FAIL dns-timeout
null.example. MX 0 .
implicit.example. A 127.0.0.1
list.example. MX 20 b.list.example.
list.example. MX 10 a.list.example.
a.list.example. A 127.0.0.9
b.list.example. A 127.0.0.1
loop.example. MX 10 mx.example.org.
half-loop.example. MX 20 mx.example.org.
half-loop.example. MX 10 a.list.example.
half-loop.example. MX 30 b.list.example.
private.example. MX 10 p.private.example.
p.private.example. A 10.0.0.1
p.private.example. AAAA ::1
bare.example. MX 10 bare-mx.example.
bare-mx.example. TXT "no address"
one-fails.example. MX 10 broken.example.
one-fails.example. MX 20 b.list.example.
broken.example. FAIL dns-servfail
alias.example. CNAME list.example.
nothing.example. TXT "no mail here"
dead-and-private.example. MX 10 a.list.example.
dead-and-private.example. MX 20 p.private.example.
private-and-dead.example. MX 10 p.private.example.
private-and-dead.example. MX 20 a.list.example.
mx.example.org. A 127.0.0.1
`
	s := &server{}
	port := s.start(t, "127.0.0.1", 0)
	for domain, want := range map[string]string{
		"no-name.example": "4.4.3", "slow.example": "4.4.3", "null.example": "5.1.10", "unknown.test": "5.1.2",
		"implicit.example": "ok", "list.example": "ok", "loop.example": "5.4.6", "half-loop.example": "4.4.1",
		"private.example": "5.4.4", "bare.example": "4.4.4", "nothing.example": "5.4.4", "dead-and-private.example": "4.4.1", "private-and-dead.example": "4.4.1", "one-fails.example": "ok", "alias.example": "ok",
		"[127.0.0.1]": "ok", "[10.0.0.1]": "5.4.4", "mx.example.org": "5.4.6",
	} {
		t.Run(domain, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, zone, port)
			res := b.send("bob@" + domain)
			if got := status(res[0]); got != want {
				t.Errorf("%s (%v), want %s", got, res[0].Err, want)
			}
		})
	}
}

func TestPrivateTargetsAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, oneMX, 1, func(o *Options) { o.PrivateTargets = nil })
	res := b.send("bob@example.net")
	if status(res[0]) != "5.4.4" {
		t.Errorf("loopback: %s (%v)", status(res[0]), res[0].Err)
	}
	if n := b.Stats().Connections; n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestNextHostOnTemporaryFailure(t *testing.T) {
	t.Parallel()
	first := &server{replies: map[string]string{"RCPT TO:<cid@example.net>": "451 4.3.0 later"}}
	port := first.start(t, "127.0.0.2", 0)
	second := &server{}
	second.start(t, "127.0.0.3", port)
	b := newBench(t, "example.net. MX 10 a.example.net.\nexample.net. MX 20 b.example.net.\na.example.net. A 127.0.0.2\nb.example.net. A 127.0.0.3\n", port)
	res := b.send("bob@example.net", "cid@example.net")
	if status(res[0]) != "ok" || status(res[1]) != "ok" {
		t.Fatalf("%v, %v", res[0].Err, res[1].Err)
	}
	if len(first.received()) != 1 || len(second.received()) != 1 || strings.Contains(second.said(), "bob@") {
		t.Errorf("second host heard:\n%s", second.said())
	}
}

// TestRefusalBeforeTheEnd: what was said to a recipient counts, although the connection then breaks.
func TestRefusalBeforeTheEnd(t *testing.T) {
	t.Parallel()
	for _, extensions := range [][]string{nil, {"PIPELINING"}} {
		s := &server{extensions: extensions, replies: map[string]string{"RCPT TO:<cid@example.net>": "last:550 5.1.1 no cid"}}
		b := newBench(t, oneMX, s.start(t, "127.0.0.1", 0))
		res := b.send("bob@example.net", "cid@example.net", "dan@example.net")
		for i, want := range []string{"4.4.2", "5.1.1", "4.4.2"} {
			if got := status(res[i]); got != want {
				t.Errorf("%v, recipient %d: %s (%v), want %s", extensions, i, got, res[i].Err, want)
			}
		}
	}
}

func TestTooManyRecipients(t *testing.T) {
	t.Parallel()
	s := &server{replies: map[string]string{"RCPT TO:<cid@example.net>": "452 4.5.3 too many recipients"}}
	b := newBench(t, oneMX, s.start(t, "127.0.0.1", 0))
	res := b.send("bob@example.net", "cid@example.net")
	if status(res[0]) != "ok" || status(res[1]) != "4.5.3" {
		t.Errorf("%s, %s", status(res[0]), status(res[1]))
	}
	if n := strings.Count(s.said(), "MAIL FROM"); n != 2 {
		t.Errorf("%d transactions on the session, want a second one for the rest", n)
	}
}

func TestSMTPUTF8(t *testing.T) {
	t.Parallel()
	plain, able := &server{}, &server{extensions: []string{"SMTPUTF8", "8BITMIME"}}
	b := newBench(t, oneMX, plain.start(t, "127.0.0.1", 0))
	res := b.send("bob@example.net", "jörg@example.net")
	if status(res[0]) != "ok" || status(res[1]) != "5.6.7" {
		t.Errorf("without SMTPUTF8: %s, %s", status(res[0]), status(res[1]))
	}
	m := b.message("Subject: grüße\r\n\r\nx\r\n")
	m.Envelope.SMTPUTF8 = true
	if res := b.Deliver(t.Context(), m, recipients(t, "bob@example.net")); status(res[0]) != "5.6.7" {
		t.Errorf("UTF-8 header: %s", status(res[0]))
	}
	m = b.message(content)
	m.Envelope.SMTPUTF8 = true
	if res := b.Deliver(t.Context(), m, recipients(t, "bob@example.net")); status(res[0]) != "ok" {
		t.Errorf("SMTPUTF8 declared without need: %s", status(res[0]))
	}
	b = newBench(t, oneMX, able.start(t, "127.0.0.1", 0))
	if res := b.send("jörg@example.net"); status(res[0]) != "ok" || !strings.Contains(able.said(), " SMTPUTF8") {
		t.Errorf("with SMTPUTF8: %v\n%s", res[0].Err, able.said())
	}
}

func TestContentIsNormalised(t *testing.T) {
	t.Parallel()
	s := &server{}
	b := newBench(t, oneMX, s.start(t, "127.0.0.1", 0))
	m := b.message("Subject: x\n\na\n.\r\nMAIL FROM:<evil@example.com>\r.\rb")
	if res := b.Deliver(t.Context(), m, recipients(t, "bob@example.net")); status(res[0]) != "ok" {
		t.Fatal(res[0].Err)
	}
	want := "Received: by mx.example.org\r\nSubject: x\r\n\r\na\r\n.\r\nMAIL FROM:<evil@example.com>\r\n.\r\nb\r\n"
	if got := s.received(); len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSmarthost(t *testing.T) {
	t.Parallel()
	config, pool := certificate(t, time.Now().Add(time.Hour), "relay.example.org")
	s := &server{tls: config}
	port := s.start(t, "127.0.0.1", 0)
	b := newBench(t, "relay.example.org. A 127.0.0.1\n", 0, func(o *Options) {
		o.Smarthost, o.Roots, o.PrivateTargets = fmt.Sprintf("relay.example.org:%d", port), pool, nil
	})
	res := b.send("bob@nowhere.test")
	if status(res[0]) != "ok" || res[0].Transport.State != mail.AuthenticatedPKIX || res[0].Transport.Name != "relay.example.org" {
		t.Errorf("%v, %+v", res[0].Err, res[0].Transport)
	}
	if _, err := New(Options{Smarthost: "no port"}); !mail.IsKind(err, mail.Syntax) {
		t.Errorf("smarthost without a port: %v", err)
	}
}

func TestBodyGone(t *testing.T) {
	t.Parallel()
	s := &server{}
	b := newBench(t, oneMX, s.start(t, "127.0.0.1", 0))
	m := b.message(content)
	m.Blob = kv.BlobID{9}
	res := b.Deliver(t.Context(), m, recipients(t, "bob@example.net"))
	if res[0].Err == nil || !mail.AsError(res[0].Err).Status.Temporary() {
		t.Errorf("result %+v", res[0])
	}
}

func TestContextEndsAnAttempt(t *testing.T) {
	t.Parallel()
	s := &server{hang: "EHLO"}
	b := newBench(t, oneMX, s.start(t, "127.0.0.1", 0), func(o *Options) { o.Timeouts.Greeting = time.Hour })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	done := make(chan []queue.Result, 1)
	go func() { done <- b.Deliver(ctx, b.message(content), recipients(t, "bob@example.net")) }()
	select {
	case res := <-done:
		if !strings.HasPrefix(status(res[0]), "4.") {
			t.Errorf("status %s", status(res[0]))
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the attempt outlives its context")
	}
}
