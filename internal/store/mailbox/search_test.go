package mailbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"candor/internal/mail"
)

// searched is the messages that the tests search, by UID.
var searched = []struct {
	text     string
	flags    []string
	received time.Time
}{
	1: {
		"From: \"Smith, Ann\" <ann@example.org>\nTo: Bob <bob@example.net>\nSubject: Quarterly report\nDate: Fri, 17 May 2024 23:30:00 -0700\nMessage-ID: <one@example.org>\nX-Mark: deep\n\nplain text about pears\n",
		[]string{`\Seen`, "$Work"},
		time.Date(2024, 5, 18, 1, 0, 0, 0, time.FixedZone("", 7200)),
	},
	2: {
		"From: =?utf-8?q?J=C3=B6rg?= <jorg@example.org>\nTo: list@example.net\nCc: ann@example.org\nSubject: =?utf-8?b?w4RwZmVs?= und\n Birnen\nDate: 1 Jan 24 10:00 GMT\nMIME-Version: 1.0\n" +
			"Content-Type: multipart/mixed; boundary=b\n\nnot this preamble\n--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nStra=DFe und S=FCd=\nfr=FCchte\n" +
			"--b\nContent-Type: application/pdf; name=\"invoice.pdf\"\nContent-Transfer-Encoding: base64\n\naGlkZGVu\n--b\nContent-Type: message/rfc822\n\nSubject: inner subject\n\ninner body\n--b--\n",
		[]string{`\Flagged`},
		time.Date(2024, 1, 1, 10, 0, 0, 0, time.UTC),
	},
	3: {
		"Subject:\nContent-Transfer-Encoding: x-strange\n\nraw octets\n" + strings.Repeat("padding line\n", 3000) + "the very end\n",
		nil,
		time.Date(2023, 12, 31, 23, 59, 59, 0, time.UTC),
	},
	4: {
		"From: carol@example.com (Carol)\nBcc: secret@example.org\nSubject: re: pears\nIn-Reply-To: <one@example.org>\nDate: nonsense\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" +
			"xIVwcGxlcyBhbmQgw4Rw\nZmVsIGFuZCDvrIFnCg==\n",
		[]string{`\Deleted`},
		time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC),
	},
}

func newSearchFixture(t *testing.T) (*fixture, *Mailbox) {
	t.Helper()
	f := newFixture(t)
	for _, s := range searched[1:] {
		m := f.message(s.text, s.flags...)
		m.Received = s.received
		_, err := f.a.Append(t.Context(), f.id("INBOX"), []Message{m}, nil)
		f.must(err)
	}
	return f, f.session("INBOX")
}

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func field(name, text string) Criteria { return Criteria{Op: Header, Field: name, Text: text} }

func TestSearch(t *testing.T) {
	t.Parallel()
	f, m := newSearchFixture(t)
	for name, test := range map[string]struct {
		c    Criteria
		want []UID
	}{
		"all":                     {Criteria{}, []UID{1, 2, 3, 4}},
		"none":                    {Criteria{Op: Or}, nil},
		"flag":                    {Criteria{Op: HasFlag, Flag: `\seen`}, []UID{1}},
		"keyword":                 {Criteria{Op: HasFlag, Flag: "$WORK"}, []UID{1}},
		"unknown keyword":         {Criteria{Op: HasFlag, Flag: "other"}, nil},
		"not flag":                {Criteria{Op: Not, Children: []Criteria{{Op: HasFlag, Flag: `\Seen`}}}, []UID{2, 3, 4}},
		"uids":                    {Criteria{Op: InUIDs, UIDs: []UID{2, 4, 9}}, []UID{2, 4}},
		"modseq":                  {Criteria{Op: ModSeqFrom, ModSeq: m.State().HighestModSeq}, []UID{4}},
		"larger":                  {Criteria{Op: Larger, Size: 10_000}, []UID{3}},
		"smaller":                 {Criteria{Op: Smaller, Size: 10_000}, []UID{1, 2, 4}},
		"before":                  {Criteria{Op: Before, Date: date(2024, 1, 1)}, []UID{3}},
		"on":                      {Criteria{Op: On, Date: date(2024, 5, 18)}, []UID{1}},
		"since":                   {Criteria{Op: Since, Date: date(2024, 5, 18)}, []UID{1, 4}},
		"sent before":             {Criteria{Op: SentBefore, Date: date(2024, 1, 2)}, []UID{2}},
		"sent on":                 {Criteria{Op: SentOn, Date: date(2024, 5, 17)}, []UID{1}},
		"sent since":              {Criteria{Op: SentSince, Date: date(2024, 1, 1)}, []UID{1, 2}},
		"younger":                 {Criteria{Op: Younger, Within: time.Hour}, nil},
		"older":                   {Criteria{Op: Older, Within: time.Hour}, []UID{1, 2, 3, 4}},
		"subject":                 {field("Subject", "REPORT"), []UID{1}},
		"subject, encoded":        {field("subject", "äPFEL UND BIRNEN"), []UID{2}},
		"subject, present":        {field("Subject", ""), []UID{1, 2, 3, 4}},
		"from, address":           {field("From", "ann@EXAMPLE.org"), []UID{1}},
		"from, name":              {field("From", "jörg"), []UID{2}},
		"from, with punctuation":  {field("From", `"smith, ann" <ann`), []UID{1}},
		"from, with comment":      {field("From", "(carol"), []UID{4}},
		"to":                      {field("To", "example.net"), []UID{1, 2}},
		"cc":                      {field("Cc", "ann"), []UID{2}},
		"bcc":                     {field("Bcc", "secret@example.org"), []UID{4}},
		"message-id":              {field("Message-ID", "<one@example"), []UID{1}},
		"in-reply-to":             {field("In-Reply-To", "one@"), []UID{4}},
		"other field":             {field("x-mark", "DEEP"), []UID{1}},
		"other field, present":    {field("X-Mark", ""), []UID{1}},
		"sender is not From":      {field("Sender", "ann"), nil},
		"body":                    {Criteria{Op: BodyText, Text: "PEARS"}, []UID{1}},
		"body, quoted-printable":  {Criteria{Op: BodyText, Text: "straße und südfrüchte"}, []UID{2}},
		"body, base64":            {Criteria{Op: BodyText, Text: "ĄPPLES AND ÄPFEL"}, []UID{4}},
		"body, ligature":          {Criteria{Op: BodyText, Text: "and FIG"}, []UID{4}},
		"body, decomposed":        {Criteria{Op: BodyText, Text: "A\u0308pfel"}, []UID{4}},
		"body, inner":             {Criteria{Op: BodyText, Text: "inner body"}, []UID{2}},
		"body, inner header":      {Criteria{Op: BodyText, Text: "subject: inner"}, []UID{2}},
		"body, attachment name":   {Criteria{Op: BodyText, Text: "invoice.pdf"}, []UID{2}},
		"body, not attachment":    {Criteria{Op: BodyText, Text: "hidden"}, nil},
		"body, not preamble":      {Criteria{Op: BodyText, Text: "preamble"}, nil},
		"body, unknown encoding":  {Criteria{Op: BodyText, Text: "the very end"}, []UID{3}},
		"body, not header":        {Criteria{Op: BodyText, Text: "quarterly"}, nil},
		"body, empty":             {Criteria{Op: BodyText}, []UID{1, 2, 3, 4}},
		"text, header":            {Criteria{Op: AnyText, Text: "subject: quarterly"}, []UID{1}},
		"text, body":              {Criteria{Op: AnyText, Text: "pears"}, []UID{1, 4}},
		"or":                      {Criteria{Op: Or, Children: []Criteria{{Op: BodyText, Text: "pears"}, {Op: HasFlag, Flag: `\Deleted`}}}, []UID{1, 4}},
		"and":                     {Criteria{Children: []Criteria{{Op: AnyText, Text: "pears"}, {Op: HasFlag, Flag: `\Deleted`}}}, []UID{4}},
		"not of record":           {Criteria{Op: Not, Children: []Criteria{{Op: Larger, Size: 10_000}}}, []UID{1, 2, 4}},
		"not of body":             {Criteria{Op: Not, Children: []Criteria{{Op: AnyText, Text: "pears"}}}, []UID{2, 3}},
		"nested":                  {Criteria{Op: Not, Children: []Criteria{{Op: Or, Children: []Criteria{{Op: Not, Children: []Criteria{field("To", "bob")}}, {Op: HasFlag, Flag: `\Flagged`}}}}}, []UID{1}},
		"deleted and not deleted": {Criteria{Children: []Criteria{{Op: HasFlag, Flag: `\Deleted`}, {Op: Not, Children: []Criteria{{Op: HasFlag, Flag: `\Deleted`}}}}}, nil},
	} {
		got, err := m.Search(t.Context(), m.State().UIDs, test.c)
		f.must(err)
		f.wantUIDs(name, got, test.want...)
	}
}

func TestSearchStaysInItsUniverse(t *testing.T) {
	t.Parallel()
	f, m := newSearchFixture(t)
	got, err := m.Search(t.Context(), []UID{2, 3, 77}, Criteria{Op: Not, Children: []Criteria{{Op: Larger, Size: 10_000}}})
	f.must(err)
	f.wantUIDs("found", got, 2)
	f.must(m.Remove(t.Context(), []UID{2}))
	got, err = m.Search(t.Context(), []UID{2, 3}, Criteria{Op: AnyText, Text: "inner"})
	f.must(err)
	f.wantUIDs("found after the removal", got)
}

// What the table and the records decide must not open a body.
func TestSearchOpensNoBodyInVain(t *testing.T) {
	t.Parallel()
	f, m := newSearchFixture(t)
	for name, c := range map[string]Criteria{
		"flag before body":     {Children: []Criteria{{Op: BodyText, Text: "pears"}, {Op: HasFlag, Flag: `\Answered`}}},
		"size before body":     {Children: []Criteria{{Op: AnyText, Text: "pears"}, {Op: Larger, Size: 1 << 40}}},
		"envelope before body": {Children: []Criteria{{Op: AnyText, Text: "pears"}, field("Subject", "nowhere")}},
		"or by flag":           {Op: Or, Children: []Criteria{{Op: AnyText, Text: "pears"}, {Op: Smaller, Size: 1 << 40}}},
		"envelope":             field("From", "example.org"),
		"sent date":            {Op: SentSince, Date: date(2024, 1, 1)},
	} {
		before := f.store.Stats().Searched
		_, err := m.Search(t.Context(), m.State().UIDs, c)
		f.must(err)
		if n := f.store.Stats().Searched - before; n != 0 {
			t.Errorf("%s: %d bodies were opened", name, n)
		}
	}
}

func TestSearchCanBeCancelled(t *testing.T) {
	t.Parallel()
	_, m := newSearchFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Search(ctx, m.State().UIDs, Criteria{Op: BodyText, Text: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestFinderMatchesAcrossBorders(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("x", finderBuffer-3) + "Ünï—çødé fin" + strings.Repeat("y", 2*finderBuffer)
	for _, want := range []string{"ünï—çØDÉ FIN", "xü", "FINY", "é f"} {
		if ok, err := newFinder(want).in(t.Context(), strings.NewReader(text)); !ok || err != nil {
			t.Errorf("%q: found %t, %v", want, ok, err)
		}
		if ok, err := newFinder(want).in(t.Context(), iotest.OneByteReader(strings.NewReader(text[finderBuffer-10:finderBuffer+30]))); !ok || err != nil {
			t.Errorf("%q, octet by octet: found %t, %v", want, ok, err)
		}
	}
	for _, absent := range []string{"xy", "finx", strings.Repeat("y", 3*finderBuffer)} {
		if ok, err := newFinder(absent).in(t.Context(), strings.NewReader(text)); ok || err != nil {
			t.Errorf("%.20q: found %t, %v", absent, ok, err)
		}
	}
	broken := errors.New("disk")
	if _, err := newFinder("z").in(t.Context(), iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
}

func TestSentDate(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Time{
		"Fri, 17 May 2024 23:30:00 -0700": date(2024, 5, 17), "17 May 2024": date(2024, 5, 17), "Fri, 1 Jan 49 00:00 GMT": date(2049, 1, 1),
		"Fri, 1 Jan 50 00:00 GMT": date(1950, 1, 1), "1 Jan 70 x": date(1970, 1, 1), "Fri,  7 Sep  2001 10:00:00 junk": date(2001, 9, 7),
		"5 september 2020 1:1": date(2020, 9, 5),
	} {
		if got, ok := sentDate(in); !ok || !got.Equal(want) {
			t.Errorf("sentDate(%q) = %s, %t; want %s", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "nonsense", "May 17 2024", "32 May 2024", "17 May", ","} {
		if got, ok := sentDate(in); ok {
			t.Errorf("sentDate(%q) = %s", in, got)
		}
	}
}

// A search must stay right while the mailbox changes under it.
func TestSearchDuringExpunge(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 40 {
		f.append("INBOX", fmt.Sprintf("Subject: %d\n\nneedle\n", i))
	}
	m := f.session("INBOX")
	all := m.State().UIDs
	done := make(chan error)
	go func() {
		var err error
		for i := 0; i < 40 && err == nil; i += 2 {
			err = m.Remove(t.Context(), []UID{all[i]})
		}
		done <- err
	}()
	for range 20 {
		got, err := m.Search(t.Context(), all, Criteria{Op: BodyText, Text: "needle"})
		if err != nil && !mail.IsKind(err, mail.Expunged) {
			t.Error(err)
		}
		if len(got) < 20 {
			t.Errorf("found %d messages, 20 stay for ever", len(got))
		}
	}
	f.must(<-done)
}

// TestSearchOfGreatMessages: few are looked at at a time, since their attributes take much memory.
func TestSearchOfGreatMessages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.append("INBOX", "Content-Type: multipart/mixed; boundary=b\n\n"+strings.Repeat("--b\n\nx\n", 8000))
	m := f.session("INBOX")
	needle := Criteria{Op: BodyText, Text: "x"}
	for range 2 * greatAtOnce {
		found, err := m.Search(t.Context(), []UID{1}, needle)
		f.must(err)
		f.wantUIDs("found", found, 1)
	}
	for range greatAtOnce {
		f.store.great <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if found, err := m.Search(ctx, []UID{1}, needle); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v while others have their turn", found, err)
	}
	<-f.store.great
	_, err := m.Search(t.Context(), []UID{1}, needle)
	f.must(err)
}
