package directory

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// CensusReport says who logs in by what, and what becomes of them without one mechanism (specification, section 3.6).
// Its lists are never nil.
type CensusReport struct {
	Remove       string         `json:"remove"` // the mechanism asked about; "": none
	Days         int            `json:"days"`
	Since        time.Time      `json:"since"`
	Mechanisms   []MechanismUse `json:"mechanisms"`
	KeepsWorking []Affected     `json:"keeps_working"`
	NeedsSetting []Affected     `json:"needs_setting"`
	Unknown      []Affected     `json:"unknown"`
}

// MechanismUse is how a mechanism was used.
type MechanismUse struct {
	Mechanism    string       `json:"mechanism"`
	Accounts     int          `json:"accounts"`
	OnlyThis     int          `json:"accounts_only_this"` // that used no other
	LastUse      time.Time    `json:"last_use,omitzero"`
	Programs     []string     `json:"programs"`
	Replacement  Replacements `json:"replacement"`
	AtRest       int          `json:"verifiers_at_rest"` // credentials that could be used by it
	Refused      int64        `json:"refused"`           // attempts
	LastRefused  time.Time    `json:"last_refused,omitzero"`
	Unidentified int64        `json:"unidentified"` // of the refused: nobody knows whose
}

// Replacements counts the programs of accounts that used a mechanism: they logged in by another, tried in vain, or never tried.
type Replacements struct {
	Yes   int `json:"yes"`
	No    int `json:"no"`
	Never int `json:"never_tried"`
}

// Affected is a program of an account that uses the mechanism, or asks for it in vain.
type Affected struct {
	// Account is whose it is. Where nobody logged in by it, Nearby are those who did from the same network.
	Account mail.Address   `json:"account,omitzero"`
	Nearby  []mail.Address `json:"nearby,omitempty"`
	Network netip.Prefix   `json:"rip"` // the last one
	Service Service        `json:"svc"`
	Client  string         `json:"client"`            // as it calls itself
	Program string         `json:"program,omitempty"` // as the table of quirks calls it
	Last    time.Time      `json:"last"`
	Refused bool           `json:"refused,omitempty"` // it asks in vain already
	Instead string         `json:"instead,omitempty"` // what works for it
	Because string         `json:"because"`
	Setting string         `json:"setting,omitempty"` // what to change
	Test    string         `json:"test,omitempty"`    // the command that tries it out
}

// programKey is what the census can tell apart as a program of a person.
type programKey struct {
	account mail.Address // zero: unknown
	network netip.Prefix // where the account is not known
	service Service
	client  string
}

// program is what was seen of it.
type program struct {
	programKey
	ok      map[string]*CensusRow // the last login by each method
	refused map[string]*CensusRow // the last refusal of each
	times   map[string]int64      // refusals
	wrong   map[string]int64      // those of them for a wrong password
}

// programsOf sorts rows, the newest first, by program.
func programsOf(rows []CensusRow) []*program {
	found := map[programKey]*program{}
	var order []*program
	for i := range rows {
		r := &rows[i]
		k := programKey{account: r.Account, service: r.Service, client: r.Client}
		if r.Account == (mail.Address{}) {
			k.network = r.Network
		}
		p := found[k]
		if p == nil {
			p = &program{k, map[string]*CensusRow{}, map[string]*CensusRow{}, map[string]int64{}, map[string]int64{}}
			found[k] = p
			order = append(order, p)
		}
		of := p.ok
		if !r.OK() {
			of = p.refused
			p.times[r.Mechanism] += r.Times
		}
		if reason(r.Reason) == reasonWrong {
			p.wrong[r.Mechanism] += r.Times
		}
		if of[r.Mechanism] == nil {
			of[r.Mechanism] = r
		}
	}
	return order
}

// other is the last login by another method than one, or nil.
func (p *program) other(than string) (last *CensusRow) {
	for m, r := range p.ok {
		if m != than && (last == nil || r.Last.After(last.Last)) {
			last = r
		}
	}
	return last
}

// tried reports whether another method than one was refused.
func (p *program) tried(than string) bool {
	for m := range p.refused {
		if m != than {
			return true
		}
	}
	return false
}

// CensusReport sums up the last days, at least one. remove is the mechanism or command whose end is considered; "": none.
//
// Errors: Syntax (days).
func (d *Directory) CensusReport(ctx context.Context, days int, remove string) (CensusReport, error) {
	if kept := int(d.policy().censusKept() / (24 * time.Hour)); days < 1 || days > kept {
		return CensusReport{}, mail.Errorf(mail.Syntax, "the census goes back %d days: choose from 1 to %d", kept, kept)
	}
	since := d.now().AddDate(0, 0, -days)
	rows, err := d.Census(ctx, mail.Address{}, since)
	if err != nil {
		return CensusReport{}, err
	}
	report := CensusReport{
		Days: days, Since: dayOf(since).start(), Mechanisms: []MechanismUse{},
		KeepsWorking: []Affected{}, NeedsSetting: []Affected{}, Unknown: []Affected{},
	}
	if remove != "" {
		report.Remove = Method(remove)
		if report.Remove == otherMethod {
			return CensusReport{}, mail.Errorf(mail.Syntax, "%q is no mechanism: name one such as PLAIN, LOGIN or DIGEST-MD5, or IMAP-LOGIN or POP3-USER for these commands", remove)
		}
	}
	programs := programsOf(rows)
	report.Mechanisms = append(report.Mechanisms, d.mechanismUses(programs)...)
	if remove != "" {
		report.removal(programs, report.Remove, d.offeredNow())
	}
	return report, nil
}

// mechanismUses are the rows of the report, the most used first.
func (d *Directory) mechanismUses(programs []*program) []MechanismUse {
	uses := map[string]*MechanismUse{}
	by := map[string]map[mail.Address]bool{}      // accounts by mechanism
	methods := map[mail.Address]map[string]bool{} // and the reverse
	use := func(m string) *MechanismUse {
		if uses[m] == nil {
			uses[m] = &MechanismUse{Mechanism: m, Programs: []string{}, AtRest: d.atRest(m)}
			by[m] = map[mail.Address]bool{}
		}
		return uses[m]
	}
	for _, p := range programs {
		for m, r := range p.ok {
			u := use(m)
			u.LastUse = latest(u.LastUse, r.Last)
			by[m][p.account] = true
			if methods[p.account] == nil {
				methods[p.account] = map[string]bool{}
			}
			methods[p.account][m] = true
			if name := p.name(); !slices.Contains(u.Programs, name) {
				u.Programs = append(u.Programs, name)
			}
			switch {
			case p.other(m) != nil:
				u.Replacement.Yes++
			case p.tried(m):
				u.Replacement.No++
			default:
				u.Replacement.Never++
			}
		}
		for m, r := range p.refused {
			u := use(m)
			u.Refused += p.times[m]
			u.LastRefused = latest(u.LastRefused, r.Last)
			if p.account == (mail.Address{}) {
				u.Unidentified += p.times[m]
			}
		}
	}
	var all []MechanismUse
	for m, u := range uses {
		u.Accounts = len(by[m])
		for a := range by[m] {
			if len(methods[a]) == 1 {
				u.OnlyThis++
			}
		}
		slices.Sort(u.Programs)
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b MechanismUse) int {
		return cmp.Or(cmp.Compare(b.Accounts, a.Accounts), cmp.Compare(a.Mechanism, b.Mechanism))
	})
	return all
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// atRest counts the credentials that could be used by a mechanism.
func (d *Directory) atRest(mechanism string) (n int) {
	plain := slices.Contains([]string{sasl.Plain, sasl.Login, IMAPLogin, POP3User}, mechanism)
	serves := func(verifier string) bool {
		if plain {
			return strings.HasPrefix(verifier, "argon2id") || strings.HasPrefix(verifier, "hmac-") || strings.HasPrefix(verifier, "{")
		}
		return verifier == strings.TrimSuffix(strings.ToLower(mechanism), "-plus")
	}
	d.view(func(s *state) {
		for _, a := range s.accounts {
			for i := range a.credentials {
				if slices.ContainsFunc(a.credentials[i].Verifiers.names(), serves) {
					n++
				}
			}
		}
	})
	return n
}
