package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/pelletier/go-toml/v2"

	"candor/internal/mail"
	"candor/internal/server/listen"
)

// insecureConfig is an insecure flag, [insecure.ID] (specification, section 2.3). All fields are mandatory.
type insecureConfig struct {
	Listener string         `toml:"listener"`
	Networks []string       `toml:"networks"`
	Allow    string         `toml:"allow"`
	Reason   string         `toml:"reason"`
	Owner    string         `toml:"owner"`
	Until    toml.LocalDate `toml:"until"`
}

// insecureDays is how far ahead the end of an insecure flag may be.
const insecureDays = 90

// checkInsecure refuses flags that are not complete, and adds the others to their listeners.
func (c *config) checkInsecure() error {
	for _, id := range slices.Sorted(maps.Keys(c.Insecure)) {
		f := c.Insecure[id]
		at := "insecure." + id
		if err := c.checkException(at, id, f.Reason, f.Owner, f.Until, insecureDays); err != nil {
			return err
		}
		i := slices.IndexFunc(c.Listeners, func(l listenerConfig) bool { return l.Name == f.Listener })
		if i < 0 {
			return c.refuse(at+".listener", "CFG-02", "listener %q is not the name of one: use one of %s", f.Listener, c.listenerNames())
		}
		networks, err := c.exceptedNetworks(at, "CFG-02", f.Networks)
		if err != nil {
			return err
		}
		l := &c.Listeners[i]
		if err := c.checkAllow(at+".allow", f.Allow, l); err != nil {
			return err
		}
		for _, other := range l.exceptions {
			if overlapping(other.Networks, networks) {
				return c.refuse(at+".networks", "CFG-02", "the exception %s of listener %s has these networks already: give each network one exception", other.ID, l.Name)
			}
		}
		l.exceptions = append(l.exceptions, listen.Exception{
			Exception: mail.Exception{ID: id, Reason: f.Reason, Owner: f.Owner, Until: endOf(f.Until)},
			Networks:  networks, Allow: listen.Allow(f.Allow),
		})
	}
	return c.checkClear()
}

// checkClear refuses listeners without TLS that others can reach and nobody has answered for: CFG-02.
func (c *config) checkClear() error {
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if l.TLS != modeNone || l.Service == "http" || loopback(l.Address) || len(l.exceptions) > 0 {
			continue
		}
		_, port := bind(l.Address)
		return c.refuse(fmt.Sprintf("listener.%d.tls", i), "CFG-02", `none is refused on an address that others can reach: use tls = %q`, legalMode(l.Service, int(port)))
	}
	return nil
}

// checkException refuses a rule that nobody answers for or that does not end in time. The rule id is CFG-02 for insecure
// flags, CFG-11 for legacy mechanisms.
func (c *config) checkException(at, id, reason, owner string, until toml.LocalDate, days int) error {
	rule := "CFG-02"
	if strings.HasPrefix(at, "legacy_auth.") {
		rule = "CFG-11"
	}
	for _, field := range [][2]string{{"reason", reason}, {"owner", owner}} {
		if name, text := field[0], field[1]; strings.TrimSpace(text) == "" || strings.ContainsFunc(text, unicode.IsControl) {
			return c.refuse(at+"."+name, rule, `%s is missing: add %s = "…", one line`, name, name)
		}
	}
	last := time.Now().UTC().AddDate(0, 0, days)
	switch {
	case !validID(id):
		return c.refuse(at, rule, "%q is not an id: use letters, digits and hyphens", id)
	case until == toml.LocalDate{}:
		return c.refuse(at, rule, "until is missing: add the last day on which it holds, such as until = %s", last.Format(time.DateOnly))
	case endOf(until).After(last.Truncate(24*time.Hour).AddDate(0, 0, 1)):
		return c.refuse(at+".until", rule, "until is more than %d days ahead: use until = %s, or an earlier day", days, last.Format(time.DateOnly))
	}
	return nil
}

// validID reports whether an id can stand in logs as it is.
func validID(id string) bool {
	other := func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, other)
}

// endOf is the end of a day in UTC.
func endOf(d toml.LocalDate) time.Time { return d.AsTime(time.UTC).AddDate(0, 0, 1) }

// exceptedNetworks refuses networks in which others than the owner's machines are.
func (c *config) exceptedNetworks(at, rule string, list []string) ([]netip.Prefix, error) {
	at += ".networks"
	if len(list) == 0 {
		return nil, c.refuse(at, rule, `networks is missing: name the machines, such as networks = ["10.1.2.7/32"]`)
	}
	networks, err := parsePrefixes(list)
	if err != nil {
		return nil, c.refuse(at, rule, "%v", err)
	}
	for _, n := range networks {
		least := 16
		if n.Addr().Is6() {
			least = 32
		}
		if !private(n) && n.Bits() < least {
			return nil, c.refuse(at, rule, "%s is too large: name single machines, or public networks of at most /%d", n, least)
		}
	}
	return networks, nil
}

// checkAllow refuses what a listener cannot do, or does anyway.
func (c *config) checkAllow(at, allow string, l *listenerConfig) error {
	clear := allow == string(listen.ClearAuth) || allow == string(listen.ClearSession)
	_, login := loginServices[l.Service]
	switch {
	case l.Service == "http":
		return c.refuse(at, "CFG-02", "a listener for HTTP has no exceptions: remove this one")
	case !clear && allow != string(listen.TLS10):
		return c.refuse(at, "CFG-02", `allow is %q: use one of clear-auth, clear-session, tls1.0`, allow)
	case allow == string(listen.ClearAuth) && !login:
		return c.refuse(at, "CFG-05", `nobody logs in at listener %s: use allow = "clear-session"`, l.Name)
	case allow == string(listen.ClearSession) && l.Service != "submission" && login:
		return c.refuse(at, "CFG-02", `nothing can be done at listener %s without a login: use allow = "clear-auth"`, l.Name)
	case clear && l.TLS == modeImplicit:
		return c.refuse(at, "CFG-02", `listener %s speaks TLS from the first byte: name a listener with tls = "required"`, l.Name)
	case allow == string(listen.ClearSession) && l.TLS == modeOpportunistic:
		return c.refuse(at, "CFG-02", "listener %s accepts clear text from everyone: remove this exception", l.Name)
	case !clear && l.TLS == modeNone:
		return c.refuse(at, "CFG-02", "listener %s offers no TLS: give it another mode", l.Name)
	}
	return nil
}

func (c *config) listenerNames() string {
	names := make([]string, len(c.Listeners))
	for i, l := range c.Listeners {
		names[i] = l.Name
	}
	return strings.Join(names, ", ")
}

func overlapping(a, b []netip.Prefix) bool {
	for _, x := range a {
		if slices.ContainsFunc(b, x.Overlaps) {
			return true
		}
	}
	return false
}
