package mailbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// verification verifies the mail of accounts that the directory knows all but one of.
func verification(f *fixture) func(*kv.Verification) error {
	return func(v *kv.Verification) error {
		known := map[mail.AccountID]string{}
		end := []byte{keySpace + 1}
		for from := accountPrefix(noAccount + 1); ; {
			k, err := first(v, from, end)
			if err != nil {
				return err
			}
			if k == nil {
				break
			}
			if id := mail.AccountID(binary.BigEndian.Uint64(append(k, make([]byte, 8)...)[1:])); id != unknownAccount && len(k) > 9 {
				known[id] = fmt.Sprintf("%d@example.org", id)
			}
			from = kv.PrefixEnd(k[:min(9, len(k))])
		}
		verifier, err := NewVerifier(v, VerifyOptions{Accounts: known, Adopt: func(tx kv.Tx, id mail.AccountID) error {
			tx.DeleteRange(accountPrefix(id), kv.PrefixEnd(accountPrefix(id)))
			return nil
		}})
		if err != nil {
			return err
		}
		if err := v.Links(verifier); err != nil {
			return err
		}
		return verifier.Rows()
	}
}

// unknownAccount is one that the directory does not know.
const unknownAccount mail.AccountID = 9

// verify returns the ids of what is wrong.
func (f *fixture) verify() (found []string) {
	f.t.Helper()
	_, err := f.db.(*kv.Engine).Verify(context.WithoutCancel(f.t.Context()), kv.VerifyOptions{Report: func(finding kv.Finding) {
		found = append(found, finding.ID)
		f.t.Log(finding)
	}}, verification(f))
	f.must(err)
	slices.Sort(found)
	return found
}

// wantClean fails for each thing that is wrong.
func (f *fixture) wantClean() {
	f.t.Helper()
	if found := f.verify(); len(found) > 0 {
		f.t.Errorf("found %q, want nothing", found)
	}
}

// mailRows are all rows, but for those that a mend may change in any mailbox that it touches.
func (f *fixture) mailRows() map[string]string {
	f.t.Helper()
	rows := map[string]string{}
	f.must(f.db.View(f.t.Context(), func(r kv.Reader) error {
		for p, err := range r.Scan([]byte{0}, nil) {
			if err != nil {
				return err
			}
			rows[string(p.Key)] = string(p.Value)
		}
		return nil
	}))
	return rows
}

// damage is a way in which a store can be harmed.
type damage struct {
	name string
	harm func(d *damagedStore, tx kv.Tx)
	want []string // the ids of the findings
	// changed names the messages of INBOX that are not afterwards what they were.
	changed []UID
	gone    []UID // of these, those without a successor
}

// damagedStore is what a damage works on.
type damagedStore struct {
	*fixture
	inbox, sent ID
}

func (d *damagedStore) edit(tx kv.Tx, k []byte, f func([]byte) []byte) {
	v, err := tx.Get(k)
	d.must(err)
	tx.Set(k, f(bytes.Clone(v)))
}

func (d *damagedStore) counters(tx kv.Tx, f func(*counters)) {
	d.edit(tx, mailboxKey(account1, kindCounters, d.inbox), func(v []byte) []byte {
		c, err := decodeCounters(v)
		d.must(err)
		f(&c)
		return c.encode()
	})
}

func (d *damagedStore) accountRow(tx kv.Tx, f func(*accountRow)) {
	d.edit(tx, key(account1, kindAccount, 0), func(v []byte) []byte {
		row, err := decodeAccountRow(v)
		d.must(err)
		f(&row)
		return row.encode()
	})
}

func (d *damagedStore) hot(uid UID) []byte    { return uidKey(account1, kindHot, d.inbox, uid) }
func (d *damagedStore) record(uid UID) []byte { return uidKey(account1, kindRecord, d.inbox, uid) }

func (d *damagedStore) blob(tx kv.Tx, uid UID) kv.BlobID {
	v, err := tx.Get(d.record(uid))
	d.must(err)
	r, err := decodeRecord(uid, v)
	d.must(err)
	return r.blob
}

func garbage([]byte) []byte { return []byte{0xff} }

var damages = []damage{
	{"messages miscounted", func(d *damagedStore, tx kv.Tx) { d.counters(tx, func(c *counters) { c.messages++; c.unseen = 0 }) }, []string{"mailbox-counts"}, nil, nil},
	{"octets miscounted", func(d *damagedStore, tx kv.Tx) { d.counters(tx, func(c *counters) { c.size = 1 }) }, []string{"mailbox-counts"}, nil, nil},
	{"UIDNEXT too low", func(d *damagedStore, tx kv.Tx) { d.counters(tx, func(c *counters) { c.uidNext = 2 }) }, []string{"mailbox-counts"}, nil, nil},
	{"HIGHESTMODSEQ too low", func(d *damagedStore, tx kv.Tx) { d.counters(tx, func(c *counters) { c.highest-- }) }, []string{"mailbox-counts"}, nil, nil},
	{"counters lost", func(d *damagedStore, tx kv.Tx) { tx.Delete(mailboxKey(account1, kindCounters, d.inbox)) }, []string{"mailbox-counters"}, nil, nil},
	{"counters garbled", func(d *damagedStore, tx kv.Tx) { d.edit(tx, mailboxKey(account1, kindCounters, d.inbox), garbage) }, []string{"mailbox-counters"}, nil, nil},
	{"log row lost", func(d *damagedStore, tx kv.Tx) {
		k, err := first(tx, mailboxKey(account1, kindLog, d.inbox), nil)
		d.must(err)
		tx.Delete(k)
	}, []string{"mailbox-log"}, nil, nil},
	{"log row garbled", func(d *damagedStore, tx kv.Tx) {
		k, err := first(tx, mailboxKey(account1, kindLog, d.inbox), nil)
		d.must(err)
		d.edit(tx, k, garbage)
	}, []string{"mailbox-log"}, nil, nil},
	{"log begins too late", func(d *damagedStore, tx kv.Tx) { d.counters(tx, func(c *counters) { c.floor += 2 }) }, []string{"mailbox-log"}, nil, nil},
	{"mailbox row lost", func(d *damagedStore, tx kv.Tx) { tx.Delete(mailboxKey(account1, kindMailbox, d.sent)) }, []string{"mailbox-row"}, nil, nil},
	{"mailbox row and name lost", func(d *damagedStore, tx kv.Tx) {
		tx.Delete(mailboxKey(account1, kindMailbox, d.sent))
		tx.Delete(nameKey(account1, kindName, "Sent"))
	}, []string{"mailbox-row"}, nil, nil},
	{"mailbox row garbled", func(d *damagedStore, tx kv.Tx) { d.edit(tx, mailboxKey(account1, kindMailbox, d.sent), garbage) }, []string{"mailbox-row"}, nil, nil},
	{"two of one name", func(d *damagedStore, tx kv.Tx) {
		d.edit(tx, mailboxKey(account1, kindMailbox, d.sent), func(v []byte) []byte {
			row, err := decodeMailboxRow(v)
			d.must(err)
			row.name = "Drafts"
			return row.encode()
		})
		tx.Delete(nameKey(account1, kindName, "Sent"))
	}, []string{"mailbox-name"}, nil, nil},
	{"name that cannot be", func(d *damagedStore, tx kv.Tx) {
		d.edit(tx, mailboxKey(account1, kindMailbox, d.sent), func(v []byte) []byte {
			row, err := decodeMailboxRow(v)
			d.must(err)
			row.name = "a//b\n"
			return row.encode()
		})
		tx.Delete(nameKey(account1, kindName, "Sent"))
	}, []string{"mailbox-name"}, nil, nil},
	{"name lost", func(d *damagedStore, tx kv.Tx) { tx.Delete(nameKey(account1, kindName, "Sent")) }, []string{"name-index"}, nil, nil},
	{"name leads nowhere", func(d *damagedStore, tx kv.Tx) { tx.Set(nameKey(account1, kindName, "Nowhere"), encodeID(77)) }, []string{"name-index"}, nil, nil},
	{"name garbled", func(d *damagedStore, tx kv.Tx) { tx.Set(nameKey(account1, kindName, "Nowhere"), []byte{1}) }, []string{"name-index"}, nil, nil},
	{"second name", func(d *damagedStore, tx kv.Tx) { tx.Set(nameKey(account1, kindName, "Other"), encodeID(d.sent)) }, []string{"name-index"}, nil, nil},
	{"INBOX lost", func(d *damagedStore, tx kv.Tx) {
		for _, kind := range []byte{kindMailbox, kindCounters, kindHot, kindLog, kindRecord} {
			p := mailboxKey(account1, kind, d.inbox)
			tx.DeleteRange(p, kv.PrefixEnd(p))
		}
		tx.Delete(nameKey(account1, kindName, inbox))
	}, []string{"account-counts", "inbox-missing", "link-stray", "link-stray", "link-stray", "link-stray"}, []UID{1, 2, 3, 4}, []UID{1, 2, 3, 4}},
	{"account row lost", func(d *damagedStore, tx kv.Tx) { tx.Delete(key(account1, kindAccount, 0)) }, []string{"account-row"}, nil, nil},
	{"account row garbled", func(d *damagedStore, tx kv.Tx) { d.edit(tx, key(account1, kindAccount, 0), garbage) }, []string{"account-row"}, nil, nil},
	{"account miscounted", func(d *damagedStore, tx kv.Tx) {
		d.accountRow(tx, func(r *accountRow) { r.mailboxes, r.subscriptions, r.modSeq, r.lastID, r.uidValidity = 1, 1, 1, 1, 1 })
	}, []string{"account-counts"}, nil, nil},
	{"subscription that cannot be", func(d *damagedStore, tx kv.Tx) {
		tx.Set(nameKey(account1, kindSubscription, "a//b"), nil)
		d.accountRow(tx, func(r *accountRow) { r.subscriptions++ })
	}, []string{"subscription"}, nil, nil},
	{"flags lost", func(d *damagedStore, tx kv.Tx) { tx.Delete(d.hot(2)) }, []string{"message-flags"}, nil, nil},
	{"flags garbled", func(d *damagedStore, tx kv.Tx) { d.edit(tx, d.hot(2), garbage) }, []string{"message-flags"}, nil, nil},
	{"flags without a name", func(d *damagedStore, tx kv.Tx) { tx.Set(d.hot(2), appendHot(nil, 1, 1<<60|Seen)) }, []string{"mailbox-counts", "mailbox-keywords"}, nil, nil},
	{"record lost", func(d *damagedStore, tx kv.Tx) { tx.Delete(d.record(2)) }, []string{"message-record-lost"}, []UID{2}, nil},
	{"record garbled", func(d *damagedStore, tx kv.Tx) { d.edit(tx, d.record(2), garbage) }, []string{"message-record"}, []UID{2}, nil},
	{"record and link lost", func(d *damagedStore, tx kv.Tx) {
		tx.Unlink(d.blob(tx, 2), d.record(2))
		tx.Delete(d.record(2))
	}, []string{"message-lost"}, []UID{2}, []UID{2}},
	{"record names another blob", func(d *damagedStore, tx kv.Tx) {
		other := d.blob(tx, 3)
		d.edit(tx, d.record(2), func(v []byte) []byte {
			own := d.blob(tx, 2)
			return bytes.Replace(v, own[:], other[:], 1)
		})
	}, []string{"link-missing", "link-stray"}, []UID{2}, nil},
	{"link lost", func(d *damagedStore, tx kv.Tx) { tx.Unlink(d.blob(tx, 2), d.record(2)) }, []string{"link-missing"}, nil, nil},
	{"link of nobody", func(d *damagedStore, tx kv.Tx) { tx.Link(d.blob(tx, 2), d.record(99)) }, []string{"link-stray"}, nil, nil},
	{"attributes garbled", func(d *damagedStore, tx kv.Tx) {
		d.edit(tx, d.record(2), func(v []byte) []byte { return v[:len(v)-4] })
	}, []string{"message-attributes"}, nil, nil},
	{"attributes of another message", func(d *damagedStore, tx kv.Tx) {
		d.edit(tx, d.record(2), func(v []byte) []byte { return bytes.Replace(v, []byte("damage"), []byte("fromage")[1:], 1) })
	}, []string{"message-attributes"}, nil, nil},
	{"unknown kind of row", func(d *damagedStore, tx kv.Tx) { tx.Set(key(account1, 'x', 0), []byte("?")) }, []string{"row-unknown"}, nil, nil},
	{"row of no account", func(d *damagedStore, tx kv.Tx) { tx.Set([]byte{keySpace, 'x'}, nil) }, []string{"row-unknown"}, nil, nil},
	{"key too long", func(d *damagedStore, tx kv.Tx) { tx.Set(append(d.hot(2), 1), nil) }, []string{"row-unknown"}, nil, nil},
	{"format lost", func(d *damagedStore, tx kv.Tx) { tx.Delete(key(noAccount, kindFormat, 0)) }, []string{"mail-format"}, nil, nil},
	{"account unknown", func(d *damagedStore, tx kv.Tx) {
		tx.Set(key(unknownAccount, kindAccount, 0), accountRow{modSeq: 1}.encode())
		d.must(mendCreate(tx, unknownAccount, inbox))
	}, []string{"account-unknown"}, nil, nil},
}

// TestVerifyAndRepair: each damage is found and named, and mended so that nothing is left to find and all else is what it was.
func TestVerifyAndRepair(t *testing.T) {
	t.Parallel()
	for _, c := range damages {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDamagedStore(t)
			texts, rows := d.texts(), d.mailRows()
			d.must(d.store.Close())
			d.must(d.db.Update(t.Context(), func(tx kv.Tx) error { c.harm(d, tx); return nil }))
			if found := d.verify(); !slices.Equal(found, c.want) {
				t.Fatalf("found %q, want %q", found, c.want)
			}
			d.repair()
			d.wantClean()
			d.wantLater(rows, d.mailRows())
			d.open()
			d.a = d.account(account1)
			d.wantTexts(texts, c)
		})
	}
}

func newDamagedStore(t *testing.T) *damagedStore {
	d := &damagedStore{fixture: newFixture(t)}
	d.inbox, d.sent = d.id(inbox), d.id("Sent")
	for i := range 4 {
		blob, size := d.body(fmt.Sprintf("Subject: damage %d\nContent-Type: text/plain; charset=us-ascii\n\nbody %d\n", i, i))
		_, err := d.a.Append(t.Context(), d.inbox, []Message{{Prefix: []byte("Received: x\r\n"), Blob: blob, BlobSize: size, Flags: []string{"kept"}}}, nil)
		d.must(err)
	}
	m := d.session(inbox)
	d.store1(m, AddFlags, []UID{3}, `\Seen`)
	_, err := m.Copy(t.Context(), []UID{1, 3}, d.sent)
	d.must(err)
	m.Close()
	return d
}

func (d *damagedStore) repair() {
	d.t.Helper()
	_, err := d.db.(*kv.Engine).Repair(d.t.Context(), kv.RepairOptions{}, verification(d.fixture))
	d.must(err)
}

// texts are the contents of all messages of INBOX and Sent.
func (d *damagedStore) texts() map[string]string {
	texts := map[string]string{}
	for _, m := range d.mailboxes() {
		if m.NoSelect {
			continue
		}
		box := d.session(m.Name)
		for _, uid := range box.State().UIDs {
			texts[fmt.Sprint(m.ID, " ", uid)] = d.text(box, uid)
		}
		box.Close()
	}
	return texts
}

func (d *damagedStore) mailboxes() []Info {
	all, err := d.a.Mailboxes(d.t.Context())
	d.must(err)
	return all
}

// wantTexts compares what is there with what was.
func (d *damagedStore) wantTexts(was map[string]string, c damage) {
	d.t.Helper()
	is := d.texts()
	for _, uid := range c.changed {
		delete(was, fmt.Sprint(d.inbox, " ", uid))
	}
	if want := len(was) + len(c.changed) - len(c.gone); len(is) != want {
		d.t.Errorf("%d messages, want %d", len(is), want)
	}
	for k, text := range was {
		if is[k] != text {
			d.t.Errorf("message %s is %q, was %q", k, is[k], text)
		}
	}
}

// wantLater fails when a number has become less.
func (d *damagedStore) wantLater(was, is map[string]string) {
	d.t.Helper()
	for _, id := range []ID{d.inbox, d.sent} {
		k := mailboxKey(account1, kindCounters, id)
		if is[string(k)] == "" {
			continue
		}
		old, _ := decodeCounters([]byte(was[string(k)]))
		now, _ := decodeCounters([]byte(is[string(k)]))
		if now.uidNext < old.uidNext || now.highest < old.highest {
			d.t.Errorf("mailbox %d: UIDNEXT %d and HIGHESTMODSEQ %d, were %d and %d", id, now.uidNext, now.highest, old.uidNext, old.highest)
		}
		k = mailboxKey(account1, kindMailbox, id)
		before, _ := decodeMailboxRow([]byte(was[string(k)]))
		after, _ := decodeMailboxRow([]byte(is[string(k)]))
		if after.uidValidity < before.uidValidity {
			d.t.Errorf("mailbox %d: UIDVALIDITY %d, was %d", id, after.uidValidity, before.uidValidity)
		}
	}
}

// TestVerifyBodies: a body that is damaged, by one bit, cut off or gone, is found with every message that has it.
// Repair keeps what is left and removes these messages alone.
func TestVerifyBodies(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(file string, at int64) error{
		"bit": func(file string, at int64) error {
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte{'D'}, at+10)
			return err
		},
		"cut":  func(file string, at int64) error { return os.Truncate(file, at+10) },
		"gone": func(file string, _ int64) error { return os.Remove(file) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDamagedStore(t)
			texts := d.texts()
			var last kv.BlobID
			d.must(d.db.View(t.Context(), func(r kv.Reader) error {
				v, err := r.Get(d.record(4))
				d.must(err)
				rec, err := decodeRecord(4, v)
				last = rec.blob
				return err
			}))
			d.close()
			segments, err := filepath.Glob(filepath.Join(d.dir, "blobs", "*.seg"))
			if err != nil || len(segments) != 1 {
				t.Fatal(segments, err)
			}
			const header = 32 // of a record
			d.must(harm(segments[0], int64(binary.BigEndian.Uint32(last[4:]))+header))
			d.db, err = kv.Open(t.Context(), kv.Options{Dir: d.dir, AcceptLoss: name == "gone"})
			d.must(err)
			found := d.verify()
			if !slices.Contains(found, "message-body") || name == "bit" && len(found) != 1 {
				t.Fatalf("found %q", found)
			}
			var wrecks []string
			_, err = d.db.(*kv.Engine).Repair(t.Context(), kv.RepairOptions{Save: func(f kv.Finding) error {
				var left bytes.Buffer
				left.Write(f.Wreck.Prefix)
				err := d.db.(*kv.Engine).Salvage(t.Context(), f.Wreck.Blob, &left)
				wrecks = append(wrecks, left.String())
				return err
			}}, verification(d.fixture))
			d.must(err)
			d.wantClean()
			d.open()
			d.a = d.account(account1)
			is := d.texts()
			for k := range maps.Keys(texts) {
				if (name == "bit" || name == "cut") && k != fmt.Sprint(d.inbox, " ", 4) && is[k] != texts[k] {
					t.Errorf("message %s is %q, was %q", k, is[k], texts[k])
				}
			}
			if want := map[string]string{
				"bit": "Received: x\r\nSubject: dDmage 3\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nbody 3\r\n",
				"cut": "Received: x\r\nSubject: d", "gone": "Received: x\r\n",
			}[name]; len(wrecks) == 0 || wrecks[0] != want {
				t.Errorf("left is %q, want %q", wrecks, want)
			}
			if name == "gone" && len(is) != 0 {
				t.Errorf("%q is there, though the only segment is gone", is)
			}
		})
	}
}
