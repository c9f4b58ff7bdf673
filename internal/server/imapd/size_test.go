package imapd

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/mailtest"
	"candor/internal/message"
	"candor/internal/store/mailbox"
)

// heap returns the octets of the objects in use, after a collection if settled.
func heap(settled bool) int64 {
	if settled {
		runtime.GC()
		runtime.GC()
	}
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// highest runs f and returns how much the heap grew meanwhile at most, garbage included.
func highest(f func()) int64 {
	before := heap(true)
	var peak atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			select {
			case <-tick.C:
				peak.Store(max(peak.Load(), heap(false)))
			case <-stop:
				tick.Stop()
				return
			}
		}
	})
	f()
	close(stop)
	wg.Wait()
	return peak.Load() - before
}

// fill puts n copies of a message into a mailbox.
func fill(t testing.TB, w *mailtest.World, account, name string, n int) {
	t.Helper()
	ctx := t.Context()
	a, err := w.Mailboxes.Account(ctx, w.AccountID(t, account))
	if err != nil {
		t.Fatal(err)
	}
	info, err := a.Lookup(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	text := sample(1, 512)
	body, err := w.Mailboxes.NewBody(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Discard()
	scanner := message.NewScanner(message.Limits{})
	body.Write([]byte(text))
	scanner.Write([]byte(text))
	blob, err := body.Finish()
	if err != nil {
		t.Fatal(err)
	}
	one := mailbox.Message{Blob: blob, BlobSize: int64(len(text)), Attributes: scanner.Finish(), Received: time.Now()}
	for left := n; left > 0; left -= 2000 {
		if _, err := a.Append(ctx, info.ID, slices.Repeat([]mailbox.Message{one}, min(left, 2000)), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// engineNoise is what the store's own tables and caches may grow by meanwhile, in octets; it counts for little
// among a million messages.
const engineNoise = 1 << 20

// TestLargeMailbox: with CANDOR_SOAK a million messages, else 50,000. A session takes no more than 16 octets of
// memory a message, and no command takes memory for all of them at once.
func TestLargeMailbox(t *testing.T) {
	n, long := 50_000, os.Getenv("CANDOR_SOAK") != ""
	if long {
		n = 1_000_000
	}
	w, _, addr, _ := serve(t)
	fill(t, w, "ann@example.org", "INBOX", n)
	var clients []*client
	for range 5 {
		c := dial(t, w, addr)
		c.conn.SetDeadline(time.Now().Add(time.Hour))
		clients = append(clients, c)
	}
	before := heap(true)
	for i, c := range clients {
		start := time.Now()
		c.do("SELECT INBOX")
		took := time.Since(start)
		each := float64(heap(true)-before) / float64(n)
		if !long {
			each -= float64(engineNoise) / float64(n)
		}
		t.Logf("session %d: SELECT takes %v; all sessions together %.1f octets a message", i+1, took.Round(time.Microsecond), each)
		if each > 16 {
			t.Errorf("%d sessions take %.1f octets a message", i+1, each)
		}
		if long && i > 0 && took > 50*time.Millisecond {
			t.Errorf("SELECT takes %v", took)
		}
	}
	c := clients[0]
	limit := int64(64 << 20)
	for _, command := range []string{
		"STATUS INBOX (MESSAGES UNSEEN SIZE)", "FETCH 1:* (FLAGS)", "UID FETCH 1:* (UID FLAGS RFC822.SIZE)", "UID SEARCH UNSEEN", "SEARCH ALL",
		"UID SEARCH RETURN (COUNT) SINCE 1-Jan-2020", `UID SEARCH RETURN (MIN MAX) NOT FROM bob`, "UID SEARCH RETURN (PARTIAL -1:-100) UNDELETED",
		`UID STORE 1:* +FLAGS.SILENT (\Flagged)`, `STORE 1:* +FLAGS (\Seen)`, "COPY 1:* Archive", fmt.Sprintf(`STORE 1:%d +FLAGS.SILENT (\Deleted)`, n/2), "EXPUNGE",
		"MOVE 1:* Sent", "NOOP", "SELECT Sent", "CLOSE", "RENAME INBOX Old", "SELECT Archive",
	} {
		var octets int
		start := time.Now()
		grown := highest(func() { octets = c.do(command) })
		t.Logf("%-60s %10v %10d octets told, %4d MiB", command, time.Since(start).Round(100*time.Microsecond), octets, grown>>20)
		if grown > limit {
			t.Errorf("%s takes %d MiB", command, grown>>20)
		}
	}
	for _, other := range clients[1:] {
		other.do("NOOP")
	}
	t.Logf("at the end all sessions take %.1f octets a message", float64(heap(true)-before)/float64(n))
}

// TestManyMailboxes: with CANDOR_SOAK 10,000 mailboxes, else 500, and the patterns that take longest.
func TestManyMailboxes(t *testing.T) {
	n := 500
	if os.Getenv("CANDOR_SOAK") != "" {
		n = 9_000
	}
	w, _, addr, _ := serve(t)
	a, err := w.Mailboxes.Account(t.Context(), w.AccountID(t, "ann@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 200)
	atOnce(t, n, func(i int) error {
		_, err := a.Create(t.Context(), fmt.Sprintf("%s/%s/%s%d", long, long, long, i), "")
		return err
	})
	c := dial(t, w, addr)
	for name, pattern := range map[string]string{
		"all": "*", "stars": strings.Repeat("*a", 4000), "percents": strings.Repeat("%", 8000), "both": strings.Repeat("%*", 300) + "x", "pairs": strings.Repeat("%a", 300) + "x",
	} {
		start := time.Now()
		octets := c.do(`LIST "" "` + pattern + `"`)
		t.Logf("LIST of %d mailboxes, %s: %v, %d octets", n, name, time.Since(start).Round(time.Microsecond), octets)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("LIST with %s takes %v", name, took)
		}
	}
}

// TestManyAccounts: with CANDOR_SOAK 10,000 accounts, else 100; those that nobody uses take no memory.
func TestManyAccounts(t *testing.T) {
	n := 100
	if os.Getenv("CANDOR_SOAK") != "" {
		n = 10_000
	}
	w, _, addr, _ := serve(t)
	before := heap(true)
	start := time.Now()
	atOnce(t, n, func(i int) error { return addAccount(t.Context(), w, i) })
	t.Logf("%d accounts are made in %v; each takes %d octets of memory", n, time.Since(start).Round(time.Millisecond), (heap(true)-before)/int64(n))
	start = time.Now()
	atOnce(t, n, func(i int) error { return visit(w, addr, i) })
	each := (heap(true) - before) / int64(n)
	t.Logf("each logs in, selects INBOX and leaves: %v; each takes %d octets of memory", time.Since(start).Round(time.Millisecond), each)
	if each > 8<<10 {
		t.Errorf("an account that nobody uses takes %d octets of memory", each)
	}
}

func addAccount(ctx context.Context, w *mailtest.World, i int) error {
	a, err := mail.ParseAddress(fmt.Sprintf("user%d@example.org", i))
	if err != nil {
		return err
	}
	made, err := w.Directory.AddAccount(ctx, a, "secret")
	if err != nil {
		return err
	}
	return w.Mailboxes.CreateAccount(ctx, made.ID)
}

// visit logs in, selects INBOX and leaves.
func visit(w *mailtest.World, addr string, i int) error {
	conn, err := tls.Dial("tcp", addr, w.ClientTLS())
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "a LOGIN user%d@example.org secret\r\nb SELECT INBOX\r\nc LOGOUT\r\n", i)
	answer, err := io.ReadAll(conn)
	if err == nil && !bytes.Contains(answer, []byte("b OK")) {
		err = fmt.Errorf("user%d: %s", i, answer)
	}
	return err
}

// atOnce runs f for 0 to n-1, 32 at a time.
func atOnce(t *testing.T, n int, f func(int) error) {
	t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
