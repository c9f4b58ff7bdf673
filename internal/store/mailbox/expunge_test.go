package mailbox

import (
	"testing"

	"candor/internal/mail"
)

func TestExpunge(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 5)
	m := f.session("INBOX")
	f.store1(m, AddFlags, []UID{1, 3, 4}, `\Deleted`)
	removed, at, err := m.Expunge(t.Context(), []UID{2, 3})
	f.must(err)
	f.wantUIDs("UID EXPUNGE 2:3", removed, 3)
	if at != m.State().HighestModSeq {
		t.Errorf("MODSEQ is %d, HIGHESTMODSEQ %d", at, m.State().HighestModSeq)
	}
	removed, _, err = m.Expunge(t.Context(), []UID{})
	f.must(err)
	f.wantUIDs("UID EXPUNGE of none", removed)
	removed, last, err := m.Expunge(t.Context(), nil)
	f.must(err)
	f.wantUIDs("EXPUNGE", removed, 1, 4)
	removed, at, err = m.Expunge(t.Context(), nil)
	f.must(err)
	f.wantUIDs("EXPUNGE again", removed)
	if at != last || m.State().HighestModSeq != last {
		t.Errorf("an EXPUNGE of nothing made a MODSEQ: %d, was %d", at, last)
	}
	f.wantUIDs("left", m.State().UIDs, 2, 5)
	f.checkMailbox("INBOX")
	_, err = m.OpenBody(t.Context(), 1)
	f.want(mail.Expunged, err)
}

func TestUIDsAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 3)
	f.must(f.session("INBOX").Remove(t.Context(), []UID{1, 2, 3, 9}))
	f.reopen()
	f.wantUIDs("next", f.appendMany("INBOX", 1), 4)
	f.checkMailbox("INBOX")
}
