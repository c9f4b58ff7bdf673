package directory

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"

	"candor/internal/mail"
)

// canonical returns an address of ours in the form in which addresses and login names are compared.
func canonical(a mail.Address) mail.Address {
	return mail.Address{Local: canonicalLocal(a.Local), Domain: a.Domain}
}

// canonicalLocal lowers the case of a local part. Beyond ASCII it is prepared as a user name
// (RFC 8265, section 3.3), so that all ways to type a letter are one; what that profile refuses, but
// an address may hold (a symbol, a space), is made lower-case and composed.
func canonicalLocal(l mail.LocalPart) mail.LocalPart {
	s := string(l)
	if ascii(s) {
		return mail.LocalPart(strings.ToLower(s))
	}
	if prepared, err := precis.UsernameCaseMapped.String(s); err == nil {
		return mail.LocalPart(prepared)
	}
	return mail.LocalPart(norm.NFC.String(strings.ToLower(norm.NFC.String(s))))
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// maxLogin bounds a login name, in octets. No address is longer, whatever its domain is written in.
const maxLogin = 1024

// principal is whom a login name means, as the directory was at one moment.
type principal struct {
	login string
	// name is the canonical address of the account, or the one that an account so called would have.
	name    mail.Address
	account *account // nil: there is none
	epoch   uint64
}

// principal finds the account that logs in as login: by its address, by its local part when it is the only one, or by
// an alias that leads to it alone.
func (s *state) principal(login string) principal {
	p := s.addressed(login)
	if targets := s.aliases[p.name]; p.account == nil && len(targets) == 1 && p.name.Local != catchAll {
		if p.account = s.addresses[targets[0]]; p.account != nil {
			p.name = p.account.Address
		}
	}
	return p
}

// addressed is principal without aliases.
func (s *state) addressed(login string) principal {
	p := principal{login: login, name: mail.Address{Local: mail.LocalPart(login)}, epoch: s.epoch}
	if len(login) > maxLogin || !utf8.ValidString(login) {
		return p
	}
	if strings.Contains(login, "@") {
		if a, err := mail.ParseAddress(login); err == nil {
			p.name = canonical(a)
			p.account = s.addresses[p.name]
		}
		return p
	}
	p.name.Local = canonicalLocal(mail.LocalPart(login))
	p.account = s.only(p.name.Local)
	if p.account != nil {
		p.name = p.account.Address
	} else {
		p.name.Domain = s.pick(p.name.Local)
	}
	return p
}

// actsAs lets who has proved to be an account act as that one alone, by whatever name of it; empty is no other.
func (d *Directory) actsAs(a *account, authzid string) error {
	if authzid == "" {
		return nil
	}
	var named principal
	d.view(func(s *state) { named = s.principal(authzid) })
	if named.account == nil || named.account.id != a.id {
		return refuse(reasonIdentity, nil)
	}
	return nil
}

// only returns the account with a local part, when exactly one domain has it.
func (s *state) only(local mail.LocalPart) *account {
	var found *account
	for _, d := range s.order {
		a := s.addresses[mail.Address{Local: local, Domain: d}]
		if a != nil && found != nil {
			return nil
		}
		if a != nil {
			found = a
		}
	}
	return found
}
