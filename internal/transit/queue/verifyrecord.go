package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// recordFinding reports a finding about the records of messages.
func (f *Verifier) recordFinding(id ID, finding kv.Finding) {
	finding.Place = fmt.Sprintf("record of message %q", string(id))
	finding.Severity = kv.SeverityWarning
	f.Report(finding)
}

// record checks a record, and that the account that submitted the message leads to it.
func (f *Verifier) record(k, value []byte) error {
	id, ok := parseRecordKey(k)
	if !ok {
		f.Stray(k)
		return nil
	}
	r, err := decodeRecord(id, value)
	if err != nil {
		f.recordFinding(id, kv.Finding{
			ID: "record", Seen: "it cannot be read", Wanted: "how the message came",
			Fix:  "repair moves it to lost+found; the message itself is not concerned",
			Mend: func(tx kv.Tx) error { tx.Delete(recordKey(id)); return nil },
		})
		return nil
	}
	if r.Account == 0 {
		return nil
	}
	there, err := f.Has(accountKey(r.Account, id))
	if err == nil && !there {
		f.recordFinding(id, kv.Finding{
			ID: "record-account", Seen: fmt.Sprintf("account %d does not lead to it: it would stay when the account goes", r.Account),
			Wanted: "a place among the account's records", Fix: "repair makes it",
			Mend: func(tx kv.Tx) error { return mendAccountRow(tx, r.Account, id) },
		})
	}
	return err
}

func mendAccountRow(tx kv.Tx, a mail.AccountID, id ID) error {
	if _, err := tx.Get(recordKey(id)); errors.Is(err, kv.ErrNotFound) {
		return kv.ErrLater
	} else if err != nil {
		return err
	}
	tx.Set(accountKey(a, id), nil)
	return nil
}

// accountRow checks that an account leads to a record of its own.
func (f *Verifier) accountRow(k, _ []byte) error {
	account, id, ok := parseAccountKey(k)
	if !ok {
		f.Stray(k)
		return nil
	}
	value, err := f.Get(recordKey(id))
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	if err == nil {
		if r, err := decodeRecord(id, value); err != nil || r.Account == account {
			return nil
		}
	}
	stray := bytes.Clone(k)
	f.recordFinding(id, kv.Finding{
		ID: "record-account-stray", Seen: fmt.Sprintf("account %d leads to it, which is not there or another's", account), Wanted: "no such row",
		Fix: "repair removes it", Mend: func(tx kv.Tx) error { tx.Delete(stray); return nil },
	})
	return nil
}

func (f *Verifier) doomedRow(k, _ []byte) error {
	if _, ok := parseDoomedKey(k); !ok {
		f.Stray(k)
	}
	return nil
}

func (f *Verifier) dayRow(k, value []byte) error {
	if _, n := binary.Uvarint(value); n != len(value) || n == 0 {
		f.Stray(k)
	} else if _, ok := parseDayKey(k); !ok {
		f.Stray(k)
	}
	return nil
}

func (f *Verifier) cutRow(k, value []byte) error {
	if len(k) != 2 || len(value) != idSize+1 {
		f.Stray(k)
	}
	return nil
}
