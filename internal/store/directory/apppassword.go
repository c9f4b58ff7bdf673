package directory

import (
	"context"
	"crypto"
	"crypto/rand"
	"strings"
	"time"
	"unicode/utf8"

	"candor/internal/mail"
)

// NewAppPassword describes an app password that is to be made.
type NewAppPassword struct {
	Name   string    `json:"name"`             // 1 to 64 characters
	Scopes []Scope   `json:"scopes,omitempty"` // none: ProgramScopes
	Until  time.Time `json:"until,omitzero"`   // when it ends; zero: never
	// Legacy is the mechanism of a legacy rule that it is also to be used by; see LegacyMechanisms.
	Legacy string `json:"legacy,omitempty"`
}

const (
	maxAppPasswords = 100 // of one account
	maxAppName      = 64  // characters
)

func (n *NewAppPassword) check(now time.Time) error {
	if err := checkAppName(n.Name); err != nil {
		return err
	}
	if err := checkLegacy(n.Legacy); err != nil {
		return err
	}
	if err := checkScopes(n.Scopes); err != nil {
		return err
	}
	if !n.Until.IsZero() && !now.Before(n.Until) {
		return mail.Errorf(mail.Syntax, "the app password would have ended already: choose a later date")
	}
	return nil
}

func checkAppName(name string) error {
	unprintable := func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }
	if name != strings.TrimSpace(name) || name == "" || utf8.RuneCountInString(name) > maxAppName || strings.ContainsFunc(name, unprintable) {
		return mail.Errorf(mail.Syntax, "the name of an app password is 1 to %d characters on one line, such as \"phone\"", maxAppName)
	}
	return nil
}

// AddAppPassword generates a password for a program and returns it; it is told this once. It can be used by all
// mechanisms at the services of its scopes, beside the other credentials of the account.
//
// Errors: NotFound, Exists (the name), Syntax, TooMany, Unavailable.
func (d *Directory) AddAppPassword(ctx context.Context, a mail.Address, n NewAppPassword) (password string, err error) {
	if err := n.check(d.now()); err != nil {
		return "", err
	}
	var now *account
	var legacySalt []byte
	d.view(func(s *state) { now, legacySalt = s.addresses[canonical(a)], s.legacySalt(canonical(a)) })
	if now == nil {
		return "", noAccount(a)
	}
	password = generatePassword()
	prepared := []byte(password)
	defer clear(prepared)
	v := verifiers{Generated: newGenerated(prepared)}
	err = d.hasher.do(ctx, func() {
		v.Scram = newScramKeys(crypto.SHA256, prepared, now.Salt)
		v.addLegacy(n.Legacy, prepared, legacySalt)
	})
	if err != nil {
		return "", err
	}
	err = d.edit(ctx, a, func(a *account) (*account, error) {
		switch {
		case a.id != now.id:
			return nil, noAccount(a.Address) // it was removed meanwhile, and another made
		case a.app(n.Name) != nil:
			return nil, mail.Errorf(mail.Exists, "%s has an app password %q already: choose another name, or revoke that one", a.Address, n.Name)
		case len(a.credentials) > maxAppPasswords:
			return nil, mail.Errorf(mail.TooMany, "%s has %d app passwords already: revoke those that are not used", a.Address, maxAppPasswords)
		}
		c := credential{id: a.LastCredential + 1, credentialRecord: credentialRecord{
			Kind: appPassword, Name: n.Name, Scopes: n.Scopes, Until: n.Until, Generation: 1, Created: d.now().UTC(), Verifiers: v,
		}}
		if len(c.Scopes) == 0 {
			c.Scopes = ProgramScopes
		}
		return a.with(c), nil
	})
	if err != nil {
		return "", err
	}
	return password, nil
}

// RevokeAppPassword removes an app password; when it returns, that is accepted no more. No other credential of the
// account notices: its own generation ends with it, and its id is never given again.
//
// Errors: NotFound.
func (d *Directory) RevokeAppPassword(ctx context.Context, a mail.Address, name string) error {
	return d.removeCredential(ctx, a, "app password", name, (*account).app)
}

// passwordLetters are those that nobody takes for another.
const passwordLetters = "abcdefghjkmnpqrstuvwxyz23456789"

// Groups and letters of a generated password: 28 of 31 letters are 138 bits.
const (
	passwordGroups = 7
	groupLetters   = 4
)

// generatePassword makes a password of at least 128 bits, in groups with hyphens between.
func generatePassword() string {
	const even = 256 / len(passwordLetters) * len(passwordLetters)
	var text strings.Builder
	for n := 0; n < passwordGroups*groupLetters; {
		var b [1]byte
		_, _ = rand.Read(b[:]) // never fails
		if int(b[0]) >= even { // would favour the first letters
			continue
		}
		if n > 0 && n%groupLetters == 0 {
			text.WriteByte('-')
		}
		text.WriteByte(passwordLetters[int(b[0])%len(passwordLetters)])
		n++
	}
	return text.String()
}
