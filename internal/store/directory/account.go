package directory

import (
	"context"
	"slices"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Account is who logs in.
type Account struct {
	ID       mail.AccountID `json:"id"`
	Address  mail.Address   `json:"address"`
	Disabled bool           `json:"disabled,omitempty"`
	Created  time.Time      `json:"created"`
	Quota    Quota          `json:"quota,omitzero"` // of its own
	// HasPassword is false for role accounts such as postmaster after quickstart.
	HasPassword bool `json:"has_password"`
	// PasswordScopes is what the main password may be used for; none: everything.
	PasswordScopes []Scope `json:"password_scopes,omitempty"`
	// AppPasswords is how many there are.
	AppPasswords int `json:"app_passwords,omitempty"`
	// Require is the least that it wants of a login.
	Require Requirement `json:"require,omitempty"`
}

// Accounts returns all accounts in the order of their addresses: by domain, then by local part.
func (d *Directory) Accounts(ctx context.Context) (all []Account, err error) {
	d.view(func(s *state) {
		all = make([]Account, 0, len(s.accounts))
		for _, a := range s.accounts {
			all = append(all, a.public())
		}
	})
	slices.SortFunc(all, func(a, b Account) int { return byDomain(a.Address, b.Address) })
	return all, nil
}

// Account finds an account by its address. Errors: NotFound.
func (d *Directory) Account(ctx context.Context, a mail.Address) (Account, error) {
	var found *account
	d.view(func(s *state) { found = s.addresses[canonical(a)] })
	if found == nil {
		return Account{}, noAccount(a)
	}
	return found.public(), nil
}

// Enabled reports whether there is still an account of that id that may be used. Sessions ask it, which outlive logins.
func (d *Directory) Enabled(id mail.AccountID) (enabled bool) {
	d.view(func(s *state) { enabled = s.accounts[id] != nil && !s.accounts[id].Disabled })
	return enabled
}

// AddAccount makes an account; an empty password makes one that cannot log in. The password is
// prepared with OpaqueString (RFC 8265) and kept as argon2id and SCRAM-SHA-256 keys.
//
// Errors: Exists, NotFound (domain), Syntax (address or password), Unavailable (too many passwords
// are being hashed).
func (d *Directory) AddAccount(ctx context.Context, a mail.Address, password string) (Account, error) {
	a = canonical(a)
	if a.Local == "" || a.Local == catchAll {
		return Account{}, mail.Errorf(mail.Syntax, "%q cannot be an account", a)
	}
	var v *verifiers
	if password != "" {
		var salt []byte
		d.view(func(s *state) { salt = s.salt(a) })
		hashed, err := d.hash(ctx, salt, password)
		if err != nil {
			return Account{}, err
		}
		v = &hashed
	}
	var made *account
	err := d.change(ctx, func(tx kv.Tx, s *state) (func(*state), error) {
		if err := s.free(a); err != nil {
			return nil, err
		}
		var err error
		made, err = d.newAccount(tx, s, a, v)
		return func(s *state) { s.put(made) }, err
	})
	if err != nil {
		return Account{}, err
	}
	return made.public(), nil
}

// free returns why an account or alias cannot be made at a, if it cannot.
func (s *state) free(a mail.Address) error {
	if _, ok := s.domains[a.Domain]; !ok {
		return noDomain(a.Domain)
	}
	if s.taken(a) {
		return mail.Errorf(mail.Exists, "%s exists already", a)
	}
	return nil
}

// newAccount writes a new account at a canonical address, with a main password unless v is nil.
func (d *Directory) newAccount(tx kv.Tx, s *state, address mail.Address, v *verifiers) (*account, error) {
	last, err := getNumber(tx, keyLastID)
	if err != nil {
		return nil, err
	}
	tx.Set(keyLastID, number(last+1))
	now := d.now().UTC()
	a := &account{id: mail.AccountID(last + 1), accountRecord: accountRecord{
		Address: address, Created: now, Generation: 1, Salt: s.salt(address),
	}}
	if v != nil {
		a = a.with(credential{1, credentialRecord{Kind: mainPassword, Generation: 1, Created: now, Verifiers: *v}})
	}
	return a, a.write(tx)
}

// write stores the account and its credentials.
func (a *account) write(tx kv.Tx) error {
	if err := setRecord(tx, accountKey(a.id), a.accountRecord); err != nil {
		return err
	}
	for _, c := range a.credentials {
		if err := setRecord(tx, credentialKey{a.id, c.id}.record(), c.credentialRecord); err != nil {
			return err
		}
	}
	return nil
}

// RemoveAccount removes the account and returns it. Its address is free again, its id never. Aliases that lead to it
// stay, and lead nowhere. also, if not nil, adds to the same transaction what becomes of the account's mail.
//
// Errors: NotFound, those of also.
func (d *Directory) RemoveAccount(ctx context.Context, a mail.Address, also func(kv.Tx, mail.AccountID) error) (Account, error) {
	var removed *account
	err := d.change(ctx, func(tx kv.Tx, s *state) (func(*state), error) {
		if removed = s.addresses[canonical(a)]; removed == nil {
			return nil, noAccount(a)
		}
		tx.Delete(accountKey(removed.id))
		for _, prefix := range [][]byte{credentialPrefix(removed.id), usePrefix(removed.id), trialPrefix(removed.id), censusPrefix(removed.id)} {
			tx.DeleteRange(prefix, kv.PrefixEnd(prefix))
		}
		if also != nil {
			if err := also(tx, removed.id); err != nil {
				return nil, err
			}
		}
		return func(s *state) { s.remove(removed) }, nil
	})
	if err != nil {
		return Account{}, err
	}
	d.uses.forget(removed.id)
	d.throttle.homes.forget(removed.id)
	d.census.forget(removed.id)
	if removed.Address.Local == postmaster {
		d.warnWithoutPostmaster()
	}
	return removed.public(), nil
}

func (d *Directory) warnWithoutPostmaster() {
	var none bool
	d.view(func(s *state) { none = s.postmaster == mail.Address{} && len(s.domains) > 0 })
	if none {
		d.log.Warn("nobody receives mail for postmaster now; add an account or alias postmaster@ one of the domains")
	}
}

// SetPassword replaces the main password. When it returns, the old one is accepted no more.
//
// Errors: NotFound, Syntax (an empty password among others), Unavailable.
func (d *Directory) SetPassword(ctx context.Context, a mail.Address, password string) error {
	var now *account
	d.view(func(s *state) { now = s.addresses[canonical(a)] })
	if now == nil {
		return noAccount(a)
	}
	v, err := d.hash(ctx, now.Salt, password)
	if err != nil {
		return err
	}
	return d.edit(ctx, a, func(a *account) (*account, error) {
		if a.id != now.id {
			return nil, noAccount(a.Address) // it was removed meanwhile, and another made
		}
		c := credential{id: a.LastCredential + 1}
		if old := a.main(); old != nil {
			c = *old
		}
		c.Kind = mainPassword
		c.Generation++
		c.Created = d.now().UTC()
		c.Verifiers = v
		c.Exposed = nil
		return a.with(c), nil
	})
}

// SetDisabled disables or enables logins of an account; it still receives mail.
//
// Errors: NotFound.
func (d *Directory) SetDisabled(ctx context.Context, a mail.Address, disabled bool) error {
	return d.edit(ctx, a, func(a *account) (*account, error) {
		next := *a
		next.Disabled = disabled
		next.Generation++
		return &next, nil
	})
}

// edit puts what f makes of an account in its place. f must not change the account it is given.
func (d *Directory) edit(ctx context.Context, a mail.Address, f func(*account) (*account, error)) error {
	return d.change(ctx, func(tx kv.Tx, s *state) (func(*state), error) {
		old := s.addresses[canonical(a)]
		if old == nil {
			return nil, noAccount(a)
		}
		next, err := f(old)
		if err != nil {
			return nil, err
		}
		return func(s *state) { s.put(next) }, next.write(tx)
	})
}

func noAccount(a mail.Address) error {
	return mail.Errorf(mail.NotFound, "there is no account %s", a)
}
