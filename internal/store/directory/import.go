package directory

import (
	"context"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// ImportedAccount is an account of another server.
type ImportedAccount struct {
	Address mail.Address `json:"address"`
	// Hash is that of the password, as "{SCHEME}hash" with a scheme of Dovecot; {PLAIN} is followed by the password itself.
	Hash string `json:"hash"`
}

// Imported is what became of an ImportedAccount: an account, or why there is none.
type Imported struct {
	Account Account
	Err     error // Exists, NotFound (domain), Syntax, TooBig (the hash takes too long to verify), Unavailable
}

// ImportAccounts makes accounts, in one transaction, whose passwords are those of another server. A hash verifies received
// passwords alone, until the first right one replaces it by verifiers of our own. All logins are verified anew.
//
// The outcomes are in the order of the accounts. The error is that of the store; then there is none of them.
func (d *Directory) ImportAccounts(ctx context.Context, all []ImportedAccount) ([]Imported, error) {
	brought := make([]verifiers, len(all))
	refused := make([]error, len(all))
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for i, a := range all {
		work.Go(func() error {
			brought[i], refused[i] = d.bring(ctx, a)
			return nil
		})
	}
	_ = work.Wait()
	var outcomes []Imported
	err := d.change(ctx, func(tx kv.Tx, s *state) (func(*state), error) {
		outcomes = make([]Imported, len(all))
		made := make([]*account, 0, len(all))
		taken := map[mail.Address]bool{}
		for i := range all {
			address, err := canonical(all[i].Address), refused[i]
			if err == nil {
				err = s.free(address)
			}
			if err == nil && taken[address] {
				err = mail.Errorf(mail.Exists, "%s is there twice", address)
			}
			if outcomes[i].Err = err; err != nil {
				continue
			}
			taken[address] = true
			a, err := d.newAccount(tx, s, address, &brought[i])
			if err != nil {
				return nil, err
			}
			made = append(made, a)
			outcomes[i].Account = a.public()
		}
		epoch := s.epoch + 1
		tx.Set(keyEpoch, number(epoch))
		return func(s *state) {
			s.epoch = epoch
			for _, a := range made {
				s.put(a)
			}
		}, nil
	})
	return outcomes, err
}

// bring makes the verifiers of an account that is imported.
func (d *Directory) bring(ctx context.Context, a ImportedAccount) (v verifiers, err error) {
	if a.Address.Local == "" || a.Address.Local == catchAll {
		return v, mail.Errorf(mail.Syntax, "%q cannot be an account", a.Address)
	}
	scheme, password, err := splitScheme(a.Hash)
	if err != nil {
		return v, err
	}
	if !slices.Contains(plainSchemes, scheme) {
		v.Old, err = parseOldHash(a.Hash, a.Address)
		return v, err
	}
	if len(password) > maxPassword {
		return v, mail.Errorf(mail.Syntax, "a password is at most %d octets long", maxPassword)
	}
	var salt []byte
	d.view(func(s *state) { salt = s.salt(canonical(a.Address)) })
	p := receive([]byte(password))
	defer p.wipe()
	err = d.hasher.do(ctx, func() { v = d.adopt(salt, &p) })
	return v, err
}

// OldPassword is a password credential without SCRAM keys, which keeps SCRAM from being offered.
type OldPassword struct {
	Address   mail.Address `json:"address"`
	Verifiers []string     `json:"verifiers"` // "{SSHA}" and such until the first login; "argon2id-raw" until a new password is set
	Disabled  bool         `json:"disabled,omitempty"`
	LastUsed  LastUse      `json:"last_used,omitzero"`
}

// OldPasswords returns those there are, in the order of addresses.
func (d *Directory) OldPasswords(context.Context) (all []OldPassword, err error) {
	d.view(func(s *state) {
		for _, a := range s.accounts {
			for i := range a.credentials {
				if c := &a.credentials[i]; c.isPassword() && c.Verifiers.Scram == nil {
					all = append(all, OldPassword{a.Address, c.Verifiers.names(), a.Disabled, d.uses.last(credentialKey{a.id, c.id})})
				}
			}
		}
	})
	slices.SortFunc(all, func(a, b OldPassword) int { return byDomain(a.Address, b.Address) })
	return all, nil
}
