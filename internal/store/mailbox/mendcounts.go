package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// mendAccount makes an account's row of its mailboxes. What the row had is kept unless it is too little.
func mendAccount(tx kv.Tx, id mail.AccountID) error {
	old, err := readAccount(tx, id)
	lost := err != nil
	if lost && !errors.Is(later(err), kv.ErrLater) {
		return err
	}
	row := old
	row.mailboxes, row.layout = 0, row.layout+1
	boxes, err := mailboxes(tx, id)
	if err != nil {
		return later(err)
	}
	for _, b := range boxes {
		row.mailboxes++
		row.lastID, row.uidValidity = max(row.lastID, b.ID), max(row.uidValidity, b.UIDValidity)
		if b.NoSelect {
			continue
		}
		_, c, err := readMailbox(tx, id, b.ID)
		if err != nil && !errors.Is(later(err), kv.ErrLater) {
			return err
		}
		row.modSeq = max(row.modSeq, c.highest)
	}
	names, err := subscriptions(tx, id)
	if err != nil {
		return err
	}
	row.subscriptions = len(names)
	prefix := key(noAccount, kindDoomed, 8)
	prefix = binary.BigEndian.AppendUint64(prefix, uint64(id))
	for p, err := range tx.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		row.lastID = max(row.lastID, idOf(p.Key[len(prefix):]))
	}
	if lost { // deleted mailboxes may have had more
		row.lastID += lostIDs
		row.modSeq++
		row.uidValidity = max(row.uidValidity+1, now())
	}
	tx.Set(key(id, kindAccount, 0), row.encode())
	return nil
}

func now() UIDValidity { return UIDValidity(time.Now().Unix()) }

// tally counts the messages of a mailbox, and what their UIDs and those of the log ask of its counters.
func tally(r kv.Reader, account mail.AccountID, id ID) (boxCheck, error) {
	var b boxCheck
	prefix := mailboxKey(account, kindRecord, id)
	for p, err := range r.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return b, err
		}
		rec, err := decodeRecord(uidOf(p.Key), p.Value)
		if err != nil {
			return b, later(err)
		}
		b.found.size += rec.size
	}
	size := b.found.size
	prefix = mailboxKey(account, kindHot, id)
	for p, err := range r.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return b, err
		}
		m, f, err := decodeHot(p.Value)
		if err != nil {
			return b, later(err)
		}
		b.count(uidOf(p.Key), m, f, 0)
	}
	b.found.size = size
	return b, tallyLog(r, account, id, &b)
}

func tallyLog(r kv.Reader, account mail.AccountID, id ID, b *boxCheck) error {
	a := &accountCheck{Verifier: &Verifier{}, boxes: map[ID]*boxCheck{id: b}}
	prefix := mailboxKey(account, kindLog, id)
	for p, err := range r.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		if err := a.logRow(p.Key, p.Value); err != nil {
			return err
		}
	}
	return nil
}

// mendCounts counts a mailbox's messages again. A HIGHESTMODSEQ that was too low has been told to clients: the log
// begins anew, so that they compare.
func mendCounts(tx kv.Tx, account mail.AccountID, id ID) error {
	b, err := tally(tx, account, id)
	if err != nil {
		return err
	}
	a, err := readAccount(tx, account)
	if err != nil {
		return later(err)
	}
	_, c, err := readMailbox(tx, account, id)
	if err != nil {
		return later(err)
	}
	c.messages, c.unseen, c.deleted, c.size = b.found.messages, b.found.unseen, b.found.deleted, b.found.size
	c.uidNext = max(c.uidNext, b.found.uidNext, 1)
	if c.highest < b.found.highest {
		a.modSeq = max(a.modSeq, b.found.highest) + 1
		c.highest = a.modSeq
		beginLog(tx, account, id, &c)
		tx.Set(key(account, kindAccount, 0), a.encode())
	}
	tx.Set(mailboxKey(account, kindCounters, id), c.encode())
	return nil
}

// mendCounters makes counters that are lost, UIDNEXT among them, of the messages; nobody knows which UIDs messages
// had that are gone, so UIDVALIDITY rises.
func mendCounters(tx kv.Tx, account mail.AccountID, id ID) error {
	row, err := readMailboxRow(tx, account, id)
	if err != nil {
		return later(err)
	}
	b, err := tally(tx, account, id)
	if err != nil {
		return err
	}
	a, err := readAccount(tx, account)
	if err != nil {
		return later(err)
	}
	a.modSeq = max(a.modSeq, b.found.highest) + 1
	c := b.found
	c.uidNext, c.highest = max(c.uidNext, 1), a.modSeq
	beginLog(tx, account, id, &c)
	if row.uidValidity, err = nextUIDValidity(&a, row.uidValidity); err != nil {
		return err
	}
	a.layout++
	tx.Set(mailboxKey(account, kindMailbox, id), row.encode())
	tx.Set(mailboxKey(account, kindCounters, id), c.encode())
	tx.Set(key(account, kindAccount, 0), a.encode())
	return nil
}

// nextUIDValidity returns one that is greater than old and any other of the account.
func nextUIDValidity(a *accountRow, old UIDValidity) (UIDValidity, error) {
	if a.uidValidity == math.MaxUint32 || old == math.MaxUint32 {
		return 0, errors.New("the account has used up its UIDVALIDITYs")
	}
	a.uidValidity = max(a.uidValidity+1, old+1, now())
	return a.uidValidity, nil
}

// mendMailbox makes a mailbox's row. Of its name there is what the index says.
func mendMailbox(tx kv.Tx, account mail.AccountID, id ID) error {
	a, err := readAccount(tx, account)
	if err != nil {
		return later(err)
	}
	name, err := indexedName(tx, account, id)
	if err != nil {
		return err
	}
	if name == "" {
		if name, err = freeName(tx, account, id, ""); err != nil {
			return err
		}
	}
	row := mailboxRow{name: name}
	if row.uidValidity, err = nextUIDValidity(&a, 0); err != nil {
		return err
	}
	a.layout++
	a.lastID = max(a.lastID, id)
	tx.Set(key(account, kindAccount, 0), a.encode())
	tx.Set(mailboxKey(account, kindMailbox, id), row.encode())
	tx.Set(nameKey(account, kindName, name), encodeID(id))
	return nil
}

// indexedName returns the name that leads to a mailbox; empty: none does.
func indexedName(r kv.Reader, account mail.AccountID, id ID) (string, error) {
	prefix := key(account, kindName, 0)
	for p, err := range r.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return "", err
		}
		if idOf(p.Value) == id {
			return string(p.Key[len(prefix):]), nil
		}
	}
	return "", nil
}

// mendKeywords takes flags without a name away from messages.
func mendKeywords(tx kv.Tx, account mail.AccountID, id ID) error {
	row, err := readMailboxRow(tx, account, id)
	if err != nil {
		return later(err)
	}
	known := knownFlags(&row)
	var changed []Entry
	prefix := mailboxKey(account, kindHot, id)
	for p, err := range tx.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		if _, f, err := decodeHot(p.Value); err == nil && f&^known != 0 {
			changed = append(changed, Entry{UID: uidOf(p.Key), Flags: f & known})
		}
	}
	return revise(tx, account, id, func(_ *counters, row *logRow) error {
		row.changed = spansOf(uidsOf(changed))
		for _, e := range changed {
			tx.Set(uidKey(account, kindHot, id, e.UID), appendHot(nil, row.modSeq, e.Flags))
		}
		return nil
	})
}

// mendKeywordNames gives keywords that are no atoms other names.
func mendKeywordNames(tx kv.Tx, account mail.AccountID, id ID) error {
	row, err := readMailboxRow(tx, account, id)
	if err != nil {
		return later(err)
	}
	for i, k := range row.keywords {
		if !isKeyword(k) {
			row.keywords[i] = fmt.Sprintf("Recovered%d", i+1)
		}
	}
	tx.Set(mailboxKey(account, kindMailbox, id), row.encode())
	return nil
}

// mendCreate makes a mailbox.
func mendCreate(tx kv.Tx, account mail.AccountID, name string) error {
	c := &change{account: scribe(account), tx: tx, boxes: make(map[ID]*box)}
	if err := c.begin(); err != nil {
		return later(err)
	}
	if taken, err := exists(tx, nameKey(account, kindName, name)); err != nil || taken {
		return errors.Join(err, kv.ErrLater)
	}
	c.make(name, "")
	return c.finish()
}

func encodeID(id ID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }
