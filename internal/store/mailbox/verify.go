package mailbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/kv"
)

// VerifyOptions is what a Verifier has to know of the directory.
type VerifyOptions struct {
	Accounts map[mail.AccountID]string // the addresses of all accounts
	// Adopt makes an account in the directory for mail whose account is not there.
	Adopt func(tx kv.Tx, id mail.AccountID) error
	// Limits are those that messages are read with where they come in.
	Limits message.Limits
}

// Verifier checks the rows of this package and says how to mend them. It implements kv.Owner, whose walk over
// the links comes before Rows.
type Verifier struct {
	*kv.Verification
	o      VerifyOptions
	doomed map[tableKey]bool
	// orphans are the blobs of messages that have lost their record, by its key.
	orphans map[string]kv.BlobID

	scanned    kv.BlobID // the blob whose attributes these are
	attributes *message.Attributes
}

// maxOrphans bounds the lost records that one pass knows the blobs of.
const maxOrphans = 100_000

// NewVerifier begins to verify.
func NewVerifier(v *kv.Verification, o VerifyOptions) (*Verifier, error) {
	f := &Verifier{Verification: v, o: o, doomed: map[tableKey]bool{}, orphans: map[string]kv.BlobID{}}
	prefix := key(noAccount, kindDoomed, 0)
	for p, err := range v.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return nil, err
		}
		if k := p.Key[len(prefix):]; len(k) == 16 {
			f.doomed[tableKey{mail.AccountID(binary.BigEndian.Uint64(k)), idOf(k[8:])}] = true
		}
	}
	return f, nil
}

func (f *Verifier) isDoomed(account mail.AccountID, id ID) bool {
	return f.doomed[tableKey{account, id}] || f.doomed[tableKey{account, 0}]
}

// Rows checks every row.
func (f *Verifier) Rows() error {
	if err := f.own(); err != nil {
		return err
	}
	missing := maps.Clone(f.o.Accounts)
	end := []byte{keySpace + 1}
	for from := accountPrefix(noAccount + 1); ; {
		k, err := first(f, from, end)
		if err != nil || k == nil {
			return errors.Join(err, f.withoutMail(missing))
		}
		if len(k) < 10 {
			f.Stray(k)
			from = append(k, 0)
			continue
		}
		id := mail.AccountID(binary.BigEndian.Uint64(k[1:]))
		delete(missing, id)
		if err := f.account(id); err != nil {
			return err
		}
		from = kv.PrefixEnd(k[:9])
	}
}

func accountPrefix(id mail.AccountID) []byte { return key(id, 0, 0)[:9] }

// first returns the first key in a range; nil: there is none.
func first(r kv.Reader, from, to []byte) ([]byte, error) {
	if from == nil {
		return nil, nil
	}
	for p, err := range r.Scan(from, to) {
		return bytes.Clone(p.Key), err
	}
	return nil, nil
}

// own checks the store's own rows.
func (f *Verifier) own() error {
	from := []byte{keySpace}
	for p, err := range f.Scan(from, accountPrefix(noAccount+1)) {
		if err != nil {
			return err
		}
		if err := f.Row(); err != nil {
			return err
		}
		doomed := bytes.HasPrefix(p.Key, key(noAccount, kindDoomed, 0)) && len(p.Key) == 26
		if !doomed && !bytes.Equal(p.Key, key(noAccount, kindFormat, 0)) {
			f.Stray(p.Key)
		}
	}
	k := key(noAccount, kindFormat, 0)
	v, err := f.Get(k)
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	want := binary.AppendUvarint(nil, format)
	if d := (decoder{rest: v}); v != nil {
		if found := d.uvarint(); d.err("format") == nil && found != format {
			return errFormat(found)
		}
	}
	if !bytes.Equal(v, want) {
		f.Report(kv.Finding{
			ID: "mail-format", Severity: kv.SeverityError, Place: "format of the mail", Seen: fmt.Sprintf("%x", v),
			Wanted: fmt.Sprintf("%x", want), Fix: "repair writes it, taking the rows to be of this program's format",
			Mend: func(tx kv.Tx) error { tx.Set(k, want); return nil },
		})
	}
	return nil
}

// withoutMail reports accounts of the directory that have no rows at all.
func (f *Verifier) withoutMail(missing map[mail.AccountID]string) error {
	for _, id := range slices.Sorted(maps.Keys(missing)) {
		if f.doomed[tableKey{id, 0}] {
			continue
		}
		f.Report(kv.Finding{
			ID: "account-without-mailboxes", Severity: kv.SeverityNote, Place: f.accountName(id),
			Seen: "no mailboxes", Wanted: "INBOX at least", Fix: "nothing: the next start makes them",
			Mend: func(tx kv.Tx) error { return createAccount(tx, scribe(id)) },
		})
	}
	return nil
}

func (f *Verifier) accountName(id mail.AccountID) string {
	if address, ok := f.o.Accounts[id]; ok {
		return "account " + address
	}
	return fmt.Sprintf("account %d", id)
}

func (f *Verifier) boxName(account mail.AccountID, id ID) string {
	if row, err := readMailboxRow(f, account, id); err == nil {
		return fmt.Sprintf("mailbox %q of %s", row.name, f.accountName(account))
	}
	return fmt.Sprintf("mailbox %d of %s", id, f.accountName(account))
}

func (f *Verifier) messageName(account mail.AccountID, id ID, uid UID) string {
	return fmt.Sprintf("message %d in %s", uid, f.boxName(account, id))
}

// message reports a finding about one message.
func (f *Verifier) message(account mail.AccountID, id ID, uid UID, finding kv.Finding) {
	finding.Place = f.messageName(account, id, uid)
	if finding.Severity == "" {
		finding.Severity = kv.SeverityError
	}
	f.Report(finding)
}
