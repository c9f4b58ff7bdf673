package mailbox

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Criteria is a search key of RFC 9051, section 6.4.4, as a tree. Sequence numbers have been turned
// into UIDs by the caller.
type Criteria struct {
	Op       Op
	Children []Criteria // And, Or, Not
	Flag     string     // HasFlag: IMAP name
	UIDs     []UID      // InUIDs: rising
	Field    string     // Header: field name, any case
	Text     string     // Header, Body, Text: UTF-8; empty matches every message (with the field). EmailID: it
	Size     int64      // Larger, Smaller
	Date     time.Time  // midnight; only the date counts, and time zones are disregarded
	ModSeq   ModSeq     // ModSeqFrom: at least
	Within   time.Duration
}

// Op is what a Criteria tests.
type Op uint8

// The tests. An And without children matches all.
const (
	And Op = iota
	Or
	Not
	HasFlag
	InUIDs
	Header     // also BCC, CC, FROM, SUBJECT, TO
	BodyText   // BODY
	AnyText    // TEXT
	Larger     // than Size
	Smaller    // than Size
	Before     // INTERNALDATE
	On         //
	Since      //
	SentBefore // Date field
	SentOn     //
	SentSince  //
	ModSeqFrom // RFC 7162, section 3.1.5
	Younger    // RFC 5032
	Older      // RFC 5032
	EmailID    // RFC 8474
	// RFC 8514; INTERNALDATE where the time is not known.
	SavedBefore
	SavedOn
	SavedSince
)

// Search returns the UIDs of universe (rising) that match. It decodes MIME encodings and charsets
// and compares without regard to case (i;unicode-casemap). Bodies are read by streaming, and only
// where nothing cheaper decides.
//
// A message that is expunged meanwhile does not match. Errors: NotFound (the mailbox).
func (m *Mailbox) Search(ctx context.Context, universe []UID, c Criteria) ([]UID, error) {
	return m.SearchInTurn(ctx, universe, c, func(context.Context, int) {})
}

// SearchInTurn is Search for one of many who want to search. It tells spend how many octets it is about to look at, or how
// many would take as long; spend may let others go first.
func (m *Mailbox) SearchInTurn(ctx context.Context, universe []UID, c Criteria, spend func(context.Context, int)) ([]UID, error) {
	if err := m.alive(); err != nil {
		return nil, err
	}
	m.account.store.stats.searches.Add(1)
	s := &search{mailbox: m, now: m.account.store.now(), spend: spend}
	root := s.compile(&c)
	var found []UID
	for chunk := range slices.Chunk(universe, entryChunk) {
		part, err := s.some(ctx, root, chunk)
		if err != nil {
			return nil, err
		}
		found = append(found, part...)
	}
	return found, nil
}

// some searches a part of the universe.
func (s *search) some(ctx context.Context, root *test, universe []UID) ([]UID, error) {
	s.entries = s.mailbox.Entries(s.entries[:0], universe)
	s.spend(ctx, len(s.entries)*s.tests*testEffort)
	found, open := s.fromTable(root, s.entries)
	if len(open) == 0 {
		return found, nil
	}
	more, err := s.fromRecords(ctx, root, open)
	if err != nil {
		return nil, err
	}
	found = append(found, more...)
	slices.Sort(found)
	return found, nil
}

// What a test in memory and the record of a message cost, in octets that take as long to look at.
const (
	testEffort   = 8
	recordEffort = 1 << 10
)

// search is one Search under way.
type search struct {
	mailbox *Mailbox
	now     time.Time
	entries []Entry // of the part that is being searched
	spend   func(context.Context, int)
	tests   int // how many there are
}

// cost says where the answer to a test comes from, the cheapest place first.
type cost uint8

const (
	costTable    cost = iota // the table in memory
	costRecord               // fixed fields of the record
	costEnvelope             // its attributes
	costHeader               // the header, in the blob
	costBody                 // the whole message
)

// test is a Criteria made ready. Its children are in the order of their costs.
type test struct {
	Criteria
	children []*test
	cost     cost
	flags    Flags
	finder   *finder
}

func (s *search) compile(c *Criteria) *test {
	t := &test{Criteria: *c, cost: costOf(c)}
	s.tests++
	for i := range c.Children {
		child := s.compile(&c.Children[i])
		t.children = append(t.children, child)
		t.cost = max(t.cost, child.cost)
	}
	slices.SortStableFunc(t.children, func(a, b *test) int { return int(a.cost) - int(b.cost) })
	switch c.Op {
	case HasFlag:
		t.flags, _ = s.mailbox.ParseFlags([]string{c.Flag})
	case Header, BodyText, AnyText:
		t.finder = newFinder(c.Text)
	}
	return t
}

func costOf(c *Criteria) cost {
	switch c.Op {
	case And, Or, Not, HasFlag, InUIDs, ModSeqFrom:
		return costTable
	case Larger, Smaller, Before, On, Since, Younger, Older, EmailID, SavedBefore, SavedOn, SavedSince:
		return costRecord
	case SentBefore, SentOn, SentSince:
		return costEnvelope
	case Header:
		if inEnvelope(c.Field, c.Text) {
			return costEnvelope
		}
		return costHeader
	}
	return costBody
}

// fromTable decides what the table can decide; the rest is left open.
func (s *search) fromTable(root *test, entries []Entry) (found, open []UID) {
	for i := range entries {
		switch s.guess(root, &entries[i]) {
		case yes:
			found = append(found, entries[i].UID)
		case unknown:
			open = append(open, entries[i].UID)
		}
	}
	return found, open
}

// verdict is the outcome of a test as far as it is known.
type verdict uint8

const (
	no verdict = iota
	unknown
	yes
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// guess tests an entry by what the table has. With no < unknown < yes, And is the least of its
// children and Or the greatest.
func (s *search) guess(t *test, e *Entry) verdict {
	switch t.Op {
	case And:
		return s.guessAll(t.children, e)
	case Not:
		return yes - s.guessAll(t.children, e)
	case Or:
		v := no
		for _, c := range t.children {
			if v = max(v, s.guess(c, e)); v == yes {
				break
			}
		}
		return v
	case HasFlag:
		return verdictOf(e.Flags&t.flags != 0)
	case InUIDs:
		_, ok := slices.BinarySearch(t.UIDs, e.UID)
		return verdictOf(ok)
	case ModSeqFrom:
		return verdictOf(e.ModSeq >= t.ModSeq)
	}
	return unknown
}

func (s *search) guessAll(tests []*test, e *Entry) verdict {
	v := yes
	for _, t := range tests {
		if v = min(v, s.guess(t, e)); v == no {
			break
		}
	}
	return v
}

// fromRecords decides about the messages that are open, each by as little reading as can be.
func (s *search) fromRecords(ctx context.Context, root *test, open []UID) ([]UID, error) {
	var found []UID
	err := s.mailbox.records(ctx, open, func(r *record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.spend(ctx, recordEffort)
		i, ok := slices.BinarySearchFunc(s.entries, r.uid, func(e Entry, u UID) int { return int(int64(e.UID) - int64(u)) })
		if !ok {
			return nil
		}
		c := &candidate{search: s, ctx: ctx, entry: s.entries[i], record: r}
		defer c.close()
		ok, err := c.matches(root)
		if ok {
			found = append(found, r.uid)
		}
		if isExpunged(err) {
			return nil
		}
		return err
	})
	return found, err
}

// inDay compares the dates of a and b as they are written, whatever their zones: -1, 0 or 1.
func inDay(a, b time.Time) int {
	return day(a).Compare(day(b))
}

func day(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// sentDate finds the date in a Date field. Only the day is wanted, so that a damaged time or zone
// does no harm. RFC 5322, section 3.3, with the years of section 4.3.
func sentDate(field string) (time.Time, bool) {
	if i := strings.IndexByte(field, ','); i >= 0 {
		field = field[i+1:]
	}
	words := strings.Fields(field)
	if len(words) < 3 {
		return time.Time{}, false
	}
	for _, layout := range []string{"2 Jan 2006", "2 January 2006", "2 Jan 06"} {
		if t, err := time.Parse(layout, strings.Join(words[:3], " ")); err == nil {
			return obsoleteYear(t, words[2]), true
		}
	}
	return time.Time{}, false
}

// obsoleteYear puts two-digit years into the century that RFC 5322, section 4.3 says.
func obsoleteYear(t time.Time, year string) time.Time {
	if len(year) == 2 && year < "50" && t.Year() < 2000 {
		return t.AddDate(100, 0, 0)
	}
	if len(year) == 2 && year >= "50" && t.Year() >= 2000 {
		return t.AddDate(-100, 0, 0)
	}
	return t
}
