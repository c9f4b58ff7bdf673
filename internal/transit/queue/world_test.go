package queue

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// transport is a Transport whose results a test decides.
type transport struct {
	deliver func(m *Message, to mail.Recipient) Result

	mu    sync.Mutex
	calls []call
	seen  chan struct{}
}

type call struct {
	id   ID
	to   mail.Address
	when time.Time
}

func newTransport(f func(m *Message, to mail.Recipient) Result) *transport {
	return &transport{deliver: f, seen: make(chan struct{}, 10000)}
}

func (t *transport) Deliver(_ context.Context, m *Message, to []mail.Recipient) []Result {
	var results []Result
	for _, r := range to {
		t.mu.Lock()
		t.calls = append(t.calls, call{m.ID, r.Address, time.Now()})
		t.mu.Unlock()
		res := t.deliver(m, r)
		res.Recipient = r
		results = append(results, res)
		t.seen <- struct{}{}
	}
	return results
}

func (t *transport) times() []time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []time.Time
	for _, c := range t.calls {
		out = append(out, c.when)
	}
	return out
}

func (t *transport) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.calls)
}

func ok(*Message, mail.Recipient) Result { return Result{} }

func temporary(*Message, mail.Recipient) Result {
	return Result{Err: mail.Errorf(mail.Unavailable, "not now")}
}

func permanent(*Message, mail.Recipient) Result {
	return Result{Err: mail.Errorf(mail.NoAddress, "no such address"), Reply: "550 5.1.1 no such address", RemoteMTA: "mx.example.net[192.0.2.1]:25"}
}

func addr(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func local(s string) mail.Recipient  { return mail.Recipient{Address: addr(s), Route: mail.Local} }
func remote(s string) mail.Recipient { return mail.Recipient{Address: addr(s), Route: mail.Remote} }

// store opens an embedded store in a folder that ends with the test.
func store(t testing.TB, dir string) kv.DB {
	t.Helper()
	db, err := kv.Open(context.Background(), kv.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func open(t testing.TB, db kv.DB, o Options) *Queue {
	t.Helper()
	if o.Hostname == "" {
		o.Hostname = "mx.example.org"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	q, err := Open(context.Background(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

const text = "Subject: hello\r\n\r\nworld\r\n"

// message makes a message from ann@example.org whose body is durable.
func newMessage(t testing.TB, q *Queue, to ...mail.Recipient) *Message {
	t.Helper()
	w, err := q.NewBody(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	fmt.Fprint(w, text)
	blob, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return &Message{
		ID: q.NewID(),
		Envelope: mail.Envelope{
			ReversePath: mail.ReversePath{Address: addr("ann@example.org")}, Recipients: to, Received: time.Now(),
		},
		Trace: []byte("Received: by mx.example.org\r\n"), Blob: blob, BlobSize: int64(len(text)),
		Inbound: mail.Transport{State: mail.EncryptedUnauthenticated, Floor: mail.Clear, FloorSource: "public-mx", Mode: mail.StartTLS, Version: "TLS1.3"},
		Arrival: Arrival{Listener: "smtp:25", Helo: "client.example", Remote: netip.MustParseAddrPort("192.0.2.7:4711"), Local: netip.MustParseAddrPort("192.0.2.1:25")},
	}
}

func put(t testing.TB, q *Queue, m *Message) {
	t.Helper()
	if err := q.Put(context.Background(), m); err != nil {
		t.Fatal(err)
	}
}

// empty waits until nothing is in the queue and checks that no key is left behind.
func empty(t testing.TB, q *Queue) {
	t.Helper()
	wait(t, "an empty queue", func() bool { return q.Stats().Recipients == 0 && len(keys(t, q.db)) == 0 })
}

func wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

// keys lists the queue's keys but for the format and the records.
func keys(t testing.TB, db kv.DB) []string {
	t.Helper()
	var out []string
	err := db.View(context.Background(), func(r kv.Reader) error {
		out = nil
		for p, err := range r.Scan([]byte{prefix}, []byte{prefix + 1}) {
			if err != nil {
				return err
			}
			if string(p.Key) != string(formatKey()) && p.Key[1] != recordTag && p.Key[1] != accountTag {
				out = append(out, fmt.Sprintf("%q", p.Key))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func list(t testing.TB, q *Queue) []Item {
	t.Helper()
	items, err := q.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return items
}
