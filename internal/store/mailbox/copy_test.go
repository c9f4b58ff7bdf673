package mailbox

import (
	"testing"
	"time"

	"candor/internal/mail"
)

func TestCopyKeepsFlagsByName(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.append("Sent", "\nother\n", "other")
	f.append("INBOX", "\na\n", "one", `\Seen`)
	f.append("INBOX", "\nb\n", "two", "Other")
	m, sent := f.session("INBOX"), f.session("Sent")
	done, err := m.Copy(t.Context(), []UID{1, 2, 7}, f.id("Sent"))
	f.must(err)
	f.wantUIDs("source", done.Source, 1, 2)
	f.wantUIDs("target", done.Target, 2, 3)
	if done.UIDValidity != sent.State().Info.UIDValidity {
		t.Errorf("UIDVALIDITY is %d", done.UIDValidity)
	}
	f.wantFlags(sent, 2, `\Seen`, "one")
	f.wantFlags(sent, 3, "other", "two")
	if got := f.text(sent, 3); got != "\r\nb\r\n" {
		t.Errorf("text is %q", got)
	}
	for _, name := range []string{"INBOX", "Sent"} {
		f.checkMailbox(name)
	}
}

// TestCopyIdentity: a copy has its source's EMAILID and a save date of its own.
func TestCopyIdentity(t *testing.T) {
	t.Parallel()
	f, now := newFixture(t), noon
	f.store.now = func() time.Time { return now }
	f.append("INBOX", "\na\n")
	f.append("INBOX", "\na\n")
	inbox, sent := f.session("INBOX"), f.session("Sent")
	before := f.records(inbox, 1, 2)
	now = now.Add(time.Hour)
	_, err := inbox.Move(t.Context(), []UID{1, 2}, f.id("Sent"))
	f.must(err)
	after := f.records(sent, 1, 2)
	for i, r := range before {
		if after[i].EmailID() != r.EmailID() || after[i].Saved.Sub(r.Saved) != time.Hour {
			t.Errorf("got  %s saved at %s\nwant %s an hour later than %s", after[i].EmailID(), after[i].Saved, r.EmailID(), r.Saved)
		}
	}
	if before[0].EmailID() == before[1].EmailID() {
		t.Errorf("two messages have the EMAILID %s", before[0].EmailID())
	}
	found, err := sent.Search(t.Context(), []UID{1, 2}, Criteria{Op: EmailID, Text: before[1].EmailID()})
	f.must(err)
	f.wantUIDs("EMAILID", found, 2)
	found, err = sent.Search(t.Context(), []UID{1, 2}, Criteria{Op: SavedOn, Date: now})
	f.must(err)
	f.wantUIDs("SAVEDON", found, 1, 2)
}

// records returns the records of messages that are there.
func (f *fixture) records(m *Mailbox, uids ...UID) []Record {
	f.t.Helper()
	var all []Record
	f.must(m.Records(f.t.Context(), uids, func(r *Record) error {
		own := *r.stored
		all = append(all, Record{Saved: r.Saved, stored: &own})
		return nil
	}))
	if len(all) != len(uids) {
		f.t.Fatalf("%d records of %d", len(all), len(uids))
	}
	return all
}

func TestCopyToTheSameMailbox(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 2)
	m := f.session("INBOX")
	done, err := m.Copy(t.Context(), []UID{1, 2}, f.id("INBOX"))
	f.must(err)
	f.wantUIDs("target", done.Target, 3, 4)
	f.checkMailbox("INBOX")
}

func TestMove(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 3)
	m, sent := f.session("INBOX"), f.session("Sent")
	since, sentSince := m.State().HighestModSeq, sent.State().HighestModSeq
	done, err := m.Move(t.Context(), []UID{1, 3}, f.id("Sent"))
	f.must(err)
	f.wantUIDs("target", done.Target, 1, 2)
	if done.ModSeq != m.State().HighestModSeq || done.ModSeq <= since {
		t.Errorf("MODSEQ of the removal is %d, HIGHESTMODSEQ %d", done.ModSeq, m.State().HighestModSeq)
	}
	f.wantDelta(f.changes(m, since), nil, nil, []UID{1, 3})
	f.wantDelta(f.changes(sent, sentSince), []UID{1, 2}, nil, nil)
	for _, name := range []string{"INBOX", "Sent"} {
		f.checkMailbox(name)
	}
}

func TestMoveWithinAMailbox(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 3)
	m := f.session("INBOX")
	since := m.State().HighestModSeq
	done, err := m.Move(t.Context(), []UID{2}, f.id("INBOX"))
	f.must(err)
	f.wantUIDs("target", done.Target, 4)
	f.wantDelta(f.changes(m, since), []UID{4}, nil, []UID{2})
	f.checkMailbox("INBOX")
}

func TestCopyIsAllOrNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 1, "unknown-there")
	m := f.session("INBOX")
	_, err := m.Copy(t.Context(), []UID{1}, 999)
	f.want(mail.NotFound, err)
	_, err = m.Move(t.Context(), []UID{1}, 999)
	f.want(mail.NotFound, err)
	f.checkMailbox("INBOX")
}

// A blob lives as long as one message links it.
func TestLinksFollowTheMessages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	message := f.message("\na\n")
	_, err := f.a.Append(t.Context(), f.id("INBOX"), []Message{message}, nil)
	f.must(err)
	m := f.session("INBOX")
	_, err = m.Copy(t.Context(), []UID{1}, f.id("Sent"))
	f.must(err)
	f.wantOwners(message, owner{f.id("INBOX"), 1}, owner{f.id("Sent"), 1})
	_, err = m.Move(t.Context(), []UID{1}, f.id("Trash"))
	f.must(err)
	f.wantOwners(message, owner{f.id("Sent"), 1}, owner{f.id("Trash"), 1})
	f.must(f.session("Sent").Remove(t.Context(), []UID{1}))
	f.wantOwners(message, owner{f.id("Trash"), 1})
	f.must(f.store.RemoveAccount(t.Context(), account1))
	f.wantOwners(message)
}

type owner struct {
	mailbox ID
	uid     UID
}

func (f *fixture) wantOwners(m Message, want ...owner) {
	f.t.Helper()
	links, err := f.db.Links(f.t.Context(), m.Blob)
	f.must(err)
	if len(links) != len(want) {
		f.t.Fatalf("the blob has %d owners, want %v", len(links), want)
	}
	for i, l := range links {
		account, id, uid, ok := Owner(l)
		if got := (owner{id, uid}); !ok || account != account1 || got != want[i] {
			f.t.Errorf("owner %d is %v of account %d, want %v", i, got, account, want[i])
		}
	}
}
