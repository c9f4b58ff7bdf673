package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// panelRule is a complete legacy rule.
func panelRule(day time.Time) string {
	return fmt.Sprintf(`[legacy_auth.panel]
mechanism = "CRAM-MD5"
accounts = ["Panel@example.org"]
networks = ["10.1.2.9"]
credential = "app:panel-1"
until = %s
reason = "panel firmware"
owner = "karin"
`, day.UTC().Format(time.DateOnly))
}

func TestLegacyConfig(t *testing.T) {
	soon := panelRule(time.Now().AddDate(0, 0, 10))
	c, err := parseConfig("candor.toml", []byte(minimal+soon+"legacy_hostname = \"legacy.example.org\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if r := c.legacy[0]; r.ID != "panel" || r.Mechanism != "CRAM-MD5" || r.Credential != "panel-1" || r.Hostname != "legacy.example.org" ||
		len(r.Accounts) != 1 || len(r.Networks) != 1 || r.DaysLeft(time.Now()) > 11 {
		t.Errorf("read as %+v", r)
	}
	if _, err := parseConfig("candor.toml", []byte(minimal+panelRule(time.Now().AddDate(0, 0, -10)))); err != nil {
		t.Errorf("a rule that has ended keeps the server from starting: %v", err)
	}
	line := func(key string) string {
		for l := range strings.Lines(soon) {
			if strings.HasPrefix(l, key+" ") {
				return l
			}
		}
		t.Fatalf("no %s", key)
		return ""
	}
	for _, tc := range []struct{ name, key, instead, want string }{
		{"no mechanism", "mechanism", "", "use CRAM-MD5 or SCRAM-SHA-1"},
		{"needs no rule", "mechanism", "mechanism = \"PLAIN\"\n", "use CRAM-MD5 or SCRAM-SHA-1"},
		{"never", "mechanism", "mechanism = \"DIGEST-MD5\"\n", "use CRAM-MD5 or SCRAM-SHA-1"},
		{"no accounts", "accounts", "", "accounts is missing"},
		{"no account", "accounts", "accounts = [\"panel\"]\n", "is not an address"},
		{"no networks", "networks", "", "networks is missing"},
		{"everywhere", "networks", "networks = [\"0.0.0.0/0\"]\n", "is too large"},
		{"main password", "credential", "credential = \"main\"\n", "credential = \"app:panel-1\""},
		{"no credential", "credential", "", "credential = \"app:panel-1\""},
		{"no end", "until", "", "until is missing"},
		{"too late an end", "until", "until = " + time.Now().AddDate(0, 0, 182).UTC().Format(time.DateOnly) + "\n", "more than 180 days"},
		{"no reason", "reason", "", "reason is missing"},
		{"no owner", "owner", "owner = \" \"\n", "owner is missing"},
		{"bad host name", "owner", line("owner") + "legacy_hostname = \"a b\"\n", "is not a domain name"},
	} {
		text := minimal + strings.Replace(soon, line(tc.key), tc.instead, 1)
		_, err := parseConfig("candor.toml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), "CFG-11: ") || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "candor.toml:") {
			t.Errorf("%s: %v, want CFG-11 and %q", tc.name, err, tc.want)
		}
	}
}
