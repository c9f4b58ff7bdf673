package mailbox

import (
	"encoding/binary"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// The keys. Each begins with 'm', the account's id (8 octets) and a kind; numbers are big-endian, so
// that keys sort as numbers do.
//
//	m account a                 account row: MODSEQ, next mailbox id, last UIDVALIDITY, counts, layout
//	m account b mailbox         mailbox row: name, UIDVALIDITY, special use, keywords
//	m account c mailbox         counters: UIDNEXT, HIGHESTMODSEQ, what STATUS tells, extent of the log
//	m account h mailbox uid     hot record: MODSEQ and flags, rewritten at each STORE
//	m account i mailbox digest  a message that was imported (ImportKey); no value
//	m account l mailbox modseq  log row: the UIDs that one command added, changed and expunged
//	m account n name            name: the mailbox's id
//	m account r mailbox uid     record: what never changes; the owner of the link to the blob
//	m account s name            subscription; no value
//
// No account has the id 0; under it stand the store's own keys:
//
//	m 0 d account mailbox       doomed: a mailbox, or with mailbox 0 an account, being removed
//	m 0 v                       format of all of these, as a number
const (
	keySpace = 'm'

	kindAccount      = 'a'
	kindMailbox      = 'b'
	kindCounters     = 'c'
	kindHot          = 'h'
	kindImport       = 'i'
	kindLog          = 'l'
	kindName         = 'n'
	kindRecord       = 'r'
	kindSubscription = 's'

	kindDoomed = 'd'
	kindFormat = 'v'

	noAccount mail.AccountID = 0
)

// key returns the key of a kind with room for n octets more.
func key(account mail.AccountID, kind byte, n int) []byte {
	k := make([]byte, 0, 10+n)
	k = append(k, keySpace)
	k = binary.BigEndian.AppendUint64(k, uint64(account))
	return append(k, kind)
}

func mailboxKey(account mail.AccountID, kind byte, id ID) []byte {
	return binary.BigEndian.AppendUint64(key(account, kind, 8), uint64(id))
}

func uidKey(account mail.AccountID, kind byte, id ID, uid UID) []byte {
	k := binary.BigEndian.AppendUint64(key(account, kind, 12), uint64(id))
	return binary.BigEndian.AppendUint32(k, uint32(uid))
}

func logKey(account mail.AccountID, id ID, m ModSeq) []byte {
	k := binary.BigEndian.AppendUint64(key(account, kindLog, 16), uint64(id))
	return binary.BigEndian.AppendUint64(k, uint64(m))
}

func nameKey(account mail.AccountID, kind byte, name string) []byte {
	return append(key(account, kind, len(name)), name...)
}

func doomedKey(account mail.AccountID, id ID) []byte {
	k := binary.BigEndian.AppendUint64(key(noAccount, kindDoomed, 16), uint64(account))
	return binary.BigEndian.AppendUint64(k, uint64(id))
}

// uidOf returns the UID at the end of a hot record's or record's key.
func uidOf(k []byte) UID { return UID(binary.BigEndian.Uint32(k[len(k)-4:])) }

// modSeqOf returns the ModSeq at the end of a log row's key.
func modSeqOf(k []byte) ModSeq { return ModSeq(binary.BigEndian.Uint64(k[len(k)-8:])) }

// Owner names the message whose link to a blob has the given owner key (kv.DB.Links); ok is false
// for a key that is not a message's.
func Owner(owner []byte) (account mail.AccountID, id ID, uid UID, ok bool) {
	if len(owner) != 22 || owner[0] != keySpace || owner[9] != kindRecord {
		return 0, 0, 0, false
	}
	account = mail.AccountID(binary.BigEndian.Uint64(owner[1:]))
	return account, ID(binary.BigEndian.Uint64(owner[10:])), uidOf(owner), true
}

// neighbours is how many absent UIDs a scan passes over before a new one is begun.
const neighbours = 32

// scanUIDs calls f for each of uids (rising) that has a row of the kind, in order. UIDs that lie
// close together are read by one scan. The value is valid until f returns.
func scanUIDs(r kv.Reader, account mail.AccountID, kind byte, id ID, uids []UID, f func(UID, []byte) error) error {
	for len(uids) > 0 {
		n := 1
		for n < len(uids) && uids[n]-uids[n-1] <= neighbours {
			n++
		}
		if err := scanRun(r, account, kind, id, uids[:n], f); err != nil {
			return err
		}
		uids = uids[n:]
	}
	return nil
}

func scanRun(r kv.Reader, account mail.AccountID, kind byte, id ID, uids []UID, f func(UID, []byte) error) error {
	from := uidKey(account, kind, id, uids[0])
	to := uidKey(account, kind, id, uids[len(uids)-1]+1)
	for p, err := range r.Scan(from, to) {
		if err != nil {
			return err
		}
		uid := uidOf(p.Key)
		for len(uids) > 0 && uids[0] < uid {
			uids = uids[1:]
		}
		if len(uids) == 0 {
			return nil
		}
		if uids[0] != uid {
			continue
		}
		if err := f(uid, p.Value); err != nil {
			return err
		}
	}
	return nil
}
