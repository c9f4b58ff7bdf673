package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
	"candor/internal/store/directory"
)

type authConfig struct {
	Remove     []string `toml:"remove"`
	OnExposure string   `toml:"on_exposure"`
	AutoRetire string   `toml:"auto_retire"`
}

// checkAuth refuses to remove what there is not, and everything: CFG-10.
func (c *config) checkAuth() error {
	if err := c.checkAuthPolicy(); err != nil {
		return err
	}
	methods := directory.Withholdable()
	for i, m := range c.Auth.Remove {
		m = strings.ToUpper(m)
		if !slices.Contains(methods, m) {
			return c.refuse("auth.remove", "CFG-10", "remove[%d]: %q is no login method that an account could use: use some of %s", i, m, strings.Join(methods, ", "))
		}
		c.Auth.Remove[i] = m
	}
	unusable := append([]string{directory.IMAPLogin, directory.POP3User}, c.Auth.Remove...)
	if len(c.OAuth) == 0 {
		unusable = append(unusable, sasl.OAuthBearer, sasl.XOAuth2)
	}
	mechanisms := slices.DeleteFunc(methods, func(m string) bool {
		return slices.Contains(unusable, m)
	})
	if len(mechanisms) == 0 {
		return c.refuse("auth.remove", "CFG-10", "no mechanism is left by which an account could log in: keep SCRAM-SHA-256 or PLAIN")
	}
	return nil
}

// destinationConfig is a rule for outbound mail, [destination."example.org"] (specification, section 4.2).
type destinationConfig struct {
	Level  string         `toml:"level"`
	Reason string         `toml:"reason"`
	Owner  string         `toml:"owner"`
	Until  toml.LocalDate `toml:"until"`
}

// levels are those of destination rules; true: one that ignores what the destination publishes.
var levels = map[string]bool{
	"none": true, "may": true, "auto": false, "encrypt": false, "dane": false, "dane-only": false, "verify": false, "secure": false, "fingerprint": false,
}

// checkDestinations refuses rules that ignore a promise of the destination while nobody answers for that, and then
// all others, which could have no effect yet: CFG-13.
func (c *config) checkDestinations() error {
	names := slices.Sorted(maps.Keys(c.Dest))
	for _, name := range names {
		d, at := c.Dest[name], "destination."+name
		below, known := levels[d.Level]
		switch _, err := mail.ParseDomain(strings.TrimPrefix(name, ".")); {
		case err != nil:
			return c.refuse(at, "CFG-13", "%q is not a domain: write it like example.org, or .example.org for those below it", name)
		case !known:
			return c.refuse(at+".level", "CFG-13", "level %q is not known: use one of %s", d.Level, strings.Join(slices.Sorted(maps.Keys(levels)), ", "))
		case below && (strings.TrimSpace(d.Reason) == "" || strings.TrimSpace(d.Owner) == "" || d.Until == toml.LocalDate{}):
			return c.refuse(at, "CFG-13", `level %s ignores what %s publishes: add reason = "…", owner = "…" and until, or use level = "auto"`, d.Level, name)
		}
	}
	if len(names) > 0 {
		return c.refuse("destination."+names[0], "CFG-13", "destination rules are not in this version: remove [destination.%q]", names[0])
	}
	return nil
}

// daneConfig is the publication of TLSA records (specification, section 6.1).
type daneConfig struct {
	Publish bool `toml:"publish"`
	Records int  `toml:"records"`
}

// checkDANE refuses a publication that would break at the next change of the key, and then any, which could have no effect
// yet: CFG-14.
func (c *config) checkDANE() error {
	switch d := c.DANE; {
	case d.Publish && d.Records < 2:
		return c.refuse("dane", "CFG-14", "DANE needs the record of the next key beside that of the current one: set records = 2")
	case d != daneConfig{}:
		return c.refuse("dane", "CFG-14", "publishing DANE records is not in this version: remove [dane]")
	}
	return nil
}

// smtpConfig is what concerns mail from other servers.
type smtpConfig struct {
	BareNewline string `toml:"bare_newline"`
}

// The values of bare_newline (specification, section 2.8).
const (
	bareRefuse    = "refuse"
	bareNormalise = "normalise"
)

func (c *config) checkSMTP() error {
	switch c.SMTP.BareNewline {
	case "", bareRefuse, bareNormalise:
		return nil
	}
	return c.refuse("smtp.bare_newline", "", `bare_newline %q is not known: use %q or %q`, c.SMTP.BareNewline, bareRefuse, bareNormalise)
}
