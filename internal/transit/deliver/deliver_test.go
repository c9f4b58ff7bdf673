package deliver_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/mailtest"
	"candor/internal/store/directory"
	"candor/internal/store/mailbox"
	"candor/internal/transit/deliver"
	"candor/internal/transit/queue"
)

// remote is a transport that takes everything.
type remote struct {
	mu sync.Mutex
	to []string
}

func (r *remote) Deliver(_ context.Context, _ *queue.Message, to []mail.Recipient) []queue.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	results := make([]queue.Result, len(to))
	for i, t := range to {
		r.to = append(r.to, t.Address.String())
		results[i].Recipient = t
	}
	return results
}

type bench struct {
	*mailtest.World
	t      testing.TB
	q      *queue.Queue
	d      *deliver.Deliverer
	remote *remote
}

func newBench(t testing.TB, directory string) *bench {
	t.Helper()
	b := &bench{World: mailtest.NewWorld(t, directory), t: t, remote: &remote{}}
	b.d = deliver.New(deliver.Options{Hostname: mailtest.Hostname, Directory: b.Directory, Mailboxes: b.Mailboxes})
	q, err := queue.Open(t.Context(), b.DB, queue.Options{Hostname: mailtest.Hostname, Local: b.d, Remote: b.remote, Log: b.Log})
	if err != nil {
		t.Fatal(err)
	}
	b.q = q
	t.Cleanup(func() { q.Close() })
	return b
}

const text = "From: ann@example.net\r\nSubject: hello\r\n\r\nworld\r\n"

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (b *bench) put(to ...string) *queue.Message {
	b.t.Helper()
	w, err := b.q.NewBody(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	defer w.Discard()
	io.WriteString(w, text)
	blob, err := w.Finish()
	if err != nil {
		b.t.Fatal(err)
	}
	m := &queue.Message{
		ID: b.q.NewID(), Trace: []byte("Received: by mx.example.org\r\n"), Blob: blob, BlobSize: int64(len(text)),
		Inbound: mail.Transport{State: mail.EncryptedUnauthenticated, Floor: mail.Clear, FloorSource: "public-mx", Mode: mail.StartTLS, Version: "TLS1.3"},
	}
	m.Envelope.ReversePath.Address = address(b.t, "ann@example.net")
	for _, s := range to {
		m.Envelope.Recipients = append(m.Envelope.Recipients, mail.Recipient{Address: address(b.t, s), Route: mail.Local})
	}
	if err := b.q.Put(context.Background(), m); err != nil {
		b.t.Fatal(err)
	}
	return m
}

func (b *bench) settled() {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); b.q.Stats().Recipients > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("the queue does not empty: %+v\n%s", b.q.Stats(), b.Logged)
		}
	}
}

// inbox returns the messages of an account's INBOX.
func (b *bench) inbox(a string) []string {
	b.t.Helper()
	return b.Messages(b.t, a, "INBOX")
}

const people = `account bob@example.org
account cid@example.org
alias team@example.org bob@example.org cid@example.org dan@example.com
alias away@example.org eve@example.com
alias one@example.org cid@example.org
`

func TestTraceFieldsOnTop(t *testing.T) {
	t.Parallel()
	b := newBench(t, people)
	b.q.Start()
	m := b.put("Bob+detail@example.org")
	b.settled()
	got := b.inbox("bob@example.org")
	want := "Return-Path: <ann@example.net>\r\nReceived: by mx.example.org\r\n" +
		"Candor-Transport: v=1; by=mx.example.org; id=" + string(m.ID) + "; hop=inbound; state=encrypted-unauthenticated;"
	if len(got) != 1 || !strings.HasPrefix(got[0], want) || !strings.HasSuffix(got[0], "earlier-hops=unknown\r\n"+text) {
		t.Errorf("got %q, want it to begin with %q", got, want)
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	b := newBench(t, people)
	b.q.Start()
	m := b.put("team@example.org", "one@example.org", "away@example.org")
	b.settled()
	if n := len(b.inbox("bob@example.org")); n != 1 {
		t.Errorf("bob has %d copies, want 1", n)
	}
	// cid is reached by two ways that were named apart: by RFC 5321 each recipient is served.
	if n := len(b.inbox("cid@example.org")); n != 2 {
		t.Errorf("cid has %d copies, want 2", n)
	}
	if got := strings.Join(b.remote.to, " "); got != "dan@example.com eve@example.com" && got != "eve@example.com dan@example.com" {
		t.Errorf("sent out to %s", got)
	}
	owners, err := b.DB.Links(t.Context(), m.Blob)
	if err != nil || len(owners) != 3 {
		t.Errorf("%d links to the one blob, %v; want 3", len(owners), err)
	}
}

func TestUnknownAddressIsReported(t *testing.T) {
	t.Parallel()
	b := newBench(t, people+"account ann@example.net\n")
	b.q.Start()
	b.put("nobody@example.org")
	b.settled()
	got := b.inbox("ann@example.net")
	if len(got) != 1 || !strings.HasPrefix(got[0], "Return-Path: <>\r\nCandor-Transport: v=1; by=mx.example.org;") || !strings.Contains(got[0], "Status: 5.1.1") {
		t.Errorf("the sender got %q", got)
	}
}

func TestReportLeavesForAForeignSender(t *testing.T) {
	t.Parallel()
	b := newBench(t, people)
	b.q.Start()
	b.put("nobody@example.org")
	b.settled()
	if len(b.remote.to) != 1 || b.remote.to[0] != "ann@example.net" {
		t.Errorf("sent out to %s", b.remote.to)
	}
}

func TestMailRemovedAndMadeAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t, people)
	b.q.Start()
	b.put("bob@example.org")
	b.settled()
	if err := b.Mailboxes.RemoveAccount(t.Context(), b.AccountID(t, "bob@example.org")); err != nil {
		t.Fatal(err)
	}
	b.put("bob@example.org")
	b.settled()
	if n := len(b.inbox("bob@example.org")); n != 1 {
		t.Errorf("%d messages after the mail was removed and one came, want 1", n)
	}
}

func TestBatchKeepsOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t, people)
	const n = 200
	var ids []string
	for range n {
		ids = append(ids, string(b.put("bob@example.org").ID))
	}
	b.q.Start()
	b.settled()
	got := b.inbox("bob@example.org")
	if len(got) != n {
		t.Fatalf("%d messages, want %d", len(got), n)
	}
	for i, m := range got {
		if !strings.Contains(m, "id="+ids[i]+";") {
			t.Fatalf("message %d is not the one put as %d", i, i)
		}
	}
}

// TestStoredOnceAcrossReopening: the delivery and the settlement are one transaction, so that opening the store
// again shows both or neither.
func TestStoredOnceAcrossReopening(t *testing.T) {
	t.Parallel()
	b := newBench(t, people)
	for range 10 {
		b.put("bob@example.org", "cid@example.org")
	}
	// The queue is closed at some point amid its work, several times over.
	for i := range 5 {
		q, err := queue.Open(t.Context(), b.DB, queue.Options{Hostname: mailtest.Hostname, Local: b.d, Remote: b.remote, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		q.Start()
		time.Sleep(time.Duration(i) * time.Millisecond)
		q.Close()
	}
	b.q.Close()
	q, err := queue.Open(t.Context(), b.DB, queue.Options{Hostname: mailtest.Hostname, Local: b.d, Remote: b.remote})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := q.Stats().Recipients; left != 0 {
		t.Errorf("%d recipients left after Recover", left)
	}
	for _, a := range []string{"bob@example.org", "cid@example.org"} {
		if n := len(b.inbox(a)); n != 10 {
			t.Errorf("%s has %d copies, want 10", a, n)
		}
	}
}

// BenchmarkInbound: body, queue and mailbox for one recipient each, as smtpd does it.
func BenchmarkInbound(b *testing.B) {
	var dir strings.Builder
	for i := range 100 {
		fmt.Fprintf(&dir, "account u%d@example.org\n", i)
	}
	w := newBench(b, dir.String())
	w.q.Start()
	var next sync.Mutex
	n := 0
	b.SetParallelism(5)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			next.Lock()
			n++
			i := n
			next.Unlock()
			w.put(fmt.Sprintf("u%d@example.org", i%100))
		}
	})
	w.settled()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// TestOverQuota: mail for a full account is tried again, or returned if the operator says so, and delivered once
// there is room.
func TestOverQuota(t *testing.T) {
	t.Parallel()
	b := newBench(t, "account bob@example.org\nquota bob@example.org -1 1\n")
	b.Append(t, "bob@example.org", "INBOX", "Subject: x\n\n1\n")
	m, to := b.put("bob@example.org"), []mail.Recipient{{Address: address(t, "bob@example.org"), Route: mail.Local}}
	for _, c := range []struct {
		refuse bool
		status string
	}{{false, "4.2.2"}, {true, "5.2.2"}} {
		b.d.RefuseOverQuota(c.refuse)
		for _, err := range []error{b.d.Deliver(t.Context(), m, to)[0].Err, b.d.Room(t.Context(), b.AccountID(t, "bob@example.org"), 0)} {
			if !mail.IsKind(err, mail.OverQuota) || mail.AsError(err).Status.String() != c.status {
				t.Errorf("refuse %v: got %v", c.refuse, err)
			}
		}
	}
	if err := b.Directory.SetQuota(t.Context(), to[0].Address, directory.Quota{}); err != nil {
		t.Fatal(err)
	}
	if r := b.d.Deliver(t.Context(), m, to)[0]; r.Err != nil || len(b.inbox("bob@example.org")) != 2 {
		t.Errorf("got %+v", r)
	}
}

// TestDeliveredAtOnce: when Put returns, a message for one mailbox is in it; where that cannot be, it is in the queue.
func TestDeliveredAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, people+"account eve@example.org\nquota eve@example.org -1 1\n")
	b.Append(t, "eve@example.org", "INBOX", "Subject: x\n\n1\n")
	b.q.Start()
	b.put("bob@example.org")
	if n, s := len(b.inbox("bob@example.org")), b.q.Stats(); n != 1 || s.Delivered != 1 || s.Recipients != 0 {
		t.Errorf("%d messages, %+v", n, s)
	}
	b.put("one@example.org")
	b.put("eve@example.org")
	if n, s := len(b.inbox("eve@example.org")), b.q.Stats(); n != 1 || s.Accepted != 3 || s.Recipients < 1 {
		t.Errorf("%d messages, %+v", n, s)
	}
}

// TestTransportKeywords: a message bears one keyword for its state, unless that is off or the mailbox has no room.
func TestTransportKeywords(t *testing.T) {
	t.Parallel()
	b := newBench(t, "account bob@example.org\naccount full@example.org\n")
	many := make([]string, mailbox.MaxKeywords)
	for i := range many {
		many[i] = fmt.Sprintf("k%d", i)
	}
	b.Append(t, "full@example.org", "INBOX", text, many...)
	b.q.Start()
	b.put("bob@example.org")
	b.d.SetKeywords(true)
	for _, to := range []string{"bob@example.org", "full@example.org"} {
		b.put(to)
	}
	b.settled()
	for account, want := range map[string][]string{"bob@example.org": {"", "$TransportEncrypted"}, "full@example.org": {strings.Join(many, " "), ""}} {
		if got := b.flags(account); !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", account, got, want)
		}
	}
}

// flags returns the flags of each message in an account's INBOX.
func (b *bench) flags(account string) (all []string) {
	b.t.Helper()
	a, err := b.Mailboxes.Account(b.t.Context(), b.AccountID(b.t, account))
	if err != nil {
		b.t.Fatal(err)
	}
	info, err := a.Lookup(b.t.Context(), "INBOX")
	if err != nil {
		b.t.Fatal(err)
	}
	m, err := a.Open(b.t.Context(), info.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	defer m.Close()
	for _, e := range m.Entries(nil, m.State().UIDs) {
		all = append(all, strings.Join(m.FlagNames(e.Flags), " "))
	}
	return all
}
