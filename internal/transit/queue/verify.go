package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Verifier checks the queue's rows and says how to mend them. It implements kv.Owner, whose walk over the links
// comes before Rows.
type Verifier struct {
	*kv.Verification
	lost map[ID]bool // items of which Orphan has told; few, or all is lost
}

// NewVerifier begins to verify.
func NewVerifier(v *kv.Verification) *Verifier { return &Verifier{v, map[ID]bool{}} }

// Prefix implements kv.Owner, as do the methods below.
func (f *Verifier) Prefix() byte { return prefix }

// itemOf returns the id in an item's key.
func itemOf(key []byte) (ID, bool) {
	if len(key) != 2+idSize || key[1] != itemTag {
		return "", false
	}
	return ID(key[2:]), true
}

// Blob returns the blob that an item names.
func (f *Verifier) Blob(key, value []byte) (kv.BlobID, bool) {
	id, ok := itemOf(key)
	if !ok {
		return kv.BlobID{}, false
	}
	m, _, err := decodeItem(id, value)
	if err != nil {
		return kv.BlobID{}, false
	}
	return m.Blob, true
}

// Body reads an item's body and checks its size.
func (f *Verifier) Body(key, value []byte, _ kv.BlobID, b kv.Blob) error {
	if _, err := b.WriteTo(io.Discard); err != nil {
		return err
	}
	id, _ := itemOf(key)
	m, _, err := decodeItem(id, value)
	if err != nil || m.BlobSize == b.Size() {
		return nil
	}
	size := b.Size()
	f.item(id, kv.Finding{
		ID: "queue-size", Severity: kv.SeverityWarning, Seen: fmt.Sprintf("a size of %d octets", m.BlobSize),
		Wanted: fmt.Sprintf("%d octets, as the message has", size), Fix: "repair corrects it",
		Mend: func(tx kv.Tx) error { return mendSize(tx, id, size) },
	})
	return nil
}

// Lost reports an item whose body cannot be read.
func (f *Verifier) Lost(key, value []byte, blob kv.BlobID, why error) {
	id, _ := itemOf(key)
	m, _, err := decodeItem(id, value)
	if err != nil {
		return
	}
	f.item(id, kv.Finding{
		ID: "queue-body", Seen: fmt.Sprintf("its body cannot be read: %v", why), Wanted: "the body",
		Fix:   fmt.Sprintf("ask %s to send it again; repair removes it and keeps in lost+found what is left of it", sender(m)),
		Wreck: &kv.Wreck{Name: wreckName(id), Prefix: m.Trace, Blob: blob},
		Mend:  func(tx kv.Tx) error { return mendRemove(tx, id) },
	})
}

func sender(m *Message) string {
	if m.Envelope.ReversePath.Address == (mail.Address{}) {
		return "nobody (it is a report)"
	}
	return m.Envelope.ReversePath.String()
}

func wreckName(id ID) string { return fmt.Sprintf("queue-%q.eml", string(id)) }

// Orphan reports a message that has lost its item, but has recipients that wait for it.
func (f *Verifier) Orphan(key []byte, blob kv.BlobID) (bool, error) {
	id, ok := itemOf(key)
	if !ok {
		return false, nil
	}
	waiting, err := f.recipients(id)
	if err != nil || waiting == "" || len(f.lost) >= maxLost {
		return false, err
	}
	f.lost[id] = true
	f.item(id, kv.Finding{
		ID: "queue-item-lost", Seen: "no envelope for the recipients " + waiting, Wanted: "the message's envelope",
		Fix:   "send what repair keeps in lost+found to them; repair removes it from the queue",
		Wreck: &kv.Wreck{Name: wreckName(id), Blob: blob},
		Mend: func(tx kv.Tx) error {
			tx.Unlink(blob, itemKey(id))
			return mendRemove(tx, id)
		},
	})
	return true, nil
}

// maxLost bounds the lost items that one pass knows the blobs of.
const maxLost = 100_000

// maxNamed is how many recipients a finding names.
const maxNamed = 20

// recipients names the recipients of an item; empty: it has none.
func (f *Verifier) recipients(id ID) (string, error) {
	var b bytes.Buffer
	n := 0
	from := recipientPrefix(id)
	for p, err := range f.Scan(from, kv.PrefixEnd(from)) {
		if err != nil {
			return "", err
		}
		if n++; n > maxNamed {
			b.WriteString(" and others")
			break
		}
		if n > 1 {
			b.WriteString(", ")
		}
		r, err := decodeRecipient(0, p.Value)
		if err != nil {
			fmt.Fprintf(&b, "%q", p.Value)
			continue
		}
		b.WriteString(r.to.Address.String())
	}
	return b.String(), nil
}

// item reports a finding about an item.
func (f *Verifier) item(id ID, finding kv.Finding) {
	finding.Place = fmt.Sprintf("queued message %q", string(id))
	if finding.Severity == "" {
		finding.Severity = kv.SeverityError
	}
	f.Report(finding)
}

// Rows checks every row.
func (f *Verifier) Rows() error {
	checks := map[byte]func(k, value []byte) error{
		formatTag: f.format, itemTag: f.itemRow, recipientTag: f.recipient,
		localTag:  func(k, _ []byte) error { return f.index(mail.Local, k) },
		remoteTag: func(k, _ []byte) error { return f.index(mail.Remote, k) },
		recordTag: f.record, accountTag: f.accountRow, doomedTag: f.doomedRow, dayTag: f.dayRow, cutTag: f.cutRow,
	}
	hasFormat := false
	for p, err := range f.Scan([]byte{prefix}, []byte{prefix + 1}) {
		if err != nil {
			return err
		}
		if err := f.Row(); err != nil {
			return err
		}
		var check func(k, value []byte) error
		if len(p.Key) > 1 {
			check = checks[p.Key[1]]
		}
		if check == nil {
			f.Stray(p.Key)
			continue
		}
		hasFormat = hasFormat || p.Key[1] == formatTag
		if err := check(p.Key, p.Value); err != nil {
			return err
		}
	}
	if !hasFormat {
		f.badFormat("none")
	}
	return nil
}

func (f *Verifier) format(k, value []byte) error {
	if len(k) != 2 {
		f.Stray(k)
		return nil
	}
	n, size := binary.Uvarint(value)
	if size <= 0 {
		f.badFormat(fmt.Sprintf("%x", value))
		return nil
	}
	if n != format {
		return fmt.Errorf("%w (format %d)", errNewer, n)
	}
	return nil
}

func (f *Verifier) badFormat(seen string) {
	f.Report(kv.Finding{
		ID: "queue-format", Severity: kv.SeverityError, Place: "format of the queue", Seen: seen, Wanted: fmt.Sprint(format),
		Fix:  "repair writes it, taking the rows to be of this program's format",
		Mend: func(tx kv.Tx) error { tx.Set(formatKey(), binary.AppendUvarint(nil, format)); return nil },
	})
}

// itemRow checks an item, that its blob is linked, and that somebody waits for it.
func (f *Verifier) itemRow(k, value []byte) error {
	id, ok := itemOf(k)
	if !ok {
		f.Stray(k)
		return nil
	}
	waiting, err := f.recipients(id)
	if err != nil {
		return err
	}
	m, _, err := decodeItem(id, value)
	if err != nil {
		f.item(id, kv.Finding{
			ID: "queue-item", Seen: "an envelope that cannot be read", Wanted: "the message's envelope",
			Fix:  "repair moves it to lost+found, and then the message",
			Mend: func(tx kv.Tx) error { tx.Delete(itemKey(id)); return nil },
		})
		return nil
	}
	linked, err := f.Linked(m.Blob, k)
	if err != nil {
		return err
	}
	if !linked {
		blob := m.Blob
		f.item(id, kv.Finding{
			ID: "queue-link", Seen: fmt.Sprintf("no link to its blob %s, which could be removed as garbage", blob), Wanted: "a link",
			Fix: "repair makes the link", Mend: func(tx kv.Tx) error { return mendLink(tx, id, blob) },
		})
	}
	if waiting == "" {
		f.unwanted(id)
	}
	return nil
}

// unwanted reports an item without recipients: the last ones went together, and the item is about to follow.
func (f *Verifier) unwanted(id ID) {
	f.item(id, kv.Finding{
		ID: "queue-item-done", Severity: kv.SeverityNote, Seen: "no recipients", Wanted: "at least one, or no message",
		Fix: "nothing: the server removes it, or its next start does", Mend: func(tx kv.Tx) error { return removeDone(tx, id) },
	})
}

// recipient checks a recipient, its item and its index key.
func (f *Verifier) recipient(k, value []byte) error {
	id, n, err := parseRecipientKey(k)
	if err != nil {
		f.Stray(k)
		return nil
	}
	r, err := decodeRecipient(n, value)
	if err != nil || r.to.Route != mail.Local && r.to.Route != mail.Remote {
		f.item(id, kv.Finding{
			ID: "queue-recipient", Seen: fmt.Sprintf("recipient %d cannot be read", n), Wanted: "address, route and history",
			Fix: "repair moves it to lost+found", Mend: func(tx kv.Tx) error { tx.Delete(recipientKey(id, n)); return nil },
		})
		return nil
	}
	there, err := f.Has(itemKey(id))
	if err != nil {
		return err
	}
	if !there {
		f.recipientAlone(id, r)
		return nil
	}
	if r.due.IsZero() { // its first attempt is under way
		return nil
	}
	indexed, err := f.Has(indexKey(r.to.Route, r.due, id, n))
	if err == nil && !indexed {
		f.item(id, kv.Finding{
			ID: "queue-index-missing", Seen: fmt.Sprintf("no place in the schedule for %s: it would never be tried again", r.to.Address),
			Wanted: "one", Fix: "repair makes it", Mend: func(tx kv.Tx) error { return mendIndex(tx, id, n) },
		})
	}
	return err
}

// recipientAlone reports a recipient without a message, unless Orphan has.
func (f *Verifier) recipientAlone(id ID, r *recipient) {
	if f.lost[id] {
		return
	}
	n := r.n
	f.item(id, kv.Finding{
		ID: "queue-recipient-alone", Seen: fmt.Sprintf("recipient %s without a message", r.to.Address), Wanted: "the message",
		Fix: "repair moves it to lost+found", Mend: func(tx kv.Tx) error { return removeRecipient(tx, id, n) },
	})
}

// index checks that an index key belongs to a recipient that is due then.
func (f *Verifier) index(route mail.Route, k []byte) error {
	x, err := parseIndexKey(k)
	if err != nil {
		f.Stray(k)
		return nil
	}
	seen := ""
	value, err := f.Get(recipientKey(x.id, x.n))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		seen = "for a recipient that does not exist"
	case err != nil:
		return err
	default:
		r, err := decodeRecipient(x.n, value)
		if err != nil || r.to.Route == route && r.due.UnixMilli() == x.due.UnixMilli() {
			return nil
		}
		seen = fmt.Sprintf("for %s, which is due at another time or by another way", r.to.Address)
	}
	stray := bytes.Clone(k)
	f.item(x.id, kv.Finding{
		ID: "queue-index-stray", Severity: kv.SeverityWarning, Seen: "a place in the schedule " + seen, Wanted: "none",
		Fix: "repair removes it", Mend: func(tx kv.Tx) error { tx.Delete(stray); return nil },
	})
	return nil
}
