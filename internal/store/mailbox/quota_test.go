package mailbox

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"candor/internal/mail"
)

func (f *fixture) limit(q Quota) { f.store.quota = func(mail.AccountID) Quota { return q } }

// recount counts what the account holds, message by message.
func (f *fixture) recount() Usage {
	f.t.Helper()
	var u Usage
	boxes, err := f.a.Mailboxes(f.t.Context())
	f.must(err)
	for _, info := range boxes {
		if info.NoSelect {
			continue
		}
		m, err := f.a.Open(f.t.Context(), info.ID)
		f.must(err)
		f.must(m.Records(f.t.Context(), m.State().UIDs, func(r *Record) error {
			u.Messages++
			u.Storage += r.Size
			return nil
		}))
		m.Close()
	}
	return u
}

// TestQuotaRandomly: whatever is done, the usage is that of a recount, and is never over the quota.
func TestQuotaRandomly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	quota := Quota{Storage: 2000, Messages: 40}
	f.limit(quota)
	names := []string{"INBOX", "Sent", "a", "a/b"}
	rng := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for step := range 600 {
		name := names[rng.IntN(len(names))]
		if info, err := f.a.Lookup(t.Context(), name); err != nil || info.NoSelect {
			_, err := f.a.Create(t.Context(), name, "")
			f.must(err)
		}
		m, other := f.session(name), f.id(names[rng.IntN(2)])
		var uids []UID
		for _, u := range m.State().UIDs {
			if rng.IntN(3) == 0 {
				uids = append(uids, u)
			}
		}
		var err error
		switch k := rng.IntN(12); k {
		case 0, 1, 2, 3:
			messages := make([]Message, 1+rng.IntN(3))
			for i := range messages {
				messages[i] = f.message("\n" + strings.Repeat("x", rng.IntN(200)) + "\n")
			}
			_, err = f.a.Append(t.Context(), f.id(name), messages, nil)
		case 4, 5:
			_, err = m.Copy(t.Context(), uids, other)
		case 6, 7:
			_, err = m.Move(t.Context(), uids, other)
			f.must(err)
		case 8:
			f.must(m.Remove(t.Context(), uids))
		case 9:
			if name != "INBOX" && name != "Sent" {
				f.must(f.a.Delete(t.Context(), name))
			}
		case 10:
			f.must(f.a.Rename(t.Context(), name, fmt.Sprint("renamed", step)))
			if name == "Sent" {
				f.must(f.a.Rename(t.Context(), fmt.Sprint("renamed", step), name))
			}
		case 11:
			f.a.usage.Store(nil)
		}
		if err != nil {
			f.want(mail.OverQuota, err)
			refused++
		}
		_, used, err := f.a.Quota(t.Context())
		f.must(err)
		if want := f.recount(); used != want || used.Messages > quota.Messages || used.Storage > quota.Storage {
			t.Fatalf("step %d: usage is %+v, recounted %+v", step, used, want)
		}
	}
	if refused < 20 {
		t.Errorf("only %d operations were refused", refused)
	}
}

// TestQuotaAtOnce: of appends at the same time as many succeed as there is room for.
func TestQuotaAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.limit(Quota{Messages: 10})
	var stored atomic.Int64
	var wg sync.WaitGroup
	id, m := f.id("INBOX"), f.message("\nx\n")
	for range 30 {
		wg.Go(func() {
			_, err := f.a.Append(t.Context(), id, []Message{m}, nil)
			if err == nil {
				stored.Add(1)
			} else if !mail.IsKind(err, mail.OverQuota) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := stored.Load(); n != 10 {
		t.Errorf("%d were stored", n)
	}
}

// TestQuotaLowered: what is over a quota that was set later stays, and can be moved and removed.
func TestQuotaLowered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 3)
	f.limit(Quota{Messages: 2})
	inbox := f.session("INBOX")
	f.want(mail.OverQuota, f.a.Room(t.Context(), 1))
	_, err := inbox.Copy(t.Context(), []UID{1}, f.id("Sent"))
	f.want(mail.OverQuota, err)
	_, err = inbox.Move(t.Context(), []UID{1, 2, 3}, f.id("Sent"))
	f.must(err)
	f.store1(f.session("Sent"), AddFlags, []UID{1, 2}, `\Deleted`)
	_, _, err = f.session("Sent").Expunge(t.Context(), nil)
	f.must(err)
	f.must(f.a.Room(t.Context(), 1))
	f.append("INBOX", "\nx\n")
	f.want(mail.OverQuota, f.a.Room(t.Context(), 1))
}

// TestQuotaImport: an import goes beyond the quota, and is counted.
func TestQuotaImport(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.limit(Quota{Messages: 2})
	_, err := f.a.Import(t.Context(), f.id("INBOX"), f.imports(1, 3))
	f.must(err)
	if u, err := f.a.Usage(t.Context()); err != nil || u != f.recount() || u.Messages != 3 {
		t.Errorf("usage is %+v, %v", u, err)
	}
	f.want(mail.OverQuota, f.a.Room(t.Context(), 1))
}
