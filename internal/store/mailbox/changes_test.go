package mailbox

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

func TestDeltaTellsTheLastRole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 5)
	m := f.session("INBOX")
	since := m.State().HighestModSeq
	f.appendMany("INBOX", 2)                         // 6 and 7 come
	f.store1(m, AddFlags, []UID{1, 2, 6}, `\Seen`)   // 6 came in the window: it stays an added one
	f.store1(m, AddFlags, []UID{1}, `\Flagged`, "x") // once more
	f.must(m.Remove(t.Context(), []UID{2, 4, 7}))    // 2 was changed, 7 came and went
	d := f.changes(m, since)
	f.wantDelta(d, []UID{6}, []UID{1}, []UID{2, 4, 7})
	if d.ModSeq != m.State().HighestModSeq || !slices.Equal(d.Keywords, []string{"x"}) || d.Gone {
		t.Errorf("delta is %+v", d)
	}
	f.wantDelta(f.changes(m, d.ModSeq), nil, nil, nil)
	f.wantDelta(f.changes(m, d.ModSeq+100), nil, nil, nil)
}

// Every source of a delta must give the same answer: the table's memory, the log, the comparison.
func TestDeltaFromEachSource(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 5)
	m := f.session("INBOX")
	since := m.State().HighestModSeq
	f.appendMany("INBOX", 2)
	f.store1(m, AddFlags, []UID{1, 2, 6}, `\Seen`)
	f.must(m.Remove(t.Context(), []UID{2, 4, 7}))
	f.wantDelta(f.changes(m, since), []UID{6}, []UID{1}, []UID{2, 4, 7})

	f.reopen()
	m = f.session("INBOX")
	if _, _, known := m.table.since(since); known {
		t.Fatal("a table that was just read remembers the past")
	}
	f.wantDelta(f.changes(m, since), []UID{6}, []UID{1}, []UID{2, 4, 7})

	f.trimLog("INBOX")
	f.wantDelta(f.changes(m, since), []UID{6}, []UID{1}, []UID{2, 4, 7})
	f.wantDelta(f.changes(m, 1), []UID{1, 3, 5, 6}, nil, []UID{2, 4, 7})
}

// trimLog makes the log forget all.
func (f *fixture) trimLog(name string) {
	f.t.Helper()
	id := f.id(name)
	f.must(f.a.update(f.t.Context(), func(c *change) error {
		b, err := c.box(id)
		if err != nil {
			return err
		}
		prefix := mailboxKey(account1, kindLog, id)
		c.tx.DeleteRange(prefix, kv.PrefixEnd(prefix))
		b.counters.floor, b.counters.rows = b.counters.highest, 0
		b.counted, c.written = true, true
		return nil
	}))
}

func TestLogIsTrimmed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 2)
	m := f.session("INBOX")
	since := m.State().HighestModSeq
	f.must(f.a.update(t.Context(), func(c *change) error {
		b, err := c.box(m.table.key.id)
		b.counters.rows = maxLog + logSlack - 3
		return err
	}))
	// Rows that are counted but do not exist: the ones that are trimmed are then those that do.
	for i := range 3 {
		f.store1(m, ReplaceFlags, []UID{1}, []string{`\Seen`, `\Draft`, `\Flagged`}[i])
	}
	var c counters
	f.must(f.db.View(t.Context(), func(r kv.Reader) (err error) {
		_, c, err = readMailbox(r, account1, m.table.key.id)
		return err
	}))
	if c.rows > maxLog {
		t.Errorf("the log has %d rows, want %d at most", c.rows, maxLog)
	}
	f.wantDelta(f.changes(m, since), nil, []UID{1}, nil)
}

// What has vanished is told exactly while the log reaches back, and then as every UID that is not there.
func TestVanished(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 12)
	m := f.session("INBOX")
	f.must(m.Remove(t.Context(), []UID{1}))
	since := m.State().HighestModSeq
	want := func(since ModSeq, want ...Range) {
		t.Helper()
		got, err := m.Vanished(t.Context(), since)
		f.must(err)
		if !slices.Equal(got, want) {
			t.Errorf("since %d: got %v, want %v", since, got, want)
		}
	}
	want(since)
	want(since + 100)
	f.must(m.Remove(t.Context(), []UID{6}))
	f.must(m.Remove(t.Context(), []UID{3, 5, 12}))
	f.must(m.Remove(t.Context(), []UID{7, 9}))
	want(since, Range{3, 3}, Range{5, 7}, Range{9, 9}, Range{12, 12})
	f.clearRecent(m)
	want(since, Range{3, 3}, Range{5, 7}, Range{9, 9}, Range{12, 12})
	f.trimLog("INBOX")
	f.clearRecent(m)
	want(since, Range{1, 1}, Range{3, 3}, Range{5, 7}, Range{9, 9}, Range{12, 12})
}

// clearRecent lets a table forget what it remembers of the log.
func (f *fixture) clearRecent(m *Mailbox) {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	m.table.recent, m.table.recentFrom, m.table.spans = nil, m.table.highest, 0
}

// A long history costs no more than the log's bound, and what it has lost is made good by comparison.
func TestLongHistory(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 4)
	m := f.session("INBOX")
	since := m.State().HighestModSeq
	f.must(m.Remove(t.Context(), []UID{3}))
	for range 4 {
		f.fastForward(m, 3000)
	}
	f.store1(m, ReplaceFlags, []UID{1}, `\Seen`)
	f.wantDelta(f.changes(m, since), nil, []UID{1, 2}, []UID{3})
	rows := 0
	f.must(f.db.View(t.Context(), func(r kv.Reader) error {
		prefix := mailboxKey(account1, kindLog, m.table.key.id)
		for _, err := range r.Scan(prefix, kv.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			rows++
		}
		return nil
	}))
	if rows > maxLog+logSlack {
		t.Errorf("the log has %d rows", rows)
	}
	f.checkMailbox("INBOX")
}

// fastForward makes n changes in one transaction.
func (f *fixture) fastForward(m *Mailbox, n int) {
	f.t.Helper()
	var group []*operation
	for i := range n {
		names := flagNames{system: Flags(1 + i%2)}
		group = append(group, &operation{turn: make(chan bool, 1), run: func(c *change) error {
			b, err := c.box(m.table.key.id)
			if err == nil {
				_, err = b.store(&Change{UIDs: []UID{1, 2}, Mode: ReplaceFlags}, names)
			}
			return err
		}})
	}
	f.a.commit(context.Background(), group)
	for _, o := range group {
		f.must(o.err)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.session("INBOX")
	since := m.State().HighestModSeq
	c := m.Wait(since)
	select {
	case <-c:
		t.Fatal("Wait reports a change that did not happen")
	default:
	}
	f.appendMany("INBOX", 1)
	<-c
	<-m.Wait(since)
	f.must(f.a.Delete(t.Context(), f.other("Drafts", m)))
	c = m.Wait(m.State().HighestModSeq)
	select {
	case <-c:
		t.Fatal("a change of another mailbox wakes this one")
	default:
	}
}

// other returns name, having made sure that m is not that mailbox.
func (f *fixture) other(name string, m *Mailbox) string {
	f.t.Helper()
	if f.id(name) == m.table.key.id {
		f.t.Fatal("the same mailbox")
	}
	return name
}

func TestWaitEndsWithTheMailbox(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.session("Drafts")
	c := m.Wait(m.State().HighestModSeq)
	f.must(f.a.Delete(t.Context(), "Drafts"))
	<-c
	if d := f.changes(m, 0); !d.Gone {
		t.Errorf("delta is %+v, want Gone", d)
	}
	_, err := m.Store(t.Context(), Change{UIDs: []UID{1}, Flags: []string{`\Seen`}})
	f.want(mail.NotFound, err)
	_, err = m.OpenBody(t.Context(), 1)
	f.want(mail.NotFound, err)
	_, err = m.Search(t.Context(), []UID{1}, Criteria{})
	f.want(mail.NotFound, err)
}

func TestModSeqsRiseOverReopening(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	last := ModSeq(0)
	for range 3 {
		f.appendMany("INBOX", 1)
		f.appendMany("Sent", 1)
		inbox, sent := f.status("INBOX").HighestModSeq, f.status("Sent").HighestModSeq
		if inbox <= last || sent <= inbox {
			t.Fatalf("HIGHESTMODSEQ is %d and %d after %d", inbox, sent, last)
		}
		last = sent
		f.reopen()
	}
}

func TestOneRowForOneCommand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	uids := f.appendMany("INBOX", 100)
	m := f.session("INBOX")
	f.store1(m, AddFlags, uids, `\Deleted`)
	_, _, err := m.Expunge(t.Context(), nil)
	f.must(err)
	f.must(f.db.View(t.Context(), func(r kv.Reader) error {
		_, c, err := readMailbox(r, account1, m.table.key.id)
		if c.rows != 3 {
			t.Errorf("three commands left %d rows", c.rows)
		}
		return err
	}))
}

// A leader whose client has gone must finish the group; one who only waits may go.
func TestCancelledOperations(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.a.Append(ctx, f.id("INBOX"), []Message{f.message("\na\n")}, nil)
	if err == nil {
		t.Fatal("a cancelled context appended")
	}
	if st := f.status("INBOX"); st.Messages != 0 {
		t.Fatalf("status is %+v", st)
	}
	f.appendMany("INBOX", 1)
}

func TestWithdrawnOperationLetsTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Account{id: account1, store: &Store{db: &heldDB{release: make(chan struct{})}, tables: newTables(0)}}
		db := a.store.db.(*heldDB)
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, 3)
		nothing := func(*change) error { return nil }
		go func() { results <- a.update(context.Background(), nothing) }()
		synctest.Wait() // the first leads and is held
		withdrawn := make(chan error)
		go func() { withdrawn <- a.update(ctx, nothing) }()
		synctest.Wait()
		go func() { results <- a.update(context.Background(), nothing) }()
		synctest.Wait()
		cancel()
		if err := <-withdrawn; err != context.Canceled {
			t.Errorf("the withdrawn one got %v", err)
		}
		close(db.release)
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.led || len(a.waiting) != 0 {
			t.Errorf("led %t, %d waiting", a.led, len(a.waiting))
		}
	})
}

func TestGroupsAreBounded(t *testing.T) {
	t.Parallel()
	small, large := &operation{octets: 1}, &operation{octets: maxGroupOctets}
	for name, test := range map[string]struct {
		waiting []*operation
		want    int
	}{
		"few":                {[]*operation{small, small}, 2},
		"many":               {slices.Repeat([]*operation{small}, maxGroup+1), maxGroup},
		"a large one first":  {[]*operation{large, small}, 1},
		"a large one second": {[]*operation{small, small, large}, 2},
	} {
		a := &Account{waiting: test.waiting}
		if got := len(a.takeGroup()); got != test.want || len(a.waiting) != len(test.waiting)-test.want {
			t.Errorf("%s: took %d and left %d, want %d of %d", name, got, len(a.waiting), test.want, len(test.waiting))
		}
	}
}

// heldDB holds every transaction until it is released, and then makes as if it had run.
type heldDB struct {
	kv.DB
	release chan struct{}
}

func (db *heldDB) Update(ctx context.Context, f func(kv.Tx) error) error {
	<-db.release
	return f(emptyTx{})
}

// emptyTx is a transaction in a store that has one account, without mailboxes.
type emptyTx struct{ kv.Tx }

func (emptyTx) Get([]byte) ([]byte, error) { return accountRow{}.encode(), nil }

// A panic in one operation must not leave the account without a leader.
func TestPanicHandsTheLeadOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was lost")
			}
		}()
		_ = f.a.update(t.Context(), func(*change) error { panic("a bug") })
	}()
	f.appendMany("INBOX", 1)
}

// Rows that touch the same messages again and again come to no more than these messages.
func TestMerge(t *testing.T) {
	t.Parallel()
	var rows []logRow
	for m := range ModSeq(1000) {
		rows = append(rows, logRow{modSeq: 10 + m, changed: spans{{1, 100}, {200 + UID(m)%3, 300}}})
	}
	rows = append(rows, logRow{modSeq: 2000, added: spans{{250, 300}}, expunged: spans{{5, 9}, {40, 40}}}, logRow{modSeq: 2001, expunged: spans{{10, 39}, {299, 300}}})
	added, changed, expunged := merge(rows)
	if want := []Range{{5, 40}, {299, 300}}; !slices.Equal(expunged, want) {
		t.Errorf("expunged: got %v, want %v", expunged, want)
	}
	if want := (spans{{250, 298}}); !slices.Equal(spansOf(added), want) {
		t.Errorf("added: got %v, want %v", spansOf(added), want)
	}
	if want := (spans{{1, 4}, {41, 100}, {200, 249}}); !slices.Equal(spansOf(changed), want) {
		t.Errorf("changed: got %v, want %v", spansOf(changed), want)
	}
	if cap(changed) > 1000 {
		t.Errorf("%d changes are held for %d messages", cap(changed), len(changed))
	}
}

// TestMergeOfMuchThatIsGone: what came and went again takes no memory.
func TestMergeOfMuchThatIsGone(t *testing.T) {
	const last = 4_000_000_000
	added, changed, expunged := merge([]logRow{
		{modSeq: 2, added: spans{{5, last}}},
		{modSeq: 3, changed: spans{{1, last - 1}}},
		{modSeq: 4, expunged: spans{{3, 10}, {12, last - 2}}},
	})
	if !slices.Equal(added, []UID{11, last - 1, last}) || !slices.Equal(changed, []UID{1, 2}) || !slices.Equal(expunged, []Range{{3, 10}, {12, last - 2}}) {
		t.Errorf("got %v, %v, %v", added, changed, expunged)
	}
}

// TestLess compares with UIDs one by one.
func TestLess(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var a, b, want []UID
		for u := UID(1); u < 30; u++ {
			inA, inB := rng.IntN(3) > 0, rng.IntN(2) == 0
			if inA {
				a = append(a, u)
			}
			if inB {
				b = append(b, u)
			}
			if inA && !inB {
				want = append(want, u)
			}
		}
		if got := spansOf(a).less(spansOf(b)).appendTo(nil); !slices.Equal(got, want) {
			t.Fatalf("%v less %v is %v, want %v", a, b, got, want)
		}
	}
}
