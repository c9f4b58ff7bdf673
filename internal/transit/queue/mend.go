package queue

import (
	"encoding/binary"
	"errors"
	"time"

	"candor/internal/store/kv"
)

// What repair does. Each function brings one thing in order; what follows from it is left to the next pass.

// readItem reads an item. Errors: kv.ErrLater for one that is not there or cannot be read.
func readItem(r kv.Reader, id ID) (*Message, time.Time, error) {
	v, err := r.Get(itemKey(id))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, time.Time{}, kv.ErrLater
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	m, created, err := decodeItem(id, v)
	if err != nil {
		return nil, created, errors.Join(kv.ErrLater, err)
	}
	return m, created, nil
}

// mendSize corrects the size that an item tells.
func mendSize(tx kv.Tx, id ID, size int64) error {
	m, created, err := readItem(tx, id)
	if err != nil {
		return err
	}
	m.BlobSize = size
	tx.Set(itemKey(id), encodeItem(m, created))
	return nil
}

// mendLink links the blob of an item that is still there.
func mendLink(tx kv.Tx, id ID, blob kv.BlobID) error {
	if m, _, err := readItem(tx, id); err != nil || m.Blob != blob {
		return errors.Join(err, kv.ErrLater)
	}
	tx.Link(blob, itemKey(id))
	return nil
}

// mendIndex gives a recipient its place in the schedule.
func mendIndex(tx kv.Tx, id ID, n uint32) error {
	v, err := tx.Get(recipientKey(id, n))
	if err != nil {
		return kv.ErrLater
	}
	r, err := decodeRecipient(n, v)
	if err != nil || r.due.IsZero() {
		return kv.ErrLater
	}
	tx.Set(indexKey(r.to.Route, r.due, id, n), nil)
	return nil
}

// mendRemove removes an item, as far as it is there, with its recipients.
func mendRemove(tx kv.Tx, id ID) error {
	from := recipientPrefix(id)
	var numbers []uint32
	for p, err := range tx.Scan(from, kv.PrefixEnd(from)) {
		if err != nil {
			return err
		}
		if len(p.Key) == len(from)+4 {
			numbers = append(numbers, binary.BigEndian.Uint32(p.Key[len(from):]))
		}
	}
	for _, n := range numbers {
		if err := removeRecipient(tx, id, n); err != nil {
			return err
		}
	}
	return deleteItem(tx, id)
}

// removeDone removes an item unless it has recipients.
func removeDone(tx kv.Tx, id ID) error {
	if orphan, err := isOrphan(tx, id); err != nil || !orphan {
		return err
	}
	return deleteItem(tx, id)
}

// deleteItem removes an item and its link, if it is there.
func deleteItem(tx kv.Tx, id ID) error {
	if m, _, err := readItem(tx, id); err == nil {
		tx.Unlink(m.Blob, itemKey(id))
	}
	tx.Delete(itemKey(id))
	return nil
}

// removeRecipient removes a recipient with its place in the schedule.
func removeRecipient(tx kv.Tx, id ID, n uint32) error {
	k := recipientKey(id, n)
	v, err := tx.Get(k)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	tx.Delete(k)
	if r, err := decodeRecipient(n, v); err == nil && !r.due.IsZero() {
		tx.Delete(indexKey(r.to.Route, r.due, id, n))
	}
	return nil
}
