package mailbox

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.harmed = true
	f.must(f.db.Update(t.Context(), func(tx kv.Tx) error {
		tx.Set(key(noAccount, kindFormat, 0), binary.AppendUvarint(nil, format+1))
		return nil
	}))
	_, err := Open(t.Context(), f.db, Options{})
	if err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("error is %v", err)
	}
}

func TestAccountMustExist(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, id := range []mail.AccountID{0, 7} {
		_, err := f.store.Account(t.Context(), id)
		f.want(mail.NotFound, err)
	}
	f.want(mail.NotFound, f.store.CreateAccount(t.Context(), 0))
	f.want(mail.NotFound, f.store.RemoveAccount(t.Context(), 7))
}

func TestAccountIsShared(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if f.account(account1) != f.a {
		t.Error("two Accounts for one account")
	}
	f.must(f.store.CreateAccount(t.Context(), 2))
	f.account(2)
	held := func() int {
		f.store.mu.Lock()
		defer f.store.mu.Unlock()
		return len(f.store.accounts)
	}
	for i := 0; held() > 1; i++ {
		if i == 1000 {
			t.Fatal("an account that nobody holds stays in memory")
		}
		runtime.GC()
		runtime.Gosched()
	}
}

func TestClosedStoreRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	message, id := f.message("\na\n"), f.id("INBOX")
	f.must(f.store.Close())
	_, err := f.a.Append(t.Context(), id, []Message{message}, nil)
	f.want(mail.Unavailable, err)
	_, err = f.a.Open(t.Context(), id)
	f.want(mail.Unavailable, err)
}

func TestRemoveAccount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.must(f.store.CreateAccount(t.Context(), 2))
	f.appendMany("INBOX", sweepBatch+1)
	f.appendMany("Sent", 1)
	m := f.session("INBOX")
	f.must(f.store.RemoveAccount(t.Context(), account1))
	if d := f.changes(m, 0); !d.Gone {
		t.Errorf("delta is %+v, want Gone", d)
	}
	_, _, err := m.Expunge(t.Context(), nil)
	f.want(mail.NotFound, err)
	_, err = f.a.Append(t.Context(), 1, nil, nil)
	f.want(mail.NotFound, err)
	_, err = f.a.Mailboxes(t.Context())
	f.want(mail.NotFound, err)
	_, err = f.store.Account(t.Context(), account1)
	f.want(mail.NotFound, err)
	f.wantKeys(account1, 0)
	f.a = f.account(2)
	f.id("INBOX")
}

// wantKeys fails unless an account has n keys, and nothing is doomed.
func (f *fixture) wantKeys(account mail.AccountID, n int) {
	f.t.Helper()
	whole := key(account, 0, 0)
	whole = whole[:len(whole)-1]
	doomed := key(noAccount, kindDoomed, 0)
	f.must(f.db.View(f.t.Context(), func(r kv.Reader) error {
		for p, err := range r.Scan(whole, kv.PrefixEnd(whole)) {
			if err != nil {
				return err
			}
			if n--; n < 0 {
				f.t.Errorf("key %q is left", p.Key)
			}
		}
		for p, err := range r.Scan(doomed, kv.PrefixEnd(doomed)) {
			if err != nil {
				return err
			}
			f.t.Errorf("still doomed: %q", p.Key)
		}
		return nil
	}))
}

// A removal that a crash broke off is finished after the next Open.
func TestSweepGoesOnAfterReopening(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	message := f.message("\na\n")
	for _, name := range []string{"INBOX", "Sent"} {
		_, err := f.a.Append(t.Context(), f.id(name), []Message{message, message}, nil)
		f.must(err)
	}
	id := f.id("Sent")
	f.must(f.store.Close()) // no sweeper from here on
	f.must(f.db.Update(t.Context(), func(tx kv.Tx) error {
		c := &change{account: f.a, tx: tx}
		if err := c.begin(); err != nil {
			return err
		}
		if err := c.delete("Sent"); err != nil {
			return err
		}
		return c.finish()
	}))
	f.wantOwners(message, owner{1, 1}, owner{1, 2}, owner{id, 1}, owner{id, 2})
	f.open()
	for f.store.Stats().Swept == 0 {
		runtime.Gosched()
	}
	f.wantOwners(message, owner{1, 1}, owner{1, 2})
}

func TestDeletedMailboxIsSwept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	message := f.message("\na\n")
	_, err := f.a.Append(t.Context(), f.id("Sent"), []Message{message}, nil)
	f.must(err)
	f.must(f.a.Delete(t.Context(), "Sent"))
	if u, err := f.a.Usage(t.Context()); u != (Usage{}) || err != nil {
		t.Errorf("usage is %+v, %v", u, err)
	}
	for f.store.Stats().Swept == 0 {
		runtime.Gosched()
	}
	f.wantOwners(message)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.append("INBOX", "\nab\n")
	f.append("Sent", "\nabc\n")
	if u, err := f.a.Usage(t.Context()); u != (Usage{6 + 7, 2}) || err != nil {
		t.Errorf("usage is %+v, %v", u, err)
	}
}

func TestExclusive(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	release, err := f.a.Exclusive()
	f.must(err)
	_, err = f.account(account1).Exclusive()
	f.want(mail.InUse, err)
	release()
	again, err := f.a.Exclusive()
	f.must(err)
	release() // the first one's, once more: it must not release the second
	_, err = f.a.Exclusive()
	f.want(mail.InUse, err)
	again()
}

func TestIdleTablesAreKeptAndBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.must(f.store.Close())
	var err error
	f.store, err = Open(t.Context(), f.db, Options{IdleMessages: 2*idleCost + 10})
	f.must(err)
	f.a = f.account(account1)
	f.appendMany("INBOX", 4)
	visit := func(name string) *table {
		m, err := f.a.Open(t.Context(), f.id(name))
		f.must(err)
		defer m.Close()
		return m.table
	}
	first := visit("INBOX")
	f.appendMany("INBOX", 1)
	if visit("INBOX") != first {
		t.Error("an idle table was read again")
	}
	visit("Sent")
	if st := f.store.Stats(); st.IdleMailboxes != 2 || st.Messages != 5 || st.OpenMailboxes != 0 {
		t.Errorf("stats are %+v", st)
	}
	f.appendMany("Sent", 9) // more than the limit: INBOX, used longest ago, goes
	if st := f.store.Stats(); st.IdleMailboxes != 1 || st.Messages != 9 {
		t.Errorf("stats are %+v", st)
	}
	f.checkMailbox("INBOX")
	f.checkMailbox("Sent")
}

func TestMailboxMayBeClosedTwice(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.session("INBOX")
	m.Close()
	m.Close()
	f.session("INBOX")
	if st := f.store.Stats(); st.OpenMailboxes != 1 {
		t.Errorf("stats are %+v", st)
	}
}
