package mailbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// accountCheck is what the rows of one account come to.
type accountCheck struct {
	*Verifier
	id            mail.AccountID
	row           accountRow
	rowFault      string // why there is no row; empty: there is one
	boxes         map[ID]*boxCheck
	names         map[string]ID
	subscriptions int
	merged        bool // hot records and records have been looked at
}

// kinds are the checks of each kind of row, with the length of its keys; 0: any beyond the kind.
var kinds = map[byte]struct {
	size  int
	check func(a *accountCheck, k, value []byte) error
}{
	kindAccount:      {10, (*accountCheck).accountRow},
	kindMailbox:      {18, (*accountCheck).mailboxRow},
	kindCounters:     {18, (*accountCheck).counters},
	kindImport:       {34, (*accountCheck).imported},
	kindLog:          {26, (*accountCheck).logRow},
	kindName:         {0, (*accountCheck).name},
	kindSubscription: {0, (*accountCheck).subscription},
}

// account checks every row of an account.
func (f *Verifier) account(id mail.AccountID) error {
	a := &accountCheck{Verifier: f, id: id, boxes: map[ID]*boxCheck{}, names: map[string]ID{}, rowFault: "no account row"}
	prefix := accountPrefix(id)
	for from := prefix; ; {
		k, err := first(f, from, kv.PrefixEnd(prefix))
		if err != nil {
			return err
		}
		if k == nil {
			break
		}
		if len(k) == len(prefix) {
			f.Stray(k)
			from = append(k, 0)
			continue
		}
		if err := a.kind(k[len(prefix)]); err != nil {
			return err
		}
		from = key(id, k[len(prefix)], 0)
		from[len(prefix)]++
	}
	return a.judge()
}

// kind checks the rows of one kind.
func (a *accountCheck) kind(kind byte) error {
	if kind == kindHot || kind == kindRecord {
		if a.merged {
			return nil
		}
		a.merged = true
		return a.messages()
	}
	c, known := kinds[kind]
	prefix := key(a.id, kind, 0)
	for p, err := range a.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		if err := a.Row(); err != nil {
			return err
		}
		if !known || c.size > 0 && len(p.Key) != c.size || len(p.Key) == len(prefix) && c.size == 0 {
			a.Stray(p.Key)
			continue
		}
		if err := c.check(a, p.Key, p.Value); err != nil {
			return err
		}
	}
	return nil
}

func (a *accountCheck) box(id ID) *boxCheck {
	b := a.boxes[id]
	if b == nil {
		b = &boxCheck{id: id, rowFault: "no row that describes it", countersFault: "no counters", doomed: a.isDoomed(a.id, id)}
		a.boxes[id] = b
	}
	return b
}

func (a *accountCheck) accountRow(_, value []byte) error {
	row, err := decodeAccountRow(value)
	a.row, a.rowFault = row, text(err)
	return nil
}

// text is an error in words; empty: none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (a *accountCheck) mailboxRow(k, value []byte) error {
	b := a.box(idOf(k[10:]))
	row, err := decodeMailboxRow(value)
	b.row, b.rowFault = row, text(err)
	return nil
}

func (a *accountCheck) counters(k, value []byte) error {
	b := a.box(idOf(k[10:]))
	c, err := decodeCounters(value)
	b.counters, b.countersFault = c, text(err)
	return nil
}

// imported notes the mailbox of a message that was imported.
func (a *accountCheck) imported(k, _ []byte) error {
	a.box(idOf(k[10:18]))
	return nil
}

func (a *accountCheck) name(k, value []byte) error {
	name := string(k[10:])
	if len(value) != 8 {
		a.report(kv.Finding{
			ID: "name-index", Seen: fmt.Sprintf("name %q leads to %x", name, value), Wanted: "the id of a mailbox",
			Fix: "repair removes the entry", Mend: a.remove(bytes.Clone(k)),
		})
		return nil
	}
	a.names[name] = idOf(value)
	return nil
}

func (a *accountCheck) subscription(k, _ []byte) error {
	a.subscriptions++
	if name, err := parseName(string(k[10:])); err != nil || name != string(k[10:]) {
		a.report(kv.Finding{
			ID: "subscription", Severity: kv.SeverityWarning, Seen: fmt.Sprintf("a subscription to %q", k[10:]),
			Wanted: "names that a mailbox can have", Fix: "repair removes it", Mend: a.remove(bytes.Clone(k)),
		})
	}
	return nil
}

func (a *accountCheck) remove(k []byte) func(kv.Tx) error {
	return func(tx kv.Tx) error { tx.Delete(k); return nil }
}

// report reports a finding about the account.
func (a *accountCheck) report(f kv.Finding) {
	f.Place = a.accountName(a.id)
	if f.Severity == "" {
		f.Severity = kv.SeverityError
	}
	a.Report(f)
}

// judge compares what was seen.
func (a *accountCheck) judge() error {
	if a.isDoomed(a.id, 0) {
		return nil // the sweeper removes it all
	}
	if _, known := a.o.Accounts[a.id]; !known {
		a.report(kv.Finding{
			ID: "account-unknown", Seen: "mail of an account that the directory does not know", Wanted: "an account in the directory",
			Fix:  "repair makes an account for it that nobody can log in to; export its mail or remove it",
			Mend: func(tx kv.Tx) error { return a.o.Adopt(tx, a.id) },
		})
	}
	if a.rowFault != "" {
		a.report(kv.Finding{
			ID: "account-row", Seen: a.rowFault, Wanted: "the account's MODSEQ and counts",
			Fix: "repair makes them of the mailboxes", Mend: a.recount,
		})
	}
	for _, id := range slices.Sorted(maps.Keys(a.boxes)) {
		a.judgeBox(a.boxes[id])
	}
	a.judgeNames()
	if a.rowFault == "" {
		a.judgeCounts()
	}
	return nil
}

// recount is mendAccount as a Mend.
func (a *accountCheck) recount(tx kv.Tx) error { return mendAccount(tx, a.id) }

// judgeNames checks that the index of names leads to each mailbox, and nowhere else.
func (a *accountCheck) judgeNames() {
	for _, name := range slices.Sorted(maps.Keys(a.names)) {
		b, k := a.boxes[a.names[name]], nameKey(a.id, kindName, name)
		switch {
		case b == nil || b.doomed:
			a.report(kv.Finding{
				ID: "name-index", Seen: fmt.Sprintf("name %q leads to mailbox %d, which does not exist", name, a.names[name]),
				Wanted: "names of mailboxes", Fix: "repair removes the entry", Mend: a.remove(k),
			})
		case b.rowFault == "" && b.row.name != name:
			a.report(kv.Finding{
				ID: "name-index", Seen: fmt.Sprintf("name %q leads to mailbox %d, whose name is %q", name, b.id, b.row.name),
				Wanted: "one name for a mailbox", Fix: "repair removes the entry", Mend: a.remove(k),
			})
		}
	}
	if _, found := a.names[inbox]; !found && !slices.ContainsFunc(slices.Collect(maps.Values(a.boxes)), isInbox) {
		a.report(kv.Finding{
			ID: "inbox-missing", Seen: "no INBOX", Wanted: "INBOX", Fix: "repair makes an empty one",
			Mend: func(tx kv.Tx) error { return mendCreate(tx, a.id, inbox) },
		})
	}
}

func isInbox(b *boxCheck) bool { return !b.doomed && b.rowFault == "" && b.row.name == inbox }

// judgeCounts compares the account row with the mailboxes.
func (a *accountCheck) judgeCounts() {
	var want accountRow
	want.subscriptions = a.subscriptions
	for _, b := range a.boxes {
		if b.doomed {
			want.lastID = max(want.lastID, b.id)
			continue
		}
		if b.rowFault != "" {
			return // its row is made first
		}
		want.mailboxes++
		want.lastID = max(want.lastID, b.id)
		want.uidValidity = max(want.uidValidity, b.row.uidValidity)
		if b.countersFault == "" {
			want.modSeq = max(want.modSeq, b.counters.highest)
		}
	}
	var seen, wanted []string
	differ := func(is bool, what string, s, w any) {
		if is {
			seen, wanted = append(seen, fmt.Sprintf("%s %d", what, s)), append(wanted, fmt.Sprint(w))
		}
	}
	differ(a.row.mailboxes != want.mailboxes, "number of mailboxes", a.row.mailboxes, want.mailboxes)
	differ(a.row.subscriptions != want.subscriptions, "number of subscriptions", a.row.subscriptions, want.subscriptions)
	differ(a.row.lastID < want.lastID, "last mailbox id", a.row.lastID, fmt.Sprint("at least ", want.lastID))
	differ(a.row.uidValidity < want.uidValidity, "last UIDVALIDITY", a.row.uidValidity, fmt.Sprint("at least ", want.uidValidity))
	differ(a.row.modSeq < want.modSeq, "MODSEQ", a.row.modSeq, fmt.Sprint("at least ", want.modSeq))
	if len(seen) > 0 {
		a.report(kv.Finding{
			ID: "account-counts", Seen: strings.Join(seen, ", "), Wanted: strings.Join(wanted, ", "), Fix: "repair counts again", Mend: a.recount,
		})
	}
}

// mailboxOf returns the mailbox and UID at the end of the key of a hot record or record.
func mailboxOf(k []byte) (ID, UID) { return ID(binary.BigEndian.Uint64(k[10:])), uidOf(k) }
