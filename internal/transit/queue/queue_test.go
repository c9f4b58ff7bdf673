package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

func TestDeliversAndForgets(t *testing.T) {
	t.Parallel()
	localT, remoteT := newTransport(ok), newTransport(ok)
	q := open(t, store(t, t.TempDir()), Options{Local: localT, Remote: remoteT})
	q.Start()
	m := newMessage(t, q, local("bob@example.org"), local("cid@example.org"), remote("dan@example.net"), local("bob@example.org"))
	blob := m.Blob
	put(t, q, m)
	empty(t, q)
	if localT.count() != 2 || remoteT.count() != 1 {
		t.Errorf("attempts: %d local, %d remote; want 2, 1", localT.count(), remoteT.count())
	}
	if owners, err := q.db.Links(context.Background(), blob); err != nil || len(owners) != 0 {
		t.Errorf("the blob is still linked by %q, %v", owners, err)
	}
}

// settling is a transport that stores under its own key in the transaction that settles.
type settling struct {
	db   kv.DB
	fail error
}

func (s *settling) Deliver(ctx context.Context, m *Message, to []mail.Recipient) []Result {
	var results []Result
	for _, r := range to {
		err := s.db.Update(ctx, func(tx kv.Tx) error {
			if err := s.add(tx, r); err != nil {
				return err
			}
			if s.fail != nil {
				return s.fail
			}
			return Settle(Attempt{m, []mail.Recipient{r}})(tx)
		})
		results = append(results, Result{Recipient: r, Err: err, Settled: err == nil})
	}
	return results
}

// add counts copies in the store, so that a second delivery is seen.
func (s *settling) add(tx kv.Tx, r mail.Recipient) error {
	key := []byte("z" + r.Address.String())
	v, err := tx.Get(key)
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	tx.Set(key, append(v, 'x'))
	return nil
}

func (s *settling) copies(t testing.TB, a string) int {
	t.Helper()
	n := 0
	err := s.db.View(context.Background(), func(r kv.Reader) error {
		v, err := r.Get([]byte("z" + a))
		n = len(v)
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSettleRemovesInTheSameTransaction(t *testing.T) {
	t.Parallel()
	db := store(t, t.TempDir())
	s := &settling{db: db}
	q := open(t, db, Options{Local: s})
	q.Start()
	for range 20 {
		put(t, q, newMessage(t, q, local("bob@example.org"), local("cid@example.org"), local("dan@example.org")))
	}
	empty(t, q)
	for _, a := range []string{"bob@example.org", "cid@example.org", "dan@example.org"} {
		if n := s.copies(t, a); n != 20 {
			t.Errorf("%s has %d copies, want 20", a, n)
		}
	}
}

// TestOpenRemovesOrphans: the program may end when an item's last two recipients have gone at the same time, and before
// the item has.
func TestOpenRemovesOrphans(t *testing.T) {
	t.Parallel()
	db := store(t, t.TempDir())
	q := open(t, db, Options{})
	orphan, kept := newMessage(t, q, local("bob@example.org"), local("cid@example.org")), newMessage(t, q, local("dan@example.org"))
	put(t, q, orphan)
	put(t, q, kept)
	err := db.Update(t.Context(), func(tx kv.Tx) error {
		prefix := recipientPrefix(orphan.ID)
		tx.DeleteRange(prefix, kv.PrefixEnd(prefix))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	items, err := open(t, db, Options{}).List(t.Context())
	if err != nil || len(items) != 1 || items[0].ID != kept.ID {
		t.Errorf("queued after opening: %v, %v; want %s alone", items, err, kept.ID)
	}
	if owners, err := db.Links(t.Context(), orphan.Blob); err != nil || len(owners) != 0 {
		t.Errorf("the body of the finished message is linked by %q, %v", owners, err)
	}
}

func TestSettleTwiceFails(t *testing.T) {
	t.Parallel()
	db := store(t, t.TempDir())
	s := &settling{db: db}
	again := make(chan error, 1)
	q := open(t, db, Options{Local: newTransport(func(m *Message, to mail.Recipient) Result {
		first := s.Deliver(context.Background(), m, []mail.Recipient{to})[0]
		again <- s.Deliver(context.Background(), m, []mail.Recipient{to})[0].Err
		return first
	})})
	q.Start()
	put(t, q, newMessage(t, q, local("bob@example.org")))
	if err := <-again; !errors.Is(err, ErrSettled) {
		t.Errorf("second settlement: %v, want ErrSettled", err)
	}
	empty(t, q)
	if n := s.copies(t, "bob@example.org"); n != 1 {
		t.Errorf("%d copies, want 1", n)
	}
}

func TestReopenLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := kv.Open(t.Context(), kv.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	q := open(t, db, Options{Local: newTransport(temporary), Remote: newTransport(temporary)})
	// Some are put without any attempt, some after one that failed.
	first := newMessage(t, q, local("bob@example.org"), remote("dan@example.net"))
	put(t, q, first)
	q.Start()
	wait(t, "deferral", func() bool { return q.Stats().Deferred == 2 })
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q2 := open(t, db, Options{Local: newTransport(temporary)})
	put(t, q2, newMessage(t, q2, local("cid@example.org"), remote("eve@example.net")))
	q2.Close()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	again := store(t, dir)
	s := &settling{db: again}
	remoteT := newTransport(ok)
	q3 := open(t, again, Options{Local: s, Remote: remoteT})
	if n := q3.Stats().Recipients; n != 4 {
		t.Fatalf("%d recipients after opening again, want 4", n)
	}
	items := list(t, q3)
	if len(items) != 2 || items[0].ID != first.ID {
		t.Fatalf("items: %+v", items)
	}
	got, want := items[0].Message, *first
	got.Envelope.Received, want.Envelope.Received = got.Envelope.Received.UTC(), want.Envelope.Received.UTC().Round(0)
	want.entry, got.entry, want.Attributes = nil, nil, nil
	want.Arrival = Arrival{Helo: want.Arrival.Helo, Remote: netip.AddrPortFrom(want.Arrival.Remote.Addr(), 0)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("item after opening again:\n got %+v\nwant %+v", got, want)
	}
	// The time of the deferred local delivery has not come; Recover does not care.
	if err := q3.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.copies(t, "bob@example.org") != 1 || s.copies(t, "cid@example.org") != 1 {
		t.Error("Recover did not make the local deliveries")
	}
	if remoteT.count() != 0 {
		t.Error("Recover made a remote attempt")
	}
	q3.Start()
	wait(t, "the remote attempt that was never made", func() bool { return remoteT.count() == 1 })
	if n, err := q3.Retry(t.Context(), ""); n != 1 || err != nil {
		t.Errorf("Retry = %d, %v; want 1", n, err)
	}
	empty(t, q3)
}

func TestPutBeyondMemoryGoesToTheStore(t *testing.T) {
	t.Parallel()
	db := store(t, t.TempDir())
	gate := make(chan struct{})
	s := &settling{db: db}
	q := open(t, db, Options{Memory: 10, Workers: 4, Local: newTransport(func(m *Message, to mail.Recipient) Result {
		<-gate
		return s.Deliver(context.Background(), m, []mail.Recipient{to})[0]
	})})
	q.Start()
	const n = 100
	for i := range n {
		put(t, q, newMessage(t, q, local(fmt.Sprintf("u%d@example.org", i))))
	}
	if st := q.Stats(); st.LocalHeld > 10 || st.Recipients != n {
		t.Errorf("%d held in memory of %d; want at most 10 of %d", st.LocalHeld, st.Recipients, n)
	}
	close(gate)
	empty(t, q)
	for i := range n {
		if c := s.copies(t, fmt.Sprintf("u%d@example.org", i)); c != 1 {
			t.Errorf("u%d has %d copies", i, c)
		}
	}
}

func TestSlowLaneHoldsUpNobody(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	tr := newTransport(func(_ *Message, to mail.Recipient) Result {
		if to.Address.Local == "slow" {
			<-gate
		}
		return Result{}
	})
	q := open(t, store(t, t.TempDir()), Options{Workers: 2, Local: tr})
	q.Start()
	for i := range 20 {
		put(t, q, newMessage(t, q, local("slow@example.org")))
		put(t, q, newMessage(t, q, local(fmt.Sprintf("u%d@example.org", i))))
	}
	wait(t, "delivery past the slow one", func() bool { return q.Stats().Delivered == 20 })
	close(gate)
	empty(t, q)
}

func TestExpansion(t *testing.T) {
	t.Parallel()
	localT := newTransport(func(_ *Message, to mail.Recipient) Result {
		switch to.Address.Local {
		case "list":
			return Result{Expanded: []mail.Recipient{local("bob@example.org"), local("list@example.org"), remote("dan@example.net")}}
		case "circle":
			return Result{Expanded: []mail.Recipient{local("circle2@example.org")}}
		case "circle2":
			return Result{Expanded: []mail.Recipient{local("circle@example.org")}}
		}
		return Result{}
	})
	remoteT := newTransport(ok)
	q := open(t, store(t, t.TempDir()), Options{Local: localT, Remote: remoteT})
	q.Start()
	put(t, q, newMessage(t, q, local("list@example.org")))
	empty(t, q)
	if localT.count() != 2 || remoteT.count() != 1 {
		t.Errorf("attempts: %d local, %d remote; want 2, 1", localT.count(), remoteT.count())
	}
	put(t, q, newMessage(t, q, local("circle@example.org")))
	empty(t, q)
	if st := q.Stats(); st.Failed != 1 {
		t.Errorf("a circle of aliases: %d failed, want 1", st.Failed)
	}
}

func TestUnreachableDestinationIsPutOff(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	tr := newTransport(func(m *Message, to mail.Recipient) Result {
		<-gate
		r := temporary(m, to)
		r.Unreachable = true
		return r
	})
	q := open(t, store(t, t.TempDir()), Options{PerDestination: 1, Remote: tr})
	q.Start()
	const n = 50
	for i := range n {
		put(t, q, newMessage(t, q, remote(fmt.Sprintf("u%d@example.net", i))))
	}
	close(gate)
	wait(t, "deferral of all", func() bool { return q.Stats().Deferred == n })
	if tr.count() > 2 {
		t.Errorf("%d attempts at a dead destination, want 1", tr.count())
	}
	if held := q.Stats().RemoteHeld; held != 0 {
		t.Errorf("%d recipients still held", held)
	}
}

func TestOperator(t *testing.T) {
	t.Parallel()
	tr := newTransport(temporary)
	q := open(t, store(t, t.TempDir()), Options{Remote: tr})
	q.Start()
	var ids []ID
	for i := range 5 {
		m := newMessage(t, q, remote(fmt.Sprintf("u%d@example.net", i)))
		ids = append(ids, m.ID)
		put(t, q, m)
	}
	wait(t, "deferral", func() bool { return q.Stats().Deferred == 5 && q.Stats().RemoteHeld == 0 })
	item, err := q.Show(t.Context(), ids[2])
	if err != nil || len(item.Recipients) != 1 {
		t.Fatalf("Show: %+v, %v", item, err)
	}
	r := item.Recipients[0]
	if r.Attempts != 1 || r.Last == nil || mail.AsError(r.Last.Err).Text != "not now" || time.Until(r.Next) < 4*time.Minute {
		t.Errorf("recipient: %+v", r)
	}
	if n, err := q.Retry(t.Context(), ids[0]); n != 1 || err != nil {
		t.Errorf("Retry of one: %d, %v", n, err)
	}
	wait(t, "second attempt", func() bool { return q.Stats().Deferred == 6 && q.Stats().RemoteHeld == 0 })
	if n, err := q.Retry(t.Context(), ""); n != 5 || err != nil {
		t.Errorf("Retry of all: %d, %v", n, err)
	}
	wait(t, "third attempts", func() bool { return q.Stats().Deferred == 11 && q.Stats().RemoteHeld == 0 })
	if n, err := q.Remove(t.Context(), ids[0]); n != 1 || err != nil {
		t.Errorf("Remove of one: %d, %v", n, err)
	}
	if _, err := q.Show(t.Context(), ids[0]); !mail.IsKind(err, mail.NotFound) {
		t.Errorf("Show of a removed item: %v", err)
	}
	if _, err := q.Remove(t.Context(), ids[0]); !mail.IsKind(err, mail.NotFound) {
		t.Errorf("Remove of a removed item: %v", err)
	}
	if n, err := q.Remove(t.Context(), ""); n != 4 || err != nil {
		t.Errorf("Remove of all: %d, %v", n, err)
	}
	empty(t, q)
}

func TestRemoveDuringAttempt(t *testing.T) {
	t.Parallel()
	db := store(t, t.TempDir())
	s := &settling{db: db}
	begun, gate := make(chan struct{}), make(chan struct{})
	q := open(t, db, Options{Local: newTransport(func(m *Message, to mail.Recipient) Result {
		close(begun)
		<-gate
		return s.Deliver(context.Background(), m, []mail.Recipient{to})[0]
	})})
	q.Start()
	m := newMessage(t, q, local("bob@example.org"))
	put(t, q, m)
	<-begun
	if _, err := q.Remove(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	close(gate)
	wait(t, "end of the attempt", func() bool { return q.Stats().LocalHeld == 0 })
	empty(t, q)
	if n := s.copies(t, "bob@example.org"); n != 0 {
		t.Errorf("%d copies of a removed message", n)
	}
}

// TestRemoveBeforeAttempt: what waits behind a slow attempt and is removed meanwhile is not sent. Nobody
// says that a removed message will be tried again.
func TestRemoveBeforeAttempt(t *testing.T) {
	t.Parallel()
	begun, gate := make(chan struct{}, 1), make(chan struct{})
	out := newTransport(func(m *Message, to mail.Recipient) Result {
		begun <- struct{}{}
		<-gate
		return temporary(m, to)
	})
	var log bytes.Buffer
	q := open(t, store(t, t.TempDir()), Options{Remote: out, PerDestination: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	q.Start()
	first := newMessage(t, q, remote("bob@example.net"))
	put(t, q, first)
	<-begun
	if _, err := q.Remove(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	second := newMessage(t, q, remote("cid@example.net"))
	put(t, q, second)
	if _, err := q.Remove(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	close(gate)
	wait(t, "end of the attempts", func() bool { return q.Stats().RemoteHeld == 0 })
	empty(t, q)
	if n := out.count(); n != 1 {
		t.Errorf("%d attempts, want the first message's alone", n)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "delivery withdrawn"); n != 2 || strings.Contains(log.String(), "delivery defer") {
		t.Errorf("%d attempts logged as withdrawn, want 2:\n%s", n, log.String())
	}
}
