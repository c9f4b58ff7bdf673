package mailbox

import (
	"fmt"
	"slices"
	"testing"

	"candor/internal/mail"
)

// More messages than one transaction takes are copied all or none, moved and removed.
func TestMoreThanOneTransaction(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const n = removePortion + 1
	f.appendMany("INBOX", n-1)
	f.appendMany("INBOX", 1, "last")
	m := f.session("INBOX")
	all := m.State().UIDs

	var names []string
	for i := range MaxKeywords {
		names = append(names, fmt.Sprint("k", i))
	}
	f.appendMany("Sent", 1, names...)
	sent := f.session("Sent")
	if _, err := m.Copy(t.Context(), all, f.id("Sent")); !mail.IsKind(err, mail.TooMany) {
		t.Fatalf("copying to a mailbox without room for a keyword: got %v", err)
	}
	f.wantUIDs("left by a copy that failed", sent.State().UIDs, 1)
	f.checkMailbox("Sent")

	copied, err := m.Copy(t.Context(), all, f.id("Archive"))
	f.must(err)
	if !slices.Equal(copied.Source, all) || len(copied.Target) != n || copied.Target[n-1] != n {
		t.Errorf("%d are copied to %d", len(copied.Source), len(copied.Target))
	}
	f.checkMailbox("Archive")

	f.store1(m, AddFlags, all[1:], `\Deleted`)
	removed, at, err := m.Expunge(t.Context(), nil)
	f.must(err)
	if !slices.Equal(removed, all[1:]) || at != m.State().HighestModSeq {
		t.Errorf("%d are removed at %d, the mailbox is at %d", len(removed), at, m.State().HighestModSeq)
	}
	f.wantUIDs("left by EXPUNGE", m.State().UIDs, 1)
	f.checkMailbox("INBOX")

	archive := f.session("Archive")
	moved, err := archive.Move(t.Context(), archive.State().UIDs, f.id("INBOX"))
	f.must(err)
	if len(moved.Target) != n || len(archive.State().UIDs) != 0 || moved.ModSeq != archive.State().HighestModSeq {
		t.Errorf("%d are moved, %d are left", len(moved.Target), len(archive.State().UIDs))
	}
	f.checkMailbox("INBOX")
	f.checkMailbox("Archive")
	f.must(m.Remove(t.Context(), m.State().UIDs))
	f.wantUIDs("left by Remove", m.State().UIDs)
}
