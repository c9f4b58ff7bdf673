package directory

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"candor/internal/mail"
)

// state is the directory in memory.
type state struct {
	changes  uint64
	epoch    uint64
	secret   []byte
	domains  map[mail.Domain]domainRecord
	accounts map[mail.AccountID]*account
	aliases  map[mail.Address][]mail.Address
	trials   map[trialKey]trialRecord

	// What follows is computed of the above.

	order      []mail.Domain // sorted
	addresses  map[mail.Address]*account
	postmaster mail.Address // where mail for postmaster goes when nothing nearer is set
	// withPassword counts the enabled accounts that have a password, withoutScram those of them of
	// which one has no SCRAM keys.
	withPassword, withoutScram int
	// lackScram counts, by what they are for, the enabled accounts that could not log in by SCRAM alone.
	lackScram    map[Scope]int
	certificates map[string][]credentialKey // by what they are found by
}

// account is an account with its credentials, in the order of their ids. It is not changed once it
// is in a state; a change puts another in its place.
type account struct {
	id mail.AccountID
	accountRecord
	credentials []credential
}

type credential struct {
	id credentialID
	credentialRecord
}

func newState() *state {
	return &state{
		domains:      map[mail.Domain]domainRecord{},
		accounts:     map[mail.AccountID]*account{},
		aliases:      map[mail.Address][]mail.Address{},
		addresses:    map[mail.Address]*account{},
		lackScram:    map[Scope]int{ScopeSMTP: 0, ScopeIMAP: 0, ScopePOP3: 0, ScopeSieve: 0, ScopeWeb: 0},
		trials:       map[trialKey]trialRecord{},
		certificates: map[string][]credentialKey{},
	}
}

// index computes what is computed, after the records were read.
func (s *state) index() {
	for d := range s.domains {
		s.order = append(s.order, d)
	}
	slices.Sort(s.order)
	for _, a := range s.accounts {
		s.addresses[a.Address] = a
		s.count(a, 1)
	}
	s.findPostmaster()
}

func (s *state) addDomain(d mail.Domain, r domainRecord) {
	s.domains[d] = r
	i, _ := slices.BinarySearch(s.order, d)
	s.order = slices.Insert(s.order, i, d)
}

func (s *state) removeDomain(d mail.Domain) {
	delete(s.domains, d)
	s.order = slices.DeleteFunc(s.order, func(o mail.Domain) bool { return o == d })
}

// put adds an account or puts it in the place of its former self.
func (s *state) put(a *account) {
	if old := s.accounts[a.id]; old != nil {
		s.count(old, -1)
	}
	s.accounts[a.id], s.addresses[a.Address] = a, a
	s.count(a, 1)
	if a.Address.Local == postmaster {
		s.findPostmaster()
	}
}

func (s *state) remove(a *account) {
	s.count(a, -1)
	delete(s.accounts, a.id)
	delete(s.addresses, a.Address)
	maps.DeleteFunc(s.trials, func(k trialKey, _ trialRecord) bool { return k.account == a.id })
	if a.Address.Local == postmaster {
		s.findPostmaster()
	}
}

func (s *state) setAlias(a mail.Address, targets []mail.Address) {
	s.aliases[a] = targets
	if a.Local == postmaster {
		s.findPostmaster()
	}
}

func (s *state) removeAlias(a mail.Address) {
	delete(s.aliases, a)
	if a.Local == postmaster {
		s.findPostmaster()
	}
}

func (s *state) count(a *account, by int) {
	s.countCertificates(a, by)
	if a.Disabled || !slices.ContainsFunc(a.credentials, credential.isPassword) {
		return
	}
	s.withPassword += by
	if a.lacksScram() {
		s.withoutScram += by
	}
	for _, scope := range Scopes {
		if a.lacksScramFor(scope) {
			s.lackScram[scope] += by
		}
	}
}

// isPassword reports whether a credential is something to type.
func (c credential) isPassword() bool { return c.Kind != clientCertificate }

// postmaster is the local part that every domain has (RFC 5321, section 4.5.1).
const postmaster mail.LocalPart = "postmaster"

// findPostmaster chooses the oldest account of that name, or else the alias of the first domain.
func (s *state) findPostmaster() {
	s.postmaster = mail.Address{}
	var oldest mail.AccountID
	for _, d := range s.order {
		address := mail.Address{Local: postmaster, Domain: d}
		if a := s.addresses[address]; a != nil && (oldest == 0 || a.id < oldest) {
			oldest, s.postmaster = a.id, address
		}
	}
	if oldest != 0 {
		return
	}
	for _, d := range s.order {
		address := mail.Address{Local: postmaster, Domain: d}
		if _, ok := s.aliases[address]; ok {
			s.postmaster = address
			return
		}
	}
}

// taken reports whether an account or alias has address a already.
func (s *state) taken(a mail.Address) bool {
	_, alias := s.aliases[a]
	return alias || s.addresses[a] != nil
}

// inUse reports whether accounts or aliases live in domain d.
func (s *state) inUse(d mail.Domain) bool {
	for a := range s.addresses {
		if a.Domain == d {
			return true
		}
	}
	for a := range s.aliases {
		if a.Domain == d {
			return true
		}
	}
	return false
}

// derive makes octets of the server's secret that nobody else can, the same each time.
func (s *state) derive(purpose, text string) [sha256.Size]byte {
	h := hmac.New(sha256.New, s.secret)
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write([]byte(text))
	return [sha256.Size]byte(h.Sum(nil))
}

// saltSize is that of all salts, in octets.
const saltSize = 16

// salt returns the SCRAM salt of the user with address a, whether there is one or not: an account
// gets it when it is made, so that a stranger cannot tell by the salt which of two moments was before.
func (s *state) salt(a mail.Address) []byte {
	sum := s.derive("scram salt", a.String())
	return sum[:saltSize]
}

// pick chooses the domain that stands for an unknown name without one. Known names without a domain
// show a salt that belongs to one domain; so must unknown ones, evenly spread.
func (s *state) pick(local mail.LocalPart) mail.Domain {
	if len(s.order) == 0 {
		return ""
	}
	sum := s.derive("domain of a bare name", string(local))
	return s.order[binary.BigEndian.Uint64(sum[:])%uint64(len(s.order))]
}

// main returns the account's main password, or nil.
func (a *account) main() *credential {
	for i := range a.credentials {
		if a.credentials[i].Kind == mainPassword {
			return &a.credentials[i]
		}
	}
	return nil
}

// app returns the account's app password of a name, or nil.
func (a *account) app(name string) *credential {
	for i := range a.credentials {
		if c := &a.credentials[i]; c.Kind == appPassword && c.Name == name {
			return c
		}
	}
	return nil
}

// credential finds a credential by its id, or returns nil.
func (a *account) credential(id credentialID) *credential {
	for i := range a.credentials {
		if a.credentials[i].id == id {
			return &a.credentials[i]
		}
	}
	return nil
}

// with returns a copy of the account in which c is in the place of the credential of its id.
func (a *account) with(c credential) *account {
	next := *a
	next.credentials = slices.Clone(a.credentials)
	if old := next.credential(c.id); old != nil {
		*old = c
	} else {
		next.credentials = append(next.credentials, c)
	}
	next.LastCredential = max(next.LastCredential, c.id)
	return &next
}

// without returns a copy of the account that has lost a credential.
func (a *account) without(id credentialID) *account {
	next := *a
	next.credentials = slices.DeleteFunc(slices.Clone(a.credentials), func(c credential) bool { return c.id == id })
	return &next
}

// public returns what others may know of the account.
func (a *account) public() Account {
	p := Account{ID: a.id, Address: a.Address, Disabled: a.Disabled, Created: a.Created, Quota: a.Quota, Require: a.Require}
	if c := a.main(); c != nil {
		p.HasPassword, p.PasswordScopes = true, c.Scopes
	}
	for i := range a.credentials {
		if a.credentials[i].Kind == appPassword {
			p.AppPasswords++
		}
	}
	return p
}

// byDomain orders addresses as people look for them.
func byDomain(a, b mail.Address) int {
	return cmp.Or(strings.Compare(string(a.Domain), string(b.Domain)), strings.Compare(string(a.Local), string(b.Local)))
}
