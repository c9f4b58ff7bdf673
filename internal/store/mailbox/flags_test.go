package mailbox

import (
	"fmt"
	"slices"
	"testing"

	"candor/internal/mail"
)

func TestStoreModes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.session("INBOX")
	f.appendMany("INBOX", 1, `\Seen`)
	f.store1(m, AddFlags, []UID{1}, `\FLAGGED`, "work")
	f.wantFlags(m, 1, `\Seen`, `\Flagged`, "work")
	f.store1(m, RemoveFlags, []UID{1}, `\Seen`, "WORK", "never-seen")
	f.wantFlags(m, 1, `\Flagged`)
	f.store1(m, ReplaceFlags, []UID{1}, `\Draft`)
	f.wantFlags(m, 1, `\Draft`)
	f.checkMailbox("INBOX")
}

func TestRemovingAnUnknownKeywordMakesNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.session("INBOX")
	f.appendMany("INBOX", 1)
	if s := f.store1(m, RemoveFlags, []UID{1}, "never"); len(s.Changed) != 0 || len(m.State().Keywords) != 0 {
		t.Errorf("outcome is %+v, keywords %q", s, m.State().Keywords)
	}
}

// RFC 7162, section 3.1.3, and Change: what is as asked keeps its MODSEQ.
func TestStoreLeavesWhatIsAsAsked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.session("INBOX")
	f.appendMany("INBOX", 2)
	first := f.store1(m, AddFlags, []UID{1}, `\Seen`)
	second := f.store1(m, AddFlags, []UID{1, 2, 99}, `\Seen`)
	f.wantUIDs("changed", second.Changed, 2)
	e := m.Entries(nil, []UID{1, 2})
	if e[0].ModSeq != first.ModSeq || e[1].ModSeq != second.ModSeq || second.ModSeq <= first.ModSeq {
		t.Errorf("entries are %v after %v and %v", e, first, second)
	}
	third := f.store1(m, AddFlags, []UID{1, 2}, `\Seen`)
	if len(third.Changed) != 0 || third.ModSeq != second.ModSeq || m.State().HighestModSeq != second.ModSeq {
		t.Errorf("a STORE without effect gave %+v after %+v", third, second)
	}
}

func TestStoreUnchangedSince(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.session("INBOX")
	f.appendMany("INBOX", 3)
	since := m.State().HighestModSeq
	f.store1(m, AddFlags, []UID{2}, `\Seen`)
	before := m.State().HighestModSeq
	s, err := m.Store(t.Context(), Change{UIDs: []UID{1, 2, 3}, Mode: AddFlags, Flags: []string{`\Seen`}, UnchangedSince: &since})
	f.must(err)
	f.wantUIDs("changed", s.Changed, 1, 3)
	f.wantUIDs("modified", s.Modified, 2)
	if after := m.State().HighestModSeq; s.Before != before || s.ModSeq != after {
		t.Errorf("from %d to %d, want from %d to %d", s.Before, s.ModSeq, before, after)
	}
	none := ModSeq(0)
	s, err = m.Store(t.Context(), Change{UIDs: []UID{1}, Mode: AddFlags, Flags: []string{`\Flagged`}, UnchangedSince: &none})
	f.must(err)
	f.wantUIDs("modified", s.Modified, 1)
	f.checkMailbox("INBOX")
}

func TestKeywordsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.session("INBOX")
	f.appendMany("INBOX", 1)
	var names []string
	for i := range MaxKeywords {
		names = append(names, fmt.Sprintf("k%d", i))
	}
	f.store1(m, AddFlags, []UID{1}, names...)
	f.wantFlags(m, 1, names...)
	_, err := m.Store(t.Context(), Change{UIDs: []UID{1}, Mode: AddFlags, Flags: []string{"one-more"}})
	f.want(mail.TooMany, err)
	_, err = f.a.Append(t.Context(), f.id("INBOX"), []Message{f.message("\na\n", "one-more")}, nil)
	f.want(mail.TooMany, err)
	f.reopen()
	m = f.session("INBOX")
	f.wantFlags(m, 1, names...)
	if flags, missing := m.ParseFlags([]string{"K55", "one-more", `\Recent`}); flags != 1<<63 || !slices.Equal(missing, []string{"one-more"}) {
		t.Errorf("ParseFlags gave %x, %q", flags, missing)
	}
}

func TestKeywordsOfAStateDoNotChange(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.session("INBOX")
	f.appendMany("INBOX", 1, "a")
	before := m.State().Keywords
	f.store1(m, AddFlags, []UID{1}, "b", "c")
	f.store1(m, AddFlags, []UID{1}, "d")
	if !slices.Equal(before, []string{"a"}) || !slices.Equal(m.State().Keywords, []string{"a", "b", "c", "d"}) {
		t.Errorf("keywords were %q and are %q", before, m.State().Keywords)
	}
}
