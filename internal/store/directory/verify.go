package directory

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// verifier checks the directory's rows against each other.
type verifier struct {
	*kv.Verification
	state  *state
	used   map[credentialKey]LastUse
	lastID uint64
	seen   map[byte]bool // the kinds of rows
}

// Verify checks every row of the directory and returns the addresses of its accounts.
func Verify(v *kv.Verification) (map[mail.AccountID]string, error) {
	d := &verifier{Verification: v, state: newState(), used: map[credentialKey]LastUse{}, seen: map[byte]bool{}}
	for p, err := range v.Scan(keyAll, kv.PrefixEnd(keyAll)) {
		if err != nil {
			return nil, err
		}
		if err := v.Row(); err != nil {
			return nil, err
		}
		if n, err := parseNumber(p.Value); err == nil && n > formatVersion && bytes.Equal(p.Key, keyVersion) {
			return nil, errNewer(n)
		}
		d.row(p)
	}
	d.single()
	d.accounts()
	d.aliases()
	d.trials()
	names := make(map[mail.AccountID]string, len(d.state.accounts))
	for id, a := range d.state.accounts {
		names[id] = a.Address.String()
	}
	return names, nil
}

// report reports a finding. Its severity is an error unless it says otherwise.
func (d *verifier) report(f kv.Finding) {
	if f.Severity == "" {
		f.Severity = kv.SeverityError
	}
	d.Report(f)
}

// lostIDs is how far the highest account id is raised when it is not known: ids are never given twice.
const lostIDs = 1000

// singles are the kinds of which there is one row.
const singles = "vsige"

// row checks one row by itself.
func (d *verifier) row(p kv.Pair) {
	if len(p.Key) < 2 || !bytes.Contains([]byte(singles+"daculntxyz"), p.Key[1:2]) {
		d.Stray(p.Key)
		return
	}
	kind := p.Key[1]
	if kind >= keyCensus[1] {
		d.census(p)
		return
	}
	if bytes.IndexByte([]byte(singles), kind) >= 0 {
		if len(p.Key) > 2 {
			d.Stray(p.Key)
			return
		}
		d.seen[kind] = true
	}
	if kind == 'i' {
		d.lastID, _ = parseNumber(p.Value)
	}
	if kind == 'c' && d.ownerless(p) {
		return
	}
	if err := d.state.read(p, d.used); err != nil {
		d.unreadable(bytes.Clone(p.Key), err)
		return
	}
	if k, err := parseCredentialKey(p.Key[2:]); err == nil && kind == 'u' {
		if a := d.state.accounts[k.account]; a == nil || a.credential(k.id) == nil {
			d.report(kv.Finding{
				ID: "last-use", Severity: kv.SeverityWarning, Place: fmt.Sprintf("credential %d of account %d", k.id, k.account),
				Seen: "a last use without a credential", Wanted: "none", Fix: "repair removes it", Mend: remove(k.use()),
			})
		}
	}
}

// remove is a Mend that takes a row away.
func remove(key []byte) func(kv.Tx) error {
	return func(tx kv.Tx) error { tx.Delete(key); return nil }
}

// unreadable reports a row that cannot be read.
func (d *verifier) unreadable(key []byte, err error) {
	f := kv.Finding{
		ID: "directory-row", Place: fmt.Sprintf("row %q of the directory", key), Seen: fmt.Sprintf("it cannot be read: %v", err),
		Wanted: "a row that can be read", Fix: "restore a backup; repair moves the row to lost+found", Mend: remove(key),
	}
	switch id, bad := parseNumber(key[2:]); {
	case key[1] == 'd':
		f.Fix, f.Mend = "repair writes the domain anew", func(tx kv.Tx) error { return addDomain(tx, mail.Domain(key[2:])) }
	case key[1] == 'a' && bad == nil:
		f.Fix, f.Mend = adoptFix, func(tx kv.Tx) error { return Adopt(tx, mail.AccountID(id)) }
	case key[1] == 's':
		f.Fix, f.Mend = "repair makes a new secret", setSecret
	}
	d.report(f)
}

// ownerless reports a credential whose account is not there.
func (d *verifier) ownerless(p kv.Pair) bool {
	k, err := parseCredentialKey(p.Key[2:])
	if err != nil || d.state.accounts[k.account] != nil {
		return false
	}
	d.report(kv.Finding{
		ID: "account-missing", Place: fmt.Sprintf("account %d", k.account), Seen: "a credential of an account that does not exist",
		Wanted: "the account", Fix: adoptFix, Mend: func(tx kv.Tx) error { return Adopt(tx, k.account) },
	})
	return true
}

// single checks the rows of which there is one.
func (d *verifier) single() {
	if !d.seen['v'] {
		d.report(kv.Finding{
			ID: "directory-format", Place: "format of the directory", Seen: "none", Wanted: fmt.Sprint(formatVersion),
			Fix:  "repair writes it, taking the rows to be of this program's format",
			Mend: func(tx kv.Tx) error { tx.Set(keyVersion, number(uint64(formatVersion))); return nil },
		})
	}
	if !d.seen['s'] {
		d.report(kv.Finding{
			ID: "directory-secret", Place: "secret of the directory", Seen: "none", Wanted: "32 octets",
			Fix: "repair makes a new one; only what strangers see of accounts that do not exist changes", Mend: setSecret,
		})
	}
	var highest mail.AccountID
	for id := range d.state.accounts {
		highest = max(highest, id)
	}
	if uint64(highest) > d.lastID {
		d.report(kv.Finding{
			ID: "account-ids", Place: "highest account id ever given", Seen: fmt.Sprint(d.lastID), Wanted: fmt.Sprintf("at least %d", highest),
			Fix: "repair raises it", Mend: func(tx kv.Tx) error { return raiseLastID(tx, highest+lostIDs) },
		})
	}
}

// accounts checks every account against the others and its domain.
func (d *verifier) accounts() {
	d.state.index()
	taken := map[mail.Address]bool{}
	for _, id := range slices.Sorted(maps.Keys(d.state.accounts)) {
		a := d.state.accounts[id]
		place := "account " + a.Address.String()
		d.domain(place, a.Address.Domain)
		if taken[a.Address] || canonical(a.Address) != a.Address {
			d.report(kv.Finding{
				ID: "account-address", Place: fmt.Sprintf("account %d", id), Seen: fmt.Sprintf("the address %s, which is not its own", a.Address),
				Wanted: "an address of its own, in lower case", Fix: "repair gives it another address", Mend: func(tx kv.Tx) error { return Adopt(tx, id) },
			})
		}
		taken[a.Address] = true
		var last credentialID
		for _, c := range a.credentials {
			last = max(last, c.id)
		}
		if last > a.LastCredential {
			d.report(kv.Finding{
				ID: "credential-ids", Place: place, Seen: fmt.Sprintf("highest credential id ever given: %d", a.LastCredential),
				Wanted: fmt.Sprintf("at least %d", last), Fix: "repair raises it", Mend: func(tx kv.Tx) error { return raiseCredential(tx, id, last) },
			})
		}
	}
}

// aliases checks every alias.
func (d *verifier) aliases() {
	for _, address := range slices.SortedFunc(maps.Keys(d.state.aliases), byDomain) {
		targets := d.state.aliases[address]
		place := "alias " + address.String()
		d.domain(place, address.Domain)
		seen := ""
		switch {
		case len(targets) == 0 || slices.Contains(targets, mail.Address{}):
			seen = "no target"
		case d.state.addresses[address] != nil:
			seen = "an account has the address, too"
		case canonical(address) != address:
			seen = "an address that is not in lower case"
		default:
			continue
		}
		d.report(kv.Finding{
			ID: "alias", Place: place, Seen: seen, Wanted: "an address of its own that leads somewhere",
			Fix: "repair moves the alias to lost+found", Mend: remove(aliasKey(address)),
		})
	}
}

// domain checks that a domain exists.
func (d *verifier) domain(place string, name mail.Domain) {
	if _, ok := d.state.domains[name]; ok {
		return
	}
	d.state.domains[name] = domainRecord{} // reported once
	d.report(kv.Finding{
		ID: "domain-missing", Place: place, Seen: fmt.Sprintf("no domain %s", name), Wanted: "a domain of ours",
		Fix: "repair adds the domain", Mend: func(tx kv.Tx) error { return addDomain(tx, name) },
	})
}

// missing reports whether err says that there is no row.
func missing(err error) bool { return errors.Is(err, kv.ErrNotFound) }
