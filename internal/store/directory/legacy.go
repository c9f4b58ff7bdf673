package directory

import (
	"crypto"
	"net/netip"
	"slices"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// LegacyRule lets single accounts log in by a mechanism that nobody else sees: over TLS, from its networks or by its
// host name, with a password that was generated for it, until its end (specification, section 3.3).
type LegacyRule struct {
	mail.Exception
	Mechanism  string // CRAM-MD5 or SCRAM-SHA-1
	Accounts   []mail.Address
	Networks   []netip.Prefix
	Hostname   mail.Domain // what a client asks for by SNI; empty: the networks alone count
	Credential string      // the name of each account's app password
}

// LegacyMechanisms are those that need a rule.
var LegacyMechanisms = []string{sasl.CramMD5, sasl.ScramSHA1}

// legacyRules are the rules in force, with who is told of their use.
type legacyRules struct {
	rules []LegacyRule
	used  func(rule string, by netip.Addr)
}

// SetLegacyRules puts rules in the place of those in force. Unless it is nil, used is told of each login by one: the
// rule's id and the client's address.
func (d *Directory) SetLegacyRules(rules []LegacyRule, used func(rule string, by netip.Addr)) {
	rules = slices.Clone(rules)
	for i := range rules {
		accounts := make([]mail.Address, len(rules[i].Accounts))
		for j, a := range rules[i].Accounts {
			accounts[j] = canonical(a)
		}
		rules[i].Accounts = accounts
	}
	d.legacy.Store(&legacyRules{rules, used})
}

// legacyRules returns the rules that concern mechanism and connection of an attempt, ended ones too.
func (d *Directory) legacyRules(mechanism string, a Attempt) (found []LegacyRule) {
	if a.Peer.TLS == nil {
		return nil
	}
	for _, r := range d.legacy.Load().rules {
		if r.Mechanism == strings.TrimSuffix(mechanism, "-PLUS") && r.concerns(a.Peer) {
			found = append(found, r)
		}
	}
	return found
}

// concerns reports whether a connection is one of those that the rule is for.
func (r *LegacyRule) concerns(p mail.Peer) bool {
	from := p.Remote.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(r.Networks, func(n netip.Prefix) bool { return n.Contains(from) }) ||
		r.Hostname != "" && strings.EqualFold(p.TLS.ServerName, string(r.Hostname))
}

// holds reports whether one of rules has not ended.
func holds(rules []LegacyRule, now time.Time) bool {
	return slices.ContainsFunc(rules, func(r LegacyRule) bool { return r.Holds(now) })
}

// byRule returns the credential with which an account may log in by a legacy mechanism, with the rule; nil: none.
func (d *Directory) byRule(a Attempt, who *account) (*credential, *LegacyRule) {
	if who == nil {
		return nil, nil
	}
	for _, r := range d.legacyRules(a.Mechanism, a) {
		if !r.Holds(d.now()) || !slices.Contains(r.Accounts, who.Address) {
			continue
		}
		if c := who.app(r.Credential); c != nil && c.Verifiers.serves(r.Mechanism) {
			return c, &r
		}
	}
	return nil, nil
}

// serves reports whether there is a verifier for a legacy mechanism.
func (v *verifiers) serves(mechanism string) bool {
	return mechanism == sasl.CramMD5 && v.CramMD5 != nil || mechanism == sasl.ScramSHA1 && v.ScramSHA1 != nil
}

// LegacyLack says which accounts a rule names in vain: nothing was generated with which they could log in.
func (d *Directory) LegacyLack(r LegacyRule) (lacking []mail.Address) {
	d.view(func(s *state) {
		for _, address := range r.Accounts {
			a := s.addresses[canonical(address)]
			if a == nil || a.app(r.Credential) == nil || !a.app(r.Credential).Verifiers.serves(r.Mechanism) {
				lacking = append(lacking, address)
			}
		}
	})
	return lacking
}

// legacyScramIterations is fewer than for passwords that people choose: nobody guesses a generated one, and the
// devices that need SHA-1 are slow.
const legacyScramIterations = 4096

// legacyScram are the SCRAM-SHA-1 keys of a generated password, with a salt of their own.
type legacyScram struct {
	Salt       []byte   `json:"salt"`
	Iterations int      `json:"iterations"`
	StoredKey  sasl.Key `json:"stored_key"`
	ServerKey  sasl.Key `json:"server_key"`
}

// legacySalt is the SCRAM-SHA-1 salt of the user with an address, whether there is one or not.
func (s *state) legacySalt(a mail.Address) []byte {
	sum := s.derive("scram-sha-1 salt", a.String())
	return sum[:saltSize]
}

// addLegacy makes the verifier of a legacy mechanism of a generated password.
func (v *verifiers) addLegacy(mechanism string, prepared, salt []byte) {
	switch mechanism {
	case sasl.CramMD5:
		k := sasl.NewCramKey(prepared)
		v.CramMD5 = &k
	case sasl.ScramSHA1:
		k := sasl.DeriveKeys(crypto.SHA1, prepared, salt, legacyScramIterations)
		v.ScramSHA1 = &legacyScram{salt, legacyScramIterations, k.StoredKey, k.ServerKey}
	}
}

// checkLegacy refuses what is no mechanism of legacy rules.
func checkLegacy(mechanism string) error {
	if mechanism == "" || slices.Contains(LegacyMechanisms, mechanism) {
		return nil
	}
	return mail.Errorf(mail.Syntax, "%q is not a mechanism of legacy rules: use %s", mechanism, strings.Join(LegacyMechanisms, " or "))
}
