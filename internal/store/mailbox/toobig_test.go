package mailbox

import (
	"testing"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// TestTooBigForOneTransaction: a change that the store cannot make at once is refused as a whole.
func TestTooBigForOneTransaction(t *testing.T) {
	f := newFixture(t)
	var uids []UID
	for range 10 {
		uids = append(uids, f.appendMany("INBOX", 50)...)
	}
	f.create("target")
	f.close()
	var err error
	f.db, err = kv.Open(t.Context(), kv.Options{Dir: f.dir, MaxTx: 10_000})
	f.must(err)
	f.open()
	f.a = f.account(account1)
	m := f.session("INBOX")
	before := f.status("INBOX")
	_, err = m.Store(t.Context(), Change{UIDs: uids, Mode: AddFlags, Flags: []string{`\Seen`}})
	f.want(mail.TooMany, err)
	_, err = m.Copy(t.Context(), uids, f.id("target"))
	f.want(mail.TooMany, err)
	_, err = m.Move(t.Context(), uids, f.id("target"))
	f.want(mail.TooMany, err)
	if after := f.status("INBOX"); after != before {
		t.Errorf("status %+v became %+v", before, after)
	}
	if n := f.status("target").Messages; n != 0 {
		t.Errorf("the target has %d messages", n)
	}
	f.store1(m, AddFlags, uids[:100], `\Seen`)
	f.checkMailbox("INBOX")
}
