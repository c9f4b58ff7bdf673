package directory

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// Offer says whether a mechanism is offered at a service after TLS, to whom, and if not, why.
type Offer struct {
	Service   Service        `json:"service"`
	Mechanism string         `json:"mechanism"`
	Offered   bool           `json:"offered"`
	To        string         `json:"to,omitempty"`      // of one that is offered to some alone
	NotTo     string         `json:"not_to,omitempty"`  // from whom trials hide one that is offered
	Because   string         `json:"because,omitempty"` // of one that is not offered
	Lacking   []mail.Address `json:"lacking"`           // the accounts for whose sake it is not offered
}

// Words say it in a sentence, without the accounts.
func (o *Offer) Words() string {
	switch {
	case !o.Offered:
		return "not offered because " + o.Because
	case o.To != "":
		return "offered to " + o.To + o.except()
	}
	return "offered" + o.except()
}

func (o *Offer) except() string {
	if o.NotTo == "" {
		return ""
	}
	return ", but not to " + o.NotTo
}

// never are the mechanisms that are recognised and refused, with the reason.
var never = []struct{ mechanism, because string }{
	{"DIGEST-MD5", "it needs password equivalents at rest and is historic (RFC 6331)"},
	{"APOP", "it needs passwords in clear at rest"},
	{"NTLM", "it needs password equivalents at rest"},
	{"GSSAPI", "there is no Kerberos here"},
	{"ANONYMOUS", "nobody is let in without a name"},
}

// Offers tells of every mechanism, and of the command that does without one, whether it is offered to programs that connect to a service by TLS (specification,
// section 3.2).
func (d *Directory) Offers(service Service) []Offer {
	var all []Offer
	d.view(func(s *state) {
		for _, m := range slices.Concat(mechanisms, service.commands()) {
			o := d.offer(s, m, service)
			if o.Offered {
				o.NotTo = s.trialWords(m, d.now())
			}
			all = append(all, o)
		}
	})
	for _, n := range never {
		if n.mechanism != "APOP" || service == POP3 {
			all = append(all, notOffered(n.mechanism, n.because, nil))
		}
	}
	for i := range all {
		all[i].Service = service
	}
	return all
}

// commands are those of a service that carry a password without SASL.
func (s Service) commands() []string {
	switch s {
	case IMAP:
		return []string{IMAPLogin}
	case POP3:
		return []string{POP3User}
	}
	return nil
}

func (d *Directory) offer(s *state, mechanism string, service Service) Offer {
	if d.Withheld(mechanism) {
		return notOffered(mechanism, "[auth] remove names it", nil)
	}
	if r := d.census.retirement(mechanism); r != nil {
		return notOffered(mechanism, fmt.Sprintf("nobody has used it since %s ([auth] auto_retire)", r.unusedSince().Format(time.DateOnly)), nil)
	}
	switch mechanism {
	case sasl.ScramSHA256, sasl.ScramSHA256Plus:
		if s.lackScram[service.scope()] > 0 {
			return s.withoutKeys(mechanism, service.scope())
		}
	case sasl.ScramSHA1, sasl.ScramSHA1Plus, sasl.CramMD5:
		return d.byRules(mechanism)
	case sasl.External:
		return s.byCertificate()
	case sasl.OAuthBearer, sasl.XOAuth2:
		if d.tokens.Load() == nil {
			return notOffered(mechanism, "no issuer of tokens is configured", nil)
		}
	}
	return offered(mechanism, "")
}

func offered(mechanism, to string) Offer {
	return Offer{Mechanism: mechanism, Offered: true, To: to, Lacking: []mail.Address{}}
}

func notOffered(mechanism, because string, lacking []mail.Address) Offer {
	return Offer{Mechanism: mechanism, Because: because, Lacking: append([]mail.Address{}, lacking...)}
}

// withoutKeys names the accounts that rule A-1 waits for.
func (s *state) withoutKeys(mechanism string, scope Scope) Offer {
	var lacking []mail.Address
	for _, a := range s.accounts {
		if !a.Disabled && a.lacksScramFor(scope) {
			lacking = append(lacking, a.Address)
		}
	}
	slices.SortFunc(lacking, byDomain)
	verb := "lack"
	if len(lacking) == 1 {
		verb = "lacks"
	}
	return notOffered(mechanism, fmt.Sprintf("%d of %d accounts %s a SCRAM key", len(lacking), s.withPassword, verb), lacking)
}

// byRules tells to whom legacy rules offer a mechanism.
func (d *Directory) byRules(mechanism string) Offer {
	var to []string
	for _, r := range d.legacy.Load().rules {
		if r.Mechanism == strings.TrimSuffix(mechanism, "-PLUS") && r.Holds(d.now()) {
			to = append(to, r.words())
		}
	}
	if len(to) == 0 {
		return notOffered(mechanism, "no legacy rule names it", nil)
	}
	return offered(mechanism, strings.Join(to, " and to "))
}

// words say to whom a rule offers its mechanism.
func (r *LegacyRule) words() string {
	to := words(r.Networks)
	if r.Hostname != "" {
		to = append(to, "who asks for "+string(r.Hostname))
	}
	return fmt.Sprintf("%s until %s (legacy rule %s)", strings.Join(to, ", "), r.Until.Add(-1).UTC().Format(time.DateOnly), r.ID)
}

// trialWords tell from whom trials hide a method; "": from nobody.
func (s *state) trialWords(method string, now time.Time) string {
	var all []string
	for k, t := range s.trials {
		if a := s.accounts[k.account]; a != nil && k.mechanism == method && t.runs(now) {
			all = append(all, fmt.Sprintf("%s until %s (trial of %s)", strings.Join(words(t.Networks), ", "), t.Until.UTC().Format("2006-01-02 15:04 UTC"), a.Address))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " and to ")
}

func words(networks []netip.Prefix) (all []string) {
	for _, n := range networks {
		all = append(all, n.String())
	}
	return all
}

func (s *state) byCertificate() Offer {
	if len(s.certificates) == 0 {
		return notOffered(sasl.External, "no account has a client certificate", nil)
	}
	return offered(sasl.External, "who shows a certificate that is verified and belongs to one account")
}
