package mailbox

import (
	"fmt"
	"slices"
	"strings"

	"candor/internal/store/kv"
)

// boxCheck is what the rows of one mailbox come to.
type boxCheck struct {
	id            ID
	doomed        bool
	row           mailboxRow
	rowFault      string // why there is no row; empty: there is one
	counters      counters
	countersFault string

	// As the messages and the log show it.
	found    counters // uidNext and highest are the least possible
	flags    Flags    // all that messages bear
	logRows  int
	logFirst ModSeq
	logFault string
	unsure   bool // messages are damaged, so that nothing can be counted yet
}

func (b *boxCheck) count(uid UID, m ModSeq, f Flags, size int64) {
	b.found.count(1, f)
	b.found.size += size
	b.found.uidNext = max(b.found.uidNext, uid+1)
	b.found.highest = max(b.found.highest, m)
	b.flags |= f
}

func (a *accountCheck) logRow(k, value []byte) error {
	b, m := a.box(idOf(k[10:18])), modSeqOf(k)
	if b.doomed {
		return nil
	}
	if b.logRows++; b.logRows == 1 {
		b.logFirst = m
	}
	b.found.highest = max(b.found.highest, m)
	row, err := decodeLogRow(m, value)
	if err != nil {
		b.logFault = fmt.Sprintf("the row of MODSEQ %d cannot be read", m)
		return nil
	}
	for _, s := range []spans{row.added, row.changed, row.expunged} {
		if n := len(s); n > 0 {
			b.found.uidNext = max(b.found.uidNext, s[n-1].Last+1)
		}
	}
	return nil
}

// judgeBox compares a mailbox's rows with its messages.
func (a *accountCheck) judgeBox(b *boxCheck) {
	switch {
	case b.doomed:
		return
	case b.rowFault != "":
		a.reportBox(b, kv.Finding{
			ID: "mailbox-row", Seen: b.rowFault, Wanted: "a row with its name, UIDVALIDITY and keywords",
			Fix:  "repair makes one with the name of the index, or a new name; UIDVALIDITY rises, keywords are lost",
			Mend: func(tx kv.Tx) error { return mendMailbox(tx, a.id, b.id) },
		})
		return
	case b.row.noSelect:
		a.judgeNoSelect(b)
	case b.countersFault != "":
		a.reportBox(b, kv.Finding{
			ID: "mailbox-counters", Seen: b.countersFault, Wanted: "counters",
			Fix:  "repair counts again; since UIDNEXT is lost, UIDVALIDITY rises and clients load the mailbox again",
			Mend: func(tx kv.Tx) error { return mendCounters(tx, a.id, b.id) },
		})
	default:
		a.judgeLog(b)
		a.judgeCounters(b)
		a.judgeFlags(b)
	}
	a.judgeName(b)
}

// reportBox reports a finding about a mailbox.
func (a *accountCheck) reportBox(b *boxCheck, f kv.Finding) {
	f.Place = a.boxName(a.id, b.id)
	if f.Severity == "" {
		f.Severity = kv.SeverityError
	}
	a.Report(f)
}

func (a *accountCheck) judgeNoSelect(b *boxCheck) {
	if b.countersFault == "no counters" && b.found == (counters{}) && !b.unsure {
		return
	}
	a.reportBox(b, kv.Finding{
		ID: "mailbox-noselect", Seen: "messages or counters in a name that holds no messages", Wanted: "a mailbox",
		Fix:  "repair makes it a mailbox",
		Mend: func(tx kv.Tx) error { return mendNoSelect(tx, a.id, b.id) },
	})
}

// judgeName checks a mailbox's name and that the index knows it.
func (a *accountCheck) judgeName(b *boxCheck) {
	name := b.row.name
	if parsed, err := parseName(name); err != nil || parsed != name {
		a.reportBox(b, kv.Finding{
			ID: "mailbox-name", Seen: fmt.Sprintf("the name %q", name), Wanted: "a name that a mailbox can have",
			Fix: "repair gives it a new name", Mend: func(tx kv.Tx) error { return mendName(tx, a.id, b.id) },
		})
		return
	}
	other, found := a.names[name]
	switch {
	case found && other == b.id:
	case found && a.boxes[other] != nil && !a.boxes[other].doomed && a.boxes[other].row.name == name:
		a.reportBox(b, kv.Finding{
			ID: "mailbox-name", Seen: fmt.Sprintf("mailbox %d has the name, too", other), Wanted: "a name of its own",
			Fix: "repair gives it a new name", Mend: func(tx kv.Tx) error { return mendName(tx, a.id, b.id) },
		})
	case found: // judgeNames reports the entry that leads elsewhere; this mailbox follows in the next pass
	default:
		a.reportBox(b, kv.Finding{
			ID: "name-index", Seen: "its name is not in the index", Wanted: "an entry that leads to it",
			Fix: "repair adds the entry", Mend: func(tx kv.Tx) error { return mendIndex(tx, a.id, b.id) },
		})
	}
}

// judgeLog checks the log of changes.
func (a *accountCheck) judgeLog(b *boxCheck) {
	seen := b.logFault
	switch {
	case seen != "":
	case b.logRows != b.counters.rows:
		seen = fmt.Sprintf("%d rows, where the counters have %d", b.logRows, b.counters.rows)
	case b.logRows > 0 && b.logFirst <= b.counters.floor:
		seen = fmt.Sprintf("a row of MODSEQ %d, where the counters say that it begins after %d", b.logFirst, b.counters.floor)
	case b.counters.floor > b.counters.highest:
		seen = fmt.Sprintf("it begins after MODSEQ %d, and HIGHESTMODSEQ is %d", b.counters.floor, b.counters.highest)
	default:
		return
	}
	a.reportBox(b, kv.Finding{
		ID: "mailbox-log", Seen: "log of changes: " + seen, Wanted: "every change since the log begins",
		Fix:  "repair begins the log anew and raises HIGHESTMODSEQ, so that clients compare the whole mailbox",
		Mend: func(tx kv.Tx) error { return mendLog(tx, a.id, b.id) },
	})
}

// judgeCounters compares the counters with the messages.
func (a *accountCheck) judgeCounters(b *boxCheck) {
	if b.unsure {
		return
	}
	c, w := &b.counters, &b.found
	var seen, wanted []string
	for _, d := range []struct {
		what       string
		seen, want int64
	}{
		{"messages", int64(c.messages), int64(w.messages)},
		{"unseen", int64(c.unseen), int64(w.unseen)},
		{"deleted", int64(c.deleted), int64(w.deleted)},
		{"octets", c.size, w.size},
		{"UIDNEXT", int64(c.uidNext), int64(max(c.uidNext, w.uidNext, 1))},
		{"HIGHESTMODSEQ", int64(c.highest), int64(max(c.highest, w.highest))},
	} {
		if d.seen != d.want {
			seen, wanted = append(seen, fmt.Sprintf("%s %d", d.what, d.seen)), append(wanted, fmt.Sprintf("%s %d", d.what, d.want))
		}
	}
	if len(seen) > 0 {
		a.reportBox(b, kv.Finding{
			ID: "mailbox-counts", Seen: strings.Join(seen, ", "), Wanted: strings.Join(wanted, ", "), Fix: "repair counts again; UIDNEXT and HIGHESTMODSEQ only rise",
			Mend: func(tx kv.Tx) error { return mendCounts(tx, a.id, b.id) },
		})
	}
}

// judgeFlags checks that every flag has a name.
func (a *accountCheck) judgeFlags(b *boxCheck) {
	if unknown := b.flags &^ knownFlags(&b.row); unknown != 0 {
		a.reportBox(b, kv.Finding{
			ID: "mailbox-keywords", Seen: fmt.Sprintf("messages bear flags without a name (bits %#x)", uint64(unknown)),
			Wanted: "flags that have a name", Fix: "repair takes the flags away",
			Mend: func(tx kv.Tx) error { return mendKeywords(tx, a.id, b.id) },
		})
	}
	if i := slices.IndexFunc(b.row.keywords, func(k string) bool { return !isKeyword(k) }); i >= 0 {
		a.reportBox(b, kv.Finding{
			ID: "mailbox-keywords", Seen: fmt.Sprintf("the keyword %q", b.row.keywords[i]), Wanted: "keywords that are atoms",
			Fix: "repair gives it another name", Mend: func(tx kv.Tx) error { return mendKeywordNames(tx, a.id, b.id) },
		})
	}
}

// knownFlags are the flags that messages of a mailbox may bear.
func knownFlags(row *mailboxRow) Flags {
	return Flags(1)<<len(systemFlags) - 1 | (Flags(1)<<len(row.keywords)-1)<<KeywordBit
}
