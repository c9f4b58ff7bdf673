package queue

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// TestVerifyAndRepair: each damage is found and named, and mended so that nothing is left to find; the other message
// stays what it was.
func TestVerifyAndRepair(t *testing.T) {
	t.Parallel()
	garble := func(tx kv.Tx, k []byte) { tx.Set(k, []byte{0xff}) }
	for name, c := range map[string]struct {
		harm func(tx kv.Tx, m *Message, r *recipient)
		want []string
	}{
		"envelope lost":    {func(tx kv.Tx, m *Message, _ *recipient) { tx.Delete(itemKey(m.ID)) }, []string{"queue-item-lost"}},
		"envelope garbled": {func(tx kv.Tx, m *Message, _ *recipient) { garble(tx, itemKey(m.ID)) }, []string{"queue-item"}},
		"envelope and link lost": {func(tx kv.Tx, m *Message, _ *recipient) {
			tx.Unlink(m.Blob, itemKey(m.ID))
			tx.Delete(itemKey(m.ID))
		}, []string{"queue-recipient-alone"}},
		"link lost": {func(tx kv.Tx, m *Message, _ *recipient) { tx.Unlink(m.Blob, itemKey(m.ID)) }, []string{"queue-link"}},
		"size wrong": {func(tx kv.Tx, m *Message, _ *recipient) {
			n := *m
			n.BlobSize++
			tx.Set(itemKey(m.ID), encodeItem(&n, time.Now()))
		}, []string{"queue-size"}},
		"recipient lost":    {func(tx kv.Tx, m *Message, r *recipient) { tx.Delete(recipientKey(m.ID, r.n)) }, []string{"queue-index-stray", "queue-item-done"}},
		"recipient garbled": {func(tx kv.Tx, m *Message, r *recipient) { garble(tx, recipientKey(m.ID, r.n)) }, []string{"queue-recipient"}},
		"schedule lost":     {func(tx kv.Tx, m *Message, r *recipient) { tx.Delete(indexKey(r.to.Route, r.due, m.ID, r.n)) }, []string{"queue-index-missing"}},
		"scheduled twice": {func(tx kv.Tx, m *Message, r *recipient) {
			tx.Set(indexKey(mail.Local, r.due.Add(time.Hour), m.ID, r.n), nil)
		}, []string{"queue-index-stray"}},
		"format lost":     {func(tx kv.Tx, _ *Message, _ *recipient) { tx.Delete(formatKey()) }, []string{"queue-format"}},
		"unknown kind":    {func(tx kv.Tx, _ *Message, _ *recipient) { tx.Set([]byte("qz"), nil) }, []string{"row-unknown"}},
		"item without id": {func(tx kv.Tx, _ *Message, _ *recipient) { tx.Set([]byte("qi?"), nil) }, []string{"row-unknown"}},
		"record garbled":  {func(tx kv.Tx, m *Message, _ *recipient) { garble(tx, recordKey(m.ID)) }, []string{"record"}},
		"record lost":     {func(tx kv.Tx, m *Message, _ *recipient) { tx.Delete(recordKey(m.ID)) }, []string{"record-account-stray"}},
		"record of no account": {func(tx kv.Tx, m *Message, _ *recipient) {
			tx.Delete(accountKey(m.Envelope.Account, m.ID))
		}, []string{"record-account"}},
		"record of two accounts": {func(tx kv.Tx, m *Message, _ *recipient) { tx.Set(accountKey(9, m.ID), nil) }, []string{"record-account-stray"}},
		"odd counts": {func(tx kv.Tx, m *Message, _ *recipient) {
			tx.Set(dayKey(time.Now(), mail.Clear, "example.net"), nil)
			tx.Set(cutKey(), nil)
			tx.Set([]byte("qd"), []byte{1})
		}, []string{"row-unknown", "row-unknown", "row-unknown"}},
		"nothing": {func(kv.Tx, *Message, *recipient) {}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := store(t, t.TempDir()).(*kv.Engine)
			q := open(t, db, Options{Remote: newTransport(temporary)})
			harmed, kept := newMessage(t, q, remote("bob@example.net")), newMessage(t, q, remote("cid@example.net"))
			harmed.Envelope.Account = 7
			put(t, q, harmed)
			put(t, q, kept)
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			q = open(t, db, Options{}) // which gives every recipient its place in the schedule
			e, err := q.load(t.Context(), harmed.ID)
			if err == nil {
				err = db.Update(t.Context(), func(tx kv.Tx) error { c.harm(tx, harmed, e.recipients[0]); return nil })
			}
			if err != nil {
				t.Fatal(err)
			}
			if found := verify(t, db); !slices.Equal(found, c.want) {
				t.Fatalf("found %q, want %q", found, c.want)
			}
			if _, err := db.Repair(t.Context(), kv.RepairOptions{}, verification); err != nil {
				t.Fatal(err)
			}
			if found := verify(t, db); len(found) > 0 {
				t.Errorf("after the repair: %q", found)
			}
			item, err := q.Show(t.Context(), kept.ID)
			if err != nil || len(item.Recipients) != 1 || !bytes.Equal(item.Trace, kept.Trace) || item.Blob != kept.Blob {
				t.Errorf("the other message is %+v, %v", item, err)
			}
		})
	}
}

func verification(v *kv.Verification) error {
	f := NewVerifier(v)
	if err := v.Links(f); err != nil {
		return err
	}
	return f.Rows()
}

func verify(t *testing.T, db *kv.Engine) (found []string) {
	t.Helper()
	_, err := db.Verify(t.Context(), kv.VerifyOptions{Report: func(f kv.Finding) { found = append(found, f.ID); t.Log(fmt.Sprint(f)) }}, verification)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}
