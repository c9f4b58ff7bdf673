package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"candor/internal/server/listen"
)

const flagged = minimal + `
[[listener]]
service = "submission"
address = ":587"
tls = "required"
[[listener]]
service = "submission"
address = "192.0.2.1:2587"
tls = "none"
name = "scan"
[[listener]]
service = "imap"
address = ":143"
tls = "required"
[[listener]]
service = "smtp"
address = ":25"
tls = "opportunistic"
[[listener]]
service = "pop3"
address = ":995"
tls = "implicit"
[insecure.old-scanner]
`

// insecureFlag is a complete insecure flag with some lines replaced; an empty value takes the line away.
func insecureFlag(changes ...string) string {
	lines := [][2]string{
		{"listener", `"scan"`},
		{"networks", `["10.1.2.7/32"]`},
		{"reason", `"Scanner X"`},
		{"owner", `"karin"`},
		{"allow", `"clear-auth"`},
		{"until", time.Now().UTC().AddDate(0, 0, 60).Format(time.DateOnly)},
	}
	text := flagged
	for _, l := range lines {
		for i := 0; i < len(changes); i += 2 {
			if changes[i] == l[0] {
				l[1] = changes[i+1]
			}
		}
		if l[1] != "" {
			text += l[0] + " = " + l[1] + "\n"
		}
	}
	return text
}

// TestInsecureRefusals: TS-2.3. An insecure flag that is not complete is refused with file, line, rule and mend.
func TestInsecureRefusals(t *testing.T) {
	day := func(n int) string { return time.Now().UTC().AddDate(0, 0, n).Format(time.DateOnly) }
	for name, c := range map[string]struct {
		text string
		line int
		want string
	}{
		"no listener":           {insecureFlag("listener", ""), 28, `CFG-02: listener "" is not the name of one: use one of submission:587, scan, imap:143, smtp:25, pop3:995`},
		"another's listener":    {insecureFlag("listener", `"imap:993"`), 29, `CFG-02: listener "imap:993" is not the name of one`},
		"no networks":           {insecureFlag("networks", ""), 28, `CFG-02: networks is missing: name the machines, such as networks = ["10.1.2.7/32"]`},
		"bad network":           {insecureFlag("networks", `["x"]`), 30, "CFG-02: \"x\" is not a network"},
		"everyone":              {insecureFlag("networks", `["0.0.0.0/0"]`), 30, "CFG-02: 0.0.0.0/0 is too large: name single machines, or public networks of at most /16"},
		"public /15":            {insecureFlag("networks", `["192.0.2.7/15"]`), 30, "CFG-02: 192.0.0.0/15 is too large"},
		"public IPv6 /31":       {insecureFlag("networks", `["2001:db8::/31"]`), 30, "CFG-02: 2001:db8::/31 is too large: name single machines, or public networks of at most /32"},
		"more than private":     {insecureFlag("networks", `["10.0.0.0/7"]`), 30, "CFG-02: 10.0.0.0/7 is too large"},
		"no reason":             {insecureFlag("reason", ""), 28, `CFG-02: reason is missing: add reason = "…"`},
		"blank reason":          {insecureFlag("reason", `" "`), 31, "CFG-02: reason is missing"},
		"reason of two lines":   {insecureFlag("reason", `"a\nb"`), 31, "CFG-02: reason is missing"},
		"no owner":              {insecureFlag("owner", ""), 28, `CFG-02: owner is missing: add owner = "…"`},
		"no allow":              {insecureFlag("allow", ""), 28, `CFG-02: allow is "": use one of clear-auth, clear-session, tls1.0`},
		"another allow":         {insecureFlag("allow", `"everything"`), 33, "CFG-02: allow is \"everything\""},
		"no end":                {insecureFlag("until", ""), 28, "CFG-02: until is missing: add the last day on which it holds, such as until = " + day(90)},
		"no date":               {insecureFlag("until", "7"), 34, "insecure.old-scanner.until: dates are expected to have the format YYYY-MM-DD"},
		"91 days":               {insecureFlag("until", day(91)), 34, "CFG-02: until is more than 90 days ahead: use until = " + day(90)},
		"login on 25":           {insecureFlag("listener", `"smtp:25"`), 33, `CFG-05: nobody logs in at listener smtp:25: use allow = "clear-session"`},
		"clear mail to the MX":  {insecureFlag("listener", `"smtp:25"`, "allow", `"clear-session"`), 33, "CFG-02: listener smtp:25 accepts clear text from everyone: remove this exception"},
		"IMAP without login":    {insecureFlag("listener", `"imap:143"`, "allow", `"clear-session"`), 33, `CFG-02: nothing can be done at listener imap:143 without a login: use allow = "clear-auth"`},
		"clear on implicit":     {insecureFlag("listener", `"pop3:995"`), 33, `CFG-02: listener pop3:995 speaks TLS from the first byte: name a listener with tls = "required"`},
		"TLS where none is":     {insecureFlag("allow", `"tls1.0"`), 33, "CFG-02: listener scan offers no TLS: give it another mode"},
		"another's network":     {insecureFlag() + strings.ReplaceAll(insecureFlag("networks", `["10.1.0.0/16"]`), flagged, "[insecure.zz]\n"), 37, "CFG-02: the exception old-scanner of listener scan has these networks already"},
		"not an id":             {strings.ReplaceAll(insecureFlag(), "[insecure.old-scanner]", "[insecure.\"old scanner\"]"), 28, `CFG-02: "old scanner" is not an id: use letters, digits and hyphens`},
		"unknown key":           {insecureFlag() + "x = 1\n", 35, "unknown key"},
		"none without its flag": {insecureFlag("listener", `"imap:143"`), 14, `CFG-02: none is refused on an address that others can reach: use tls = "required"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseConfig("f", []byte(c.text))
			want := fmt.Sprintf("f:%d: ", c.line)
			if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s… %s", err, want, c.want)
			}
		})
	}
}

// TestInsecureFlags: TS-2.3. Complete flags are taken, and none is legal with one; what has ended is taken as well, and
// shuts its networks out.
func TestInsecureFlags(t *testing.T) {
	for name, text := range map[string]string{
		"none with a flag":    insecureFlag(),
		"90 days":             insecureFlag("until", time.Now().UTC().AddDate(0, 0, 90).Format(time.DateOnly)),
		"ended":               insecureFlag("until", "2020-12-31"),
		"public /16":          insecureFlag("networks", `["192.0.2.7/16"]`),
		"mail without login":  insecureFlag("allow", `"clear-session"`),
		"obsolete TLS on 993": insecureFlag() + strings.ReplaceAll(insecureFlag("listener", `"pop3:995"`, "allow", `"tls1.0"`), flagged, "[insecure.zz]\n"),
	} {
		if _, err := parseConfig("f", []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := parseConfig("f", []byte(insecureFlag("until", "2020-12-31")))
	if err != nil {
		t.Fatal(err)
	}
	l := c.listenerOf(c.Listeners[1])
	if !l.ExceptionsOnly || len(l.Exceptions) != 1 {
		t.Fatalf("got %+v", l)
	}
	e := l.Exceptions[0]
	if e.ID != "old-scanner" || e.Allow != listen.ClearAuth || e.Networks[0] != netip.MustParsePrefix("10.1.2.7/32") ||
		!e.Until.Equal(time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("got %+v", e)
	}
	if c.listenerOf(c.Listeners[0]).ExceptionsOnly {
		t.Error("an ordinary listener is shut")
	}
}
