package directory

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// offeredNow are the methods that are offered, to some at least, by service.
type offeredNow map[Service][]string

func (d *Directory) offeredNow() offeredNow {
	all := offeredNow{}
	for _, s := range []Service{Submission, IMAP, POP3} {
		for _, o := range d.Offers(s) {
			if o.Offered {
				all[s] = append(all[s], o.Mechanism)
			}
		}
	}
	return all
}

// other is the last login of a program by another method than one that it could use again, or nil.
func (now offeredNow) other(p *program, than string) (last *CensusRow) {
	for m, r := range p.ok {
		if m != than && slices.Contains(now[p.service], m) && (last == nil || r.Last.After(last.Last)) {
			last = r
		}
	}
	return last
}

// removal sorts the programs that use a mechanism, or ask for it in vain, into the three lists.
func (r *CensusReport) removal(all []*program, mechanism string, now offeredNow) {
	for _, p := range all {
		used, refused := p.ok[mechanism], p.refused[mechanism]
		if refused != nil && !asks(refused) {
			refused = nil
		}
		switch {
		case used != nil:
			r.sortUser(all, p, used, now)
		case refused != nil && p.account != (mail.Address{}):
			r.sortRefused(all, p, refused, now.other(p, mechanism), now)
		case refused != nil:
			r.sortRefused(all, p, refused, neighbour(all, p, refused, now), now)
		}
	}
	for _, list := range [][]Affected{r.KeepsWorking, r.NeedsSetting, r.Unknown} {
		slices.SortFunc(list, func(a, b Affected) int {
			return cmp.Or(byDomain(a.Account, b.Account), cmp.Compare(a.Service, b.Service), b.Last.Compare(a.Last))
		})
	}
}

// asks reports whether a refusal was of the method rather than of the password.
func asks(r *CensusRow) bool {
	switch reason(r.Reason) {
	case reasonNotOffered, reasonDigestInClear, reasonLegacyExpired:
		return true
	}
	return false
}

// affected describes a program by one of its rows.
func (p *program) affected(r *CensusRow, q *Quirk) Affected {
	a := Affected{Account: p.account, Network: r.Network, Service: p.service, Client: p.client, Last: r.Last}
	if q != nil {
		a.Program = q.Program
	}
	return a
}

// sortUser sorts a program that logs in by the mechanism.
func (r *CensusReport) sortUser(all []*program, p *program, used *CensusRow, now offeredNow) {
	q := p.quirk(all, used)
	a := p.affected(used, q)
	if o := now.other(p, used.Mechanism); o != nil {
		a.Instead = o.Mechanism
		a.Because = fmt.Sprintf("it also logged in by %s on %s", o.Mechanism, o.Last.Format(time.DateOnly))
		r.KeepsWorking = append(r.KeepsWorking, a)
		return
	}
	if q == nil {
		a.Because = "it was seen with nothing else, and nobody knows what this program does without it"
		a.Test = fmt.Sprintf("candor auth census trial --remove %s --account %s --hours 24", used.Mechanism, p.account)
		r.Unknown = append(r.Unknown, a)
		return
	}
	if m := q.stepsDown(used, now); m != "" {
		a.Instead = m
		a.Because = fmt.Sprintf("%s takes %s where %s is not offered", q.Program, m, used.Mechanism)
		r.KeepsWorking = append(r.KeepsWorking, a)
		return
	}
	a.Because, a.Setting = fmt.Sprintf("%s does not change to another method by itself", q.Program), p.setting(all, used, now)
	r.NeedsSetting = append(r.NeedsSetting, a)
}

// sortRefused sorts a program that asks for the mechanism in vain already. instead is how it, or one from its network,
// has logged in.
func (r *CensusReport) sortRefused(all []*program, p *program, refused, instead *CensusRow, now offeredNow) {
	q := p.quirk(all, refused)
	a := p.affected(refused, q)
	a.Refused = true
	if a.Account == (mail.Address{}) {
		a.Nearby = nearby(all, refused.Network)
	}
	if instead != nil {
		a.Instead = instead.Mechanism
		a.Because = fmt.Sprintf("it is refused already, and %s logged in by %s on %s", instead.Account, instead.Mechanism, instead.Last.Format(time.DateOnly))
		r.KeepsWorking = append(r.KeepsWorking, a)
		return
	}
	a.Because, a.Setting = "it is refused already", p.setting(all, refused, now)
	r.NeedsSetting = append(r.NeedsSetting, a)
}

// normalPassword is the setting of programs that nobody knows.
const normalPassword = `Authentication method: "Normal password" (not "Encrypted password", "MD5 challenge-response" or "Secure Password Authentication")`

// setting is what to change in a program that logs in, or tries to, as a row tells, by what is not offered.
func (p *program) setting(all []*program, r *CensusRow, now offeredNow) string {
	if handsOver(r.Mechanism) {
		others := slices.DeleteFunc(slices.Clone(r.Offered), func(m string) bool { return m == r.Mechanism || !slices.Contains(now[r.Service], m) })
		return "Use a program, or a setting of it, that logs in by one of " + strings.Join(others, ", ")
	}
	if q := p.quirk(all, r); q != nil {
		return q.Setting
	}
	return normalPassword
}

// handsOver reports whether a method hands over the password itself: there is no simpler one to choose.
func handsOver(method string) bool {
	return method == sasl.Plain || method == sasl.Login || slices.Contains(passwordCommands, method)
}

// neighbour is the last login after a refusal, at its service and from its network, by what may be the same program.
func neighbour(all []*program, p *program, refused *CensusRow, now offeredNow) (last *CensusRow) {
	for _, o := range all {
		another := o.client != "" && p.client != "" && o.client != p.client
		if o.service != p.service || o.account == (mail.Address{}) || another {
			continue
		}
		for m, r := range o.ok {
			if slices.Contains(now[o.service], m) && r.Network.IsValid() && r.Network == refused.Network && !r.Last.Before(refused.First) && (last == nil || r.Last.After(last.Last)) {
				last = r
			}
		}
	}
	return last
}

// maxNearby bounds the accounts that are named for a network.
const maxNearby = 5

// nearby are accounts that logged in from a network.
func nearby(all []*program, from netip.Prefix) (found []mail.Address) {
	for _, p := range all {
		for _, r := range p.ok {
			if r.Network == from && from.IsValid() && !slices.Contains(found, p.account) && len(found) < maxNearby {
				found = append(found, p.account)
			}
		}
	}
	return found
}

// quirk finds out which program it is: by its name, by its ways, or by the only program with a name that the same
// account uses in the same network.
func (p *program) quirk(all []*program, r *CensusRow) *Quirk {
	if q := quirkOf(p.client); q != nil {
		return q
	}
	if outlookEHLO(p.service, p.client, r.Mechanism, r.Initial) {
		return outlook()
	}
	if p.client != "" && p.service == IMAP || p.account == (mail.Address{}) {
		return nil
	}
	var only *Quirk
	for _, o := range all {
		q := quirkOf(o.client)
		if o.account != p.account || q == nil || !o.from(r.Network) {
			continue
		}
		if only != nil && only != q {
			return nil
		}
		only = q
	}
	return only
}

// from reports whether a program logged in from a network.
func (p *program) from(n netip.Prefix) bool {
	for _, r := range p.ok {
		if r.Network == n {
			return true
		}
	}
	return false
}

// name is what a program is called in a list.
func (p *program) name() string {
	if q := quirkOf(p.client); q != nil {
		return q.Program
	}
	return cmp.Or(p.client, "unknown")
}
