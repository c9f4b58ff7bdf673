package directory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"candor/internal/mail"
)

// oldPasswordTries is from how many wrong passwords on a program is taken for one that has an old one.
const oldPasswordTries = 3

// hints are what to tell the user of a program.
func (p *program) hints(all []*program, now offeredNow) (hints []string) {
	worked := p.other("")
	for _, r := range p.lastRefusals() {
		if r.Mechanism == otherMethod || worked != nil && worked.Last.After(r.Last) {
			continue
		}
		if text := p.hint(all, r, now); text != "" {
			hints = append(hints, text)
		}
	}
	return hints
}

// hint is what to tell of a refusal; "": nothing.
func (p *program) hint(all []*program, r *CensusRow, now offeredNow) string {
	name := cmp.Or(p.spoken(), "Your program")
	switch reason(r.Reason) {
	case reasonNotOffered, reasonLegacyExpired, reasonDigestInClear:
		return p.otherMethod(all, r, now, name)
	case reasonWrong:
		if n := p.wrong[r.Mechanism]; n >= oldPasswordTries && knownFrom(all, p.account, r) {
			return fmt.Sprintf("%s still uses an old password (%d tries from %s). Enter the new one there. Your account is not locked.", name, n, r.Network)
		}
	case reasonDowngrade, reasonBinding:
		if !suspects(reason(r.Reason), r.Mechanism, r.Binding) {
			return ""
		}
		return fmt.Sprintf("Someone between %s and this server may have hidden a stronger login method (SCRAM-PLUS). "+
			"Login was refused. Try another network.", cmp.Or(p.spoken(), "your program"))
	case reasonType:
		return fmt.Sprintf("%s asks for %s in a way that this connection does not have (such as tls-unique). Update it or its SASL library, or choose another method (%s).",
			name, r.Mechanism, p.setting(all, r, now))
	case reasonRequired:
		return fmt.Sprintf("%s logs in by %s, which this account does not accept ('candor account require'). Choose a stronger method in it.", name, r.Mechanism)
	case reasonScope:
		return fmt.Sprintf("%s has a password that is not for %s. Give it an app password for that ('candor account app-password add').", name, r.Service)
	case reasonExpired:
		return fmt.Sprintf("%s uses an app password that has ended. Make another ('candor account app-password add').", name)
	}
	return ""
}

// otherMethod is T-04, of a program that asks for a method that it does not get.
func (p *program) otherMethod(all []*program, r *CensusRow, now offeredNow, name string) string {
	if reason(r.Reason) == reasonDigestInClear {
		return fmt.Sprintf("%s asks for the login method %s without encryption. Set *Connection security* to *SSL/TLS*, port %d, and choose *Normal password* (%s).",
			name, r.Mechanism, implicitPorts[r.Service], p.setting(all, r, now))
	}
	if handsOver(r.Mechanism) {
		return fmt.Sprintf("%s asks for the login method %s, which is no longer offered. %s.", name, r.Mechanism, p.setting(all, r, now))
	}
	return fmt.Sprintf("%s asks for the login method %s, which is no longer offered. Choose *Normal password* (%s). "+
		"The connection is encrypted, so the password is not readable on the way.", name, r.Mechanism, p.setting(all, r, now))
}

// perhaps are the uses of a program that asks for a method that it does not get, before it tells whose it is: by the
// accounts that log in from its network.
func (p *program) perhaps(all []*program, now offeredNow) (uses []ProgramUse) {
	var state mail.TransportState
	var hints []string
	for _, r := range p.lastRefusals() {
		if asks(r) && r.Mechanism != otherMethod && !p.wentOn(all, r) {
			state = r.State
			hints = append(hints, p.otherMethod(all, r, now, fmt.Sprintf("%s at %s, perhaps yours,", cmp.Or(p.spoken(), "A program"), r.Network)))
		}
	}
	if len(hints) == 0 {
		return nil
	}
	for _, a := range nearby(all, p.network) {
		uses = append(uses, ProgramUse{Account: a, Service: p.service, Client: p.client, State: state, Hints: hints})
	}
	return uses
}

// wentOn reports whether what calls itself like a program logged in from its network after a refusal.
func (p *program) wentOn(all []*program, refused *CensusRow) bool {
	for _, o := range all {
		if o.account == (mail.Address{}) || o.service != p.service || o.client != p.client {
			continue
		}
		for _, r := range o.ok {
			if r.Network == refused.Network && r.Last.After(refused.Last) {
				return true
			}
		}
	}
	return false
}

// lastRefusals are the last refusals of each method, the newest first.
func (p *program) lastRefusals() (all []*CensusRow) {
	for _, r := range p.refused {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *CensusRow) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Mechanism, b.Mechanism))
	})
	return all
}

// knownFrom reports whether the account has logged in from where a row is from: who guesses is elsewhere.
func knownFrom(all []*program, account mail.Address, r *CensusRow) bool {
	return slices.ContainsFunc(all, func(p *program) bool { return p.account == account && p.from(r.Network) })
}

// spoken is what people call a program; "": nothing is known that they would understand.
func (p *program) spoken() string {
	if q := quirkOf(p.client); q != nil {
		return q.Program
	}
	return spoken(p.client)
}

// spoken is what a client calls itself, unless that is the form of its EHLO.
func spoken(client string) string {
	if strings.HasPrefix(client, "EHLO ") {
		return ""
	}
	return client
}
