package mailbox

import (
	"bytes"
	"fmt"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/kv"
)

// Prefix implements kv.Owner, as do the methods below.
func (f *Verifier) Prefix() byte { return keySpace }

// Blob returns the blob that a record names.
func (f *Verifier) Blob(k, value []byte) (kv.BlobID, bool) {
	_, _, uid, ok := Owner(k)
	if !ok {
		return kv.BlobID{}, false
	}
	r, err := decodeRecord(uid, value)
	return r.blob, err == nil
}

// Body compares a record's attributes with those of the body.
func (f *Verifier) Body(k, value []byte, id kv.BlobID, b kv.Blob) error {
	account, box, uid, _ := Owner(k)
	if f.isDoomed(account, box) {
		return nil
	}
	if err := f.scan(id, b); err != nil {
		return err
	}
	r, err := decodeRecord(uid, value)
	if err != nil {
		return nil // Rows tells of it
	}
	stored, err := r.decodeAttributes()
	if err != nil {
		return nil // likewise
	}
	want := f.attributes.Shift(int64(len(r.prefix)))
	switch same, err := f.same(stored, want, b, int64(len(r.prefix))); {
	case err != nil:
		return err
	case r.size != want.Size:
		f.remeasure(account, box, uid, fmt.Sprintf("a size of %d octets", r.size), fmt.Sprintf("%d octets, as the message has", want.Size))
	case !same:
		f.remeasure(account, box, uid, "envelope or structure differ from the message's", "those of the message")
	}
	return nil
}

// same reports whether stored attributes are those of the message, with the limits of the server or with the default
// ones: each message was read with either when it came in.
func (f *Verifier) same(stored, want *message.Attributes, b kv.Blob, prefix int64) (bool, error) {
	is := stored.Marshal(nil)
	if bytes.Equal(is, want.Marshal(nil)) {
		return true, nil
	}
	usual, err := attributesOf(b, message.Limits{})
	if err != nil {
		return false, err
	}
	return bytes.Equal(is, usual.Shift(prefix).Marshal(nil)), nil
}

func attributesOf(b kv.Blob, limits message.Limits) (*message.Attributes, error) {
	scanner := message.NewScanner(limits)
	if _, err := b.WriteTo(scanner); err != nil {
		return nil, err
	}
	return scanner.Finish(), nil
}

// scan computes the attributes of a blob, unless those of the last one serve.
func (f *Verifier) scan(id kv.BlobID, b kv.Blob) (err error) {
	if id != f.scanned {
		f.scanned = kv.BlobID{}
		if f.attributes, err = attributesOf(b, f.o.Limits); err == nil {
			f.scanned = id
		}
	}
	return err
}

func (f *Verifier) remeasure(account mail.AccountID, id ID, uid UID, seen, wanted string) {
	f.message(account, id, uid, kv.Finding{
		ID: "message-attributes", Severity: kv.SeverityWarning, Seen: seen, Wanted: wanted,
		Fix:  "repair computes them again",
		Mend: func(tx kv.Tx) error { return f.mendAttributes(tx, account, id, uid) },
	})
}

// Lost reports a message whose body cannot be read.
func (f *Verifier) Lost(k, value []byte, blob kv.BlobID, why error) {
	account, id, uid, _ := Owner(k)
	r, err := decodeRecord(uid, value)
	if f.isDoomed(account, id) || err != nil {
		return
	}
	f.message(account, id, uid, kv.Finding{
		ID: "message-body", Seen: fmt.Sprintf("its body cannot be read: %v", why), Wanted: "the body",
		Fix:   "restore a backup; repair removes the message and keeps in lost+found what is left of it",
		Wreck: &kv.Wreck{Name: wreckName(account, id, uid), Prefix: bytes.Clone(r.prefix), Blob: blob},
		Mend:  func(tx kv.Tx) error { return mendExpunge(tx, account, id, uid) },
	})
}

func wreckName(account mail.AccountID, id ID, uid UID) string {
	return fmt.Sprintf("account%d-mailbox%d-message%d.eml", account, id, uid)
}

// Orphan takes note of the body of a message that has lost its record; Rows tells of it.
func (f *Verifier) Orphan(k []byte, blob kv.BlobID) (bool, error) {
	account, id, uid, ok := Owner(k)
	if !ok || f.isDoomed(account, id) || len(f.orphans) >= maxOrphans {
		return false, nil
	}
	there, err := f.Has(uidKey(account, kindHot, id, uid))
	if there {
		f.orphans[string(k)] = blob
	}
	return there, err
}
