package directory

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

const adoptFix = "repair gives the account the address lost+found-NUMBER in the first domain; set a password, or remove it"

// Adopt gives an account whose record is lost or does not do another, with the address lost+found-ID in the first
// domain. Credentials that it still has stay. Errors: kv.ErrLater without a domain.
func Adopt(tx kv.Tx, id mail.AccountID) error {
	var domain mail.Domain
	for p, err := range tx.Scan([]byte("dd"), []byte("de")) {
		if err != nil {
			return err
		}
		domain = mail.Domain(p.Key[2:])
		break
	}
	secret, err := tx.Get(keySecret)
	if domain == "" || missing(err) {
		return fmt.Errorf("%w: the directory has no domain", kv.ErrLater)
	}
	if err != nil {
		return err
	}
	address := mail.Address{Local: mail.LocalPart(fmt.Sprintf("lost+found-%d", id)), Domain: domain}
	r := accountRecord{Address: address, Created: time.Now().UTC(), Generation: 1, Salt: (&state{secret: secret}).salt(address)}
	if v, err := tx.Get(accountKey(id)); err == nil {
		var old accountRecord
		if json.Unmarshal(v, &old) == nil {
			old.Address = address
			r = old
		}
		r.Generation++
	}
	if len(r.Salt) == 0 {
		r.Salt = (&state{secret: secret}).salt(address)
	}
	prefix := credentialPrefix(id)
	for p, err := range tx.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		if k, err := parseCredentialKey(p.Key[2:]); err == nil {
			r.LastCredential = max(r.LastCredential, k.id)
		}
	}
	if err := raiseLastID(tx, id); err != nil {
		return err
	}
	return setRecord(tx, accountKey(id), r)
}

// raiseLastID makes sure that no account gets id again.
func raiseLastID(tx kv.Tx, id mail.AccountID) error {
	last, err := getNumber(tx, keyLastID)
	if err == nil && last >= uint64(id) {
		return nil
	}
	tx.Set(keyLastID, number(id))
	return nil
}

// raiseCredential makes sure that no credential of an account gets id again.
func raiseCredential(tx kv.Tx, account mail.AccountID, id credentialID) error {
	v, err := tx.Get(accountKey(account))
	if err != nil {
		return kv.ErrLater
	}
	var r accountRecord
	if err := json.Unmarshal(v, &r); err != nil {
		return kv.ErrLater
	}
	r.LastCredential = max(r.LastCredential, id)
	return setRecord(tx, accountKey(account), r)
}

func addDomain(tx kv.Tx, name mail.Domain) error {
	if parsed, err := mail.ParseDomain(string(name)); err != nil || parsed != name {
		tx.Delete(domainKey(name))
		return nil
	}
	return setRecord(tx, domainKey(name), domainRecord{Created: time.Now().UTC()})
}

func setSecret(tx kv.Tx) error {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails
	tx.Set(keySecret, secret)
	return nil
}
