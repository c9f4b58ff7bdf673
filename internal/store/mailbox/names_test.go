package mailbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"candor/internal/mail"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"inbox": "INBOX", "InBoX/Child": "INBOX/Child", "inboxes": "inboxes", "a/inbox": "a/inbox",
		"Caf\u0065\u0301": "Caf\u00e9", "日本/語": "日本/語", "a b*%": "a b*%", "..": "..",
	} {
		if got, err := parseName(in); got != want || err != nil {
			t.Errorf("parseName(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for name, in := range map[string]string{
		"empty": "", "empty component": "a//b", "separator first": "/a", "separator last": "a/", "control": "a\x01",
		"line separator": "a\u2028", "not UTF-8": "a\xff", "too long": strings.Repeat("x", maxName+1),
		"too deep": strings.Repeat("a/", maxDepth) + "a",
	} {
		if got, err := parseName(in); !mail.IsKind(err, mail.Syntax) {
			t.Errorf("%s: parseName gave %q, %v", name, got, err)
		}
	}
}

// wantNames fails unless the account has these mailboxes beside the default ones; NoSelect ones in parentheses.
func (f *fixture) wantNames(want ...string) {
	f.t.Helper()
	all, err := f.a.Mailboxes(f.t.Context())
	f.must(err)
	var got []string
	for _, m := range all {
		if slices.ContainsFunc(defaults, func(d struct {
			name string
			use  SpecialUse
		},
		) bool {
			return d.name == m.Name
		}) {
			continue
		}
		if m.NoSelect {
			m.Name = "(" + m.Name + ")"
		}
		got = append(got, m.Name)
	}
	if !slices.Equal(got, want) {
		f.t.Fatalf("mailboxes are %q, want %q", got, want)
	}
}

func (f *fixture) create(name string) Info {
	f.t.Helper()
	m, err := f.a.Create(f.t.Context(), name, "")
	f.must(err)
	return m
}

func TestNewAccountHasTheDefaults(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.must(f.store.CreateAccount(t.Context(), account1))
	all, err := f.a.Mailboxes(t.Context())
	f.must(err)
	var got []string
	validities := make(map[UIDValidity]bool)
	for _, m := range all {
		got = append(got, fmt.Sprintf("%s %s %t", m.Name, m.SpecialUse, m.Subscribed))
		validities[m.UIDValidity] = true
	}
	want := []string{`INBOX  true`, `Archive \Archive true`, `Drafts \Drafts true`, `Junk \Junk true`, `Sent \Sent true`, `Trash \Trash true`}
	if !slices.Equal(got, want) || len(validities) != len(want) {
		t.Errorf("mailboxes are %q with %d values of UIDVALIDITY, want %q", got, len(validities), want)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.create("a/b/c")
	f.wantNames("a", "a/b", "a/b/c")
	f.create("d/")
	f.create("inbox/e")
	f.wantNames("INBOX/e", "a", "a/b", "a/b/c", "d")
	for _, name := range []string{"a", "a/b", "Inbox", "d/"} {
		_, err := f.a.Create(t.Context(), name, "")
		f.want(mail.Exists, err)
	}
	if m, err := f.a.Lookup(t.Context(), "INBOX/e"); err != nil || m.ID == 0 {
		t.Errorf("Lookup gave %+v, %v", m, err)
	}
	_, err := f.a.Lookup(t.Context(), "a/x")
	f.want(mail.NotFound, err)
	_, err = f.a.Lookup(t.Context(), "a//x")
	f.want(mail.NotFound, err)
}

func TestSpecialUseIsHadOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.a.Create(t.Context(), "more", UseSent)
	f.want(mail.Unsupported, err)
	_, err = f.a.Create(t.Context(), "more", `\All`)
	f.want(mail.Unsupported, err)
	f.must(f.a.Delete(t.Context(), "Sent"))
	m, err := f.a.Create(t.Context(), "more", `\sent`)
	f.must(err)
	if m.SpecialUse != UseSent {
		t.Errorf("made %+v", m)
	}
	f.must(f.a.Rename(t.Context(), "more", "most"))
	if m, err = f.a.Lookup(t.Context(), "most"); err != nil || m.SpecialUse != UseSent {
		t.Errorf("renamed %+v, %v", m, err)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.create("a/b/c")
	f.append("a/b", "\nx\n")
	before := f.status("a/b")
	f.must(f.a.Delete(t.Context(), "a/b"))
	f.wantNames("a", "(a/b)", "a/b/c")
	_, err := f.a.Open(t.Context(), f.id("a/b"))
	f.want(mail.NotFound, err)
	_, err = f.a.Status(t.Context(), f.id("a/b"))
	f.want(mail.NotFound, err)
	f.want(mail.Forbidden, f.a.Delete(t.Context(), "a/b"))

	// A NoSelect that is made again is a new mailbox.
	f.create("a/b")
	f.wantNames("a", "a/b", "a/b/c")
	if st := f.status("a/b"); st.Messages != 0 || st.UIDValidity <= before.UIDValidity {
		t.Errorf("status of the new mailbox is %+v, of the old one it was %+v", st, before)
	}

	// A NoSelect vanishes with its last child.
	f.must(f.a.Delete(t.Context(), "a/b"))
	f.must(f.a.Delete(t.Context(), "a/b/c"))
	f.wantNames("a")
	f.want(mail.Forbidden, f.a.Delete(t.Context(), "inbox"))
	f.want(mail.NotFound, f.a.Delete(t.Context(), "a/b"))
}

// RFC 9051, section 6.3.4: a mailbox made anew under an old name gets a greater UIDVALIDITY, however
// quickly it is made.
func TestUIDValidityIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	last := UIDValidity(0)
	for range 3 {
		m := f.create("a")
		if m.UIDValidity <= last {
			t.Fatalf("UIDVALIDITY is %d after %d", m.UIDValidity, last)
		}
		last = m.UIDValidity
		f.must(f.a.Delete(t.Context(), "a"))
		f.reopen()
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.create("a/b/c")
	f.create("ab")
	f.append("a/b", "\nx\n")
	m := f.session("a/b")
	f.must(f.a.Rename(t.Context(), "a", "z/y"))
	f.wantNames("ab", "z", "z/y", "z/y/b", "z/y/b/c")
	if name := m.State().Info.Name; name != "z/y/b" {
		t.Errorf("the open mailbox has the name %q", name)
	}
	if id := f.id("z/y/b"); id != m.State().Info.ID {
		t.Errorf("the mailbox's ID became %d", id)
	}
	f.checkMailbox("z/y/b")
	f.want(mail.NotFound, f.a.Rename(t.Context(), "a", "q"))
	f.want(mail.Exists, f.a.Rename(t.Context(), "ab", "z"))
	f.want(mail.Exists, f.a.Rename(t.Context(), "ab", "inbox"))
	f.want(mail.Exists, f.a.Rename(t.Context(), "ab", "ab"))
	f.want(mail.Forbidden, f.a.Rename(t.Context(), "z", "z/q"))
	f.want(mail.Syntax, f.a.Rename(t.Context(), "ab", "q//r"))
	f.want(mail.Syntax, f.a.Rename(t.Context(), "z", strings.Repeat("x", maxName-3)))
	f.wantNames("ab", "z", "z/y", "z/y/b", "z/y/b/c")
}

func TestRenameInboxMovesTheMessages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.create("INBOX/child")
	f.appendMany("INBOX", inboxBatch+5, "key", `\Seen`)
	m := f.session("INBOX")
	validity := m.State().Info.UIDValidity
	f.must(f.a.Rename(t.Context(), "Inbox", "old/mail"))
	f.wantNames("INBOX/child", "old", "old/mail")
	if st := f.status("INBOX"); st.Messages != 0 || st.UIDValidity != validity || st.UIDNext != inboxBatch+6 {
		t.Errorf("status of INBOX is %+v", st)
	}
	if st := f.status("old/mail"); st.Messages != inboxBatch+5 || st.Unseen != 0 {
		t.Errorf("status of the new mailbox is %+v", st)
	}
	f.wantFlags(f.session("old/mail"), inboxBatch+5, `\Seen`, "key")
	f.checkMailbox("INBOX")
	f.checkMailbox("old/mail")
	f.want(mail.Exists, f.a.Rename(t.Context(), "inbox", "old"))
}

func TestSubscriptionsOutliveTheMailbox(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.create("a")
	f.must(f.a.Subscribe(t.Context(), "a"))
	f.must(f.a.Subscribe(t.Context(), "a"))
	f.must(f.a.Subscribe(t.Context(), "never/made"))
	f.must(f.a.Unsubscribe(t.Context(), "inbox"))
	f.must(f.a.Unsubscribe(t.Context(), "inbox"))
	f.must(f.a.Delete(t.Context(), "a"))
	f.reopen()
	got, err := f.a.Subscriptions(t.Context())
	f.must(err)
	if want := []string{"Archive", "Drafts", "Junk", "Sent", "Trash", "a", "never/made"}; !slices.Equal(got, want) {
		t.Errorf("subscriptions are %q, want %q", got, want)
	}
	if m := f.create("a"); !m.Subscribed {
		t.Error("a mailbox made under a subscribed name is not subscribed")
	}
	f.want(mail.Syntax, f.a.Subscribe(t.Context(), "a//b"))
}

func TestOpenMailboxLearnsItsSubscription(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.session("INBOX")
	f.must(f.a.Unsubscribe(t.Context(), "INBOX"))
	if m.State().Info.Subscribed {
		t.Error("still subscribed")
	}
}

func TestMailboxesAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.harmed = true
	f.must(f.a.update(t.Context(), func(c *change) error {
		c.row.mailboxes, c.row.subscriptions, c.written = maxMailboxes-1, maxSubscriptions, true
		return nil
	}))
	f.create("a")
	_, err := f.a.Create(t.Context(), "b", "")
	f.want(mail.TooMany, err)
	_, err = f.a.Create(t.Context(), "a/b/c", "")
	f.want(mail.TooMany, err)
	f.want(mail.TooMany, f.a.Subscribe(t.Context(), "a"))
}
