package imapd

import (
	"context"
	"crypto/tls"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"candor/internal/mailtest"
	"candor/internal/server/listen"
)

// serve serves IMAP, with no limit on connections from here, until the test ends or stop is called.
func serve(t testing.TB) (w *mailtest.World, s *Server, addr string, stop func()) {
	t.Helper()
	return serveWith(t, Options{}, listen.Limits{Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
}

// serveWith is serve with options that lack the parts, and with other limits.
func serveWith(t testing.TB, o Options, limits listen.Limits) (w *mailtest.World, s *Server, addr string, stop func()) {
	t.Helper()
	w = mailtest.NewWorld(t, "account ann@example.org secret\naccount bob@example.org secret\n")
	o.Directory, o.Mailboxes, o.Log = w.Directory, w.Mailboxes, w.Log
	s = New(o)
	l, err := listen.New(listen.Options{
		Listeners:    []listen.Listener{{Name: "imap", Service: listen.IMAP, Address: "127.0.0.1:0", Mode: listen.Implicit, Hostname: mailtest.Hostname}},
		Certificates: w.Certificates, Handlers: map[listen.Service]listen.Handler{listen.IMAP: s.Handle}, Log: w.Log,
		Limits: limits,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Serve(ctx, 10*time.Second, func() { close(ready) }); err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	<-ready
	return w, s, l.Addrs()[0].String(), func() { cancel(); wg.Wait() }
}

// TestSplitAnywhere sends the same commands cut in two at every octet: the answers are the same.
func TestSplitAnywhere(t *testing.T) {
	w, _, addr, _ := serve(t)
	const commands = "a LOGIN {15+}\r\nann@example.org {6+}\r\nsecret\r\n" +
		"b APPEND {5+}\r\nDraft (\\Seen) {16+}\r\nSubject: x\r\n\r\nyy\r\n" +
		"c SELECT INBOX\r\nd UID SEARCH SUBJECT {1+}\r\nx\r\ne UID FETCH 1:* (FLAGS BODY.PEEK[])\r\nf IDLE\r\nDONE\r\ng LOGOUT\r\n"
	w.Append(t, "ann@example.org", "INBOX", "Subject: x\n\nbody\n")
	play := func(cut int) string {
		conn, err := tls.Dial("tcp", addr, w.ClientTLS())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		for _, part := range []string{commands[:cut], commands[cut:]} {
			if _, err := io.WriteString(conn, part); err != nil {
				t.Fatal(err)
			}
		}
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		return string(answer)
	}
	want := play(0)
	if !strings.Contains(want, "b NO [TRYCREATE]") || !strings.HasSuffix(want, "g OK LOGOUT completed\r\n") {
		t.Fatalf("got %q", want)
	}
	var wg sync.WaitGroup
	cuts := make(chan int)
	for range 4 {
		wg.Go(func() {
			for cut := range cuts {
				if got := play(cut); got != want {
					t.Errorf("cut at %d:\ngot  %q\nwant %q", cut, got, want)
				}
			}
		})
	}
	for cut := 1; cut < len(commands); cut++ {
		cuts <- cut
	}
	close(cuts)
	wg.Wait()
}

// TestShutdown: when the server ends, a client that idles and one that does nothing are told BYE.
func TestShutdown(t *testing.T) {
	w, s, addr, stop := serve(t)
	idle, quiet := dial(t, w, addr), dial(t, w, addr)
	io.WriteString(idle.conn, "x IDLE\r\n")
	if got := idle.line(); got != "+ idling" {
		t.Fatalf("got %q", got)
	}
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	for _, c := range []*client{idle, quiet} {
		if got := c.line(); got != "* BYE Server is shutting down" {
			t.Errorf("got %q", got)
		}
	}
	<-stopped
	if st := s.Stats(); st.Open != 0 || st.Idling != 0 || st.Logins != 2 || st.Panics != 0 {
		t.Errorf("stats are %+v", st)
	}
}

// TestConnectionsOfAnAccount: an account has so many at once, of which one that ends makes room for another.
func TestConnectionsOfAnAccount(t *testing.T) {
	w, _, addr, _ := serveWith(t, Options{Limits: Limits{Connections: 2}}, listen.Limits{})
	first, _, third := dial(t, w, addr), dial(t, w, addr), connect(t, w, addr)
	third.expect("a LOGIN ann@example.org secret", "a NO [LIMIT] The account has 2 connections already")
	if want := "user=ann@example.org method=IMAP-LOGIN reason=connections"; !strings.Contains(w.Logged.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, w.Logged)
	}
	third.expect("b SELECT INBOX", "b BAD Log in first")
	first.do("LOGOUT")
	io.Copy(io.Discard, first.r) // until the server has done with it
	third.do("LOGIN ann@example.org secret")
	connect(t, w, addr).do("LOGIN bob@example.org secret")
}

// TestMultiAppendTakesMemory: what is held of the messages of one APPEND comes from the budget.
func TestMultiAppendTakesMemory(t *testing.T) {
	memory := listen.NewBudget(3 << 20)
	w, _, addr, _ := serveWith(t, Options{Memory: memory}, listen.Limits{})
	c := dial(t, w, addr)
	message := "Subject: " + strings.Repeat("x", 8000) + "\r\n\r\n"
	one := " {" + strconv.Itoa(len(message)) + "+}\r\n" + message
	c.expect("a APPEND INBOX"+strings.Repeat(one, 200), "a NO [UNAVAILABLE] Out of memory for this; try again later")
	c.expect("b NOOP", "b OK NOOP completed")
	if used := memory.Stats().Used; used != 0 {
		t.Errorf("%d octets are not given back", used)
	}
	c.do("APPEND INBOX" + strings.Repeat(one, 100))
	c.expect("c STATUS INBOX (MESSAGES)", `* STATUS "INBOX" (MESSAGES 100)`)
}

// view is a mailbox as a client must see it, kept from untagged responses alone.
type view struct {
	t     *testing.T
	c     *client
	uids  []int // by sequence number; 0: not known
	flags map[int]string
}

// command sends a command and follows the responses until its end.
func (v *view) command(command string) {
	v.c.n++
	tag := "v" + strconv.Itoa(v.c.n)
	if _, err := io.WriteString(v.c.conn, tag+" "+command+"\r\n"); err != nil {
		v.t.Errorf("%s: %v", command, err)
		return
	}
	numbersHold := strings.HasPrefix(command, "FETCH") || strings.HasPrefix(command, "STORE") || strings.HasPrefix(command, "SEARCH")
	for {
		line := v.c.line()
		if strings.HasPrefix(line, tag+" ") {
			if strings.HasPrefix(line, tag+" BAD") {
				v.t.Errorf("%s: %s", command, line)
			}
			return
		}
		v.follow(command, line, numbersHold)
	}
}

func (v *view) follow(command, line string, numbersHold bool) {
	f := strings.Fields(line)
	if len(f) < 3 {
		return
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return
	}
	switch f[2] {
	case "EXISTS":
		if n < len(v.uids) {
			v.t.Errorf("%s: %s, but there are %d", command, line, len(v.uids))
			return
		}
		v.uids = append(v.uids, make([]int, n-len(v.uids))...)
	case "EXPUNGE":
		if numbersHold || n < 1 || n > len(v.uids) {
			v.t.Errorf("%s: %s with %d messages", command, line, len(v.uids))
			return
		}
		v.uids = append(v.uids[:n-1], v.uids[n:]...)
	case "FETCH":
		uid, flags := 0, ""
		if _, rest, ok := strings.Cut(line, "UID "); ok {
			uid, _ = strconv.Atoi(strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == ')' })[0])
		}
		if _, rest, ok := strings.Cut(line, "FLAGS ("); ok {
			flags, _, _ = strings.Cut(rest, ")")
		}
		if n > len(v.uids) || uid != 0 && v.uids[n-1] != 0 && v.uids[n-1] != uid {
			v.t.Errorf("%s: %s, but that number is UID %d of %d", command, line, v.uids[n-1], len(v.uids))
			return
		}
		if uid != 0 {
			v.uids[n-1] = uid
		}
		v.flags[v.uids[n-1]] = flags
	}
}

// TestSilentAtOnce lets sessions change the same messages without hearing of their own changes: they
// hear of all others, also of one that came between two looks of theirs.
func TestSilentAtOnce(t *testing.T) {
	w, _, addr, _ := serve(t)
	w.Append(t, "ann@example.org", "INBOX", "Subject: x\n\nbody\n")
	own := []string{`\Seen`, `\Answered`, `\Flagged`, `\Draft`}
	var views []*view
	for range own {
		v := &view{t: t, c: dial(t, w, addr), flags: map[int]string{}}
		v.command("SELECT INBOX")
		v.command("FETCH 1 (UID FLAGS)")
		views = append(views, v)
	}
	var wg sync.WaitGroup
	for i, v := range views {
		wg.Go(func() {
			for n := range 301 {
				v.command("STORE 1 " + []string{"+", "-"}[n%2] + "FLAGS.SILENT (" + own[i] + ")")
			}
		})
	}
	wg.Wait()
	everyone(views, "NOOP")
	// A flag that only the session itself sets may be missing: nothing need tell it that one.
	for i, v := range views {
		for j, flag := range own {
			if i != j && !strings.Contains(v.flags[1], flag) {
				t.Errorf("session %d sees %s, without %s", i, v.flags[1], flag)
			}
		}
	}
}

func everyone(views []*view, command string) {
	for _, v := range views {
		v.command(command)
	}
}
