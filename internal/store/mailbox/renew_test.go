package mailbox

import (
	"testing"
	"time"

	"candor/internal/mail"
)

// TestRenew: after a store has gone back, no mailbox has a UIDVALIDITY or an id that one of its name can have had
// since.
func TestRenew(t *testing.T) {
	f := newFixture(t)
	other := mail.AccountID(1) << 40
	f.must(f.store.CreateAccount(t.Context(), other))
	f.append("INBOX", "kept")
	if _, err := f.a.Create(t.Context(), "a/b", ""); err != nil {
		t.Fatal(err)
	}
	f.must(f.a.Delete(t.Context(), "a")) // its name stays for its child
	back := copyDir(t, f.dir)

	// What clients see after the point in time.
	seen := map[UIDValidity]bool{}
	ids := map[ID]bool{}
	for range 50 {
		made, err := f.a.Create(t.Context(), "lost", "")
		f.must(err)
		seen[made.UIDValidity], ids[made.ID] = true, true
		f.must(f.a.Delete(t.Context(), "lost"))
	}
	f.append("INBOX", "lost")
	before, err := f.a.Mailboxes(t.Context())
	f.must(err)
	for _, m := range before {
		seen[m.UIDValidity] = true
	}

	g := openFixture(t, back)
	g.a = g.account(account1)
	m := g.session("INBOX")
	defer m.Close()
	n, err := g.store.Renew(t.Context())
	g.must(err)
	if want := 2*len(defaults) + 1; n != want {
		t.Errorf("%d mailboxes were renewed, want %d", n, want)
	}
	after, err := g.a.Mailboxes(t.Context())
	g.must(err)
	for _, m := range after {
		if m.NoSelect {
			continue
		}
		if seen[m.UIDValidity] || m.UIDValidity < UIDValidity(time.Now().Unix()) {
			t.Errorf("%s has UIDVALIDITY %d again", m.Name, m.UIDValidity)
		}
		seen[m.UIDValidity] = true
	}
	if got := m.State().Info.UIDValidity; got != g.status("INBOX").UIDValidity {
		t.Errorf("an open mailbox tells UIDVALIDITY %d, want %d", got, g.status("INBOX").UIDValidity)
	}
	made, err := g.a.Create(t.Context(), "lost", "")
	g.must(err)
	if seen[made.UIDValidity] || ids[made.ID] {
		t.Errorf("a new mailbox has UIDVALIDITY %d and id %d, which another one had", made.UIDValidity, made.ID)
	}
	g.checkMailbox("INBOX")
	if got := g.status("INBOX"); got.Messages != 1 || got.UIDNext != 2 {
		t.Errorf("INBOX: %+v", got)
	}
}
