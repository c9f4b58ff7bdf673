package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

// legacyConfig is a legacy rule, [legacy_auth.ID] (specification, section 3.3). All fields but the host name are
// mandatory.
type legacyConfig struct {
	Mechanism  string         `toml:"mechanism"`
	Accounts   []string       `toml:"accounts"`
	Networks   []string       `toml:"networks"`
	Hostname   string         `toml:"legacy_hostname"`
	Credential string         `toml:"credential"`
	Reason     string         `toml:"reason"`
	Owner      string         `toml:"owner"`
	Until      toml.LocalDate `toml:"until"`
}

// legacyDays is how far ahead the end of a legacy rule may be.
const legacyDays = 180

// checkLegacy refuses rules that are not complete: CFG-11.
func (c *config) checkLegacy() error {
	for _, id := range slices.Sorted(maps.Keys(c.LegacyAuth)) {
		f := c.LegacyAuth[id]
		at := "legacy_auth." + id
		if err := c.checkException(at, id, f.Reason, f.Owner, f.Until, legacyDays); err != nil {
			return err
		}
		r := directory.LegacyRule{
			Exception: mail.Exception{ID: id, Reason: f.Reason, Owner: f.Owner, Until: endOf(f.Until)},
			Mechanism: f.Mechanism,
		}
		for _, fill := range []func(string, *legacyConfig, *directory.LegacyRule) error{c.legacyMechanism, c.legacyAccounts, c.legacyNetworks} {
			if err := fill(at, &f, &r); err != nil {
				return err
			}
		}
		c.legacy = append(c.legacy, r)
	}
	return nil
}

// legacyMechanism refuses a mechanism that needs no rule, or cannot be had, and a password that nobody generated.
func (c *config) legacyMechanism(at string, f *legacyConfig, r *directory.LegacyRule) error {
	if !slices.Contains(directory.LegacyMechanisms, f.Mechanism) {
		return c.refuse(at+".mechanism", "CFG-11", "mechanism %q cannot be had by a rule: use %s", f.Mechanism, strings.Join(directory.LegacyMechanisms, " or "))
	}
	name, ok := strings.CutPrefix(f.Credential, "app:")
	if !ok || name == "" {
		return c.refuse(at+".credential", "CFG-11", `credential is %q: name an app password that is made for this rule, such as credential = "app:panel-1"`, f.Credential)
	}
	r.Credential = name
	return nil
}

func (c *config) legacyAccounts(at string, f *legacyConfig, r *directory.LegacyRule) error {
	if len(f.Accounts) == 0 {
		return c.refuse(at, "CFG-11", `accounts is missing: name those that log in so, such as accounts = ["panel@example.org"]`)
	}
	for _, s := range f.Accounts {
		a, err := mail.ParseAddress(s)
		if err != nil {
			return c.refuse(at+".accounts", "CFG-11", "%q is not an address: write it like panel@example.org", s)
		}
		r.Accounts = append(r.Accounts, a)
	}
	return nil
}

func (c *config) legacyNetworks(at string, f *legacyConfig, r *directory.LegacyRule) (err error) {
	if r.Networks, err = c.exceptedNetworks(at, "CFG-11", f.Networks); err != nil {
		return err
	}
	if f.Hostname == "" {
		return nil
	}
	if r.Hostname, err = mail.ParseDomain(f.Hostname); err != nil {
		return c.refuse(at+".legacy_hostname", "CFG-11", "legacy_hostname %q is not a domain name: write it like legacy.example.org", f.Hostname)
	}
	return nil
}

// legacyUse is the name of a rule among the uses of exceptions.
func legacyUse(id string) string { return "legacy_auth." + id }

// setLegacy puts the legacy rules into force.
func (p *parts) setLegacy(c *config) {
	p.directory.SetLegacyRules(c.legacy, func(rule string, by netip.Addr) {
		p.exceptionUses.Note(legacyUse(rule), by, time.Now())
	})
}

// legacyAlarms tell of the end of each rule 30, 14, 7 and 1 days before and after it, and of accounts that cannot use
// theirs.
func (p *parts) legacyAlarms(c *config, now time.Time) []mail.Alarm {
	var all []mail.Alarm
	for _, r := range c.legacy {
		if a, due := r.Alarm("A-133", now, p.exceptionUses.Of(legacyUse(r.ID), now), 30, 14, 7, 1); due {
			all = append(all, a)
		}
		if !r.Holds(now) {
			continue
		}
		for _, a := range p.directory.LegacyLack(r) {
			all = append(all, mail.Alarm{
				ID: "A-136", Subject: r.ID + " " + a.String(),
				Text: fmt.Sprintf("Legacy rule %s offers %s to %s, who has no app password %q for it. Make one: candor account app-password add %s --name %s --legacy %s", r.ID, r.Mechanism, a, r.Credential, a, r.Credential, r.Mechanism),
			})
		}
	}
	return all
}
