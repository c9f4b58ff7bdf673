package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

const minimal = `hostname = "mail.example.org"
data = "."
[tls]
cert = "tls/cert.pem"
key = "tls/key.pem"
`

func TestConfigDefaults(t *testing.T) {
	c, err := parseConfig("/srv/candor.toml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	if c.Data != "/srv" || c.TLS.Cert != "/srv/tls/cert.pem" || len(c.Listeners) != len(defaultListeners) || c.limits.firstByte != 20*time.Second {
		t.Errorf("got data %q, cert %q, %d listeners, first byte %v", c.Data, c.TLS.Cert, len(c.Listeners), c.limits.firstByte)
	}
}

func TestConfigLimits(t *testing.T) {
	c, err := parseConfig("f", []byte(minimal+"[limits]\nexempt = [\"127.0.0.0/8\"]\nsmtp_command_timeout = \"10m\"\nbad_commands = 7\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.limits.exempt) != 1 || c.limits.smtpCommand != 10*time.Minute || c.limits.badCommands != 7 {
		t.Errorf("got %+v", c.limits)
	}
}

// TestConfigRefusals: each refusal names the file, the line, the rule and the mend.
func TestConfigRefusals(t *testing.T) {
	listener := func(service, address, tls, more string) string {
		return minimal + "\n[[listener]]\nservice = \"" + service + "\"\naddress = \"" + address + "\"\ntls = \"" + tls + "\"\n" + more
	}
	issuer := func(more string) string { return minimal + "[oauth.staff]\n" + more }
	const asked = "issuer = \"https://id.example\"\naudience = [\"a\"]\nintrospection_url = \"https://id.example/i\"\n"
	const secret = asked + "client_id = \"c\"\nclient_secret_file = \"f\"\n"
	for name, c := range map[string]struct{ text, where, want string }{
		"unknown key":               {"hostnam = \"x\"\n", ":1:", "unknown key"},
		"wrong type":                {"hostname = 7\n", ":1:", "hostname"},
		"wrong type in a table":     {minimal + "[dns]\nupstreams = \"127.0.0.1:53\"\n", ":7:", `dns.upstreams: it cannot be a string: write a list, such as ["x", "y"]`},
		"wrong type of listener":    {"listener = \"x\"\n" + minimal, ":1:", "write a table of a list, [[listener]]"},
		"wrong type of a table":     {"limits = 5\n" + minimal, ":1:", "limits: it cannot be an integer: write a [table]"},
		"wrong type of mode":        {minimal + "[[listener]]\ntls = true\n", ":7:", `it cannot be a boolean: write one of "implicit", "required", "opportunistic", "none"`},
		"records too short":         {minimal + "[records]\nkeep_days = 6\n", ":7:", "use 7 to 400 (default 90)"},
		"records of no time":        {minimal + "[records]\nkeep_days = 0\n", ":7:", "use 7 to 400 (default 90)"},
		"keep_days in words":        {minimal + "[records]\nkeep_days = \"x\"\n", ":7:", "write a whole number"},
		"part of a second":          {minimal + "[limits]\nfirst_byte_timeout = \"5.5s\"\n", ":7:", "whole number of seconds"},
		"smart host's port":         {minimal + "[outbound]\nsmarthost = \"x:\"\n", ":7:", "host:port"},
		"CFG-03 all addresses":      {listener("imap", "127.0.0.1:2143", "required", "[[listener]]\nservice = \"imap\"\naddress = \":2143\"\ntls = \"implicit\"\n"), ":13:", "CFG-03"},
		"address taken":             {listener("imap", "0.0.0.0:2143", "required", "[[listener]]\nservice = \"imap\"\naddress = \"127.0.0.1:2143\"\ntls = \"required\"\n"), ":13:", "taken by the listener 0.0.0.0:2143"},
		"no issuer":                 {issuer("audience = [\"a\"]\n"), ":6:", "no https URL"},
		"issuer in clear":           {issuer("issuer = \"http://id.example\"\naudience = [\"a\"]\n"), ":7:", "no https URL"},
		"no audience":               {issuer("issuer = \"https://id.example\"\n"), ":6:", "audience is missing"},
		"asking nobody knows whom":  {issuer(asked + "client_id = \"c\"\n"), ":9:", "client_secret_file"},
		"secret without a question": {issuer("issuer = \"https://id.example\"\naudience = [\"a\"]\nclient_id = \"c\"\n"), ":9:", "no effect"},
		"keys and questions":        {issuer(asked + "jwks_url = \"https://id.example/k\"\n"), ":10:", "no effect"},
		"one issuer twice":          {issuer("issuer = \"https://id.example\"\naudience = [\"a\"]\n") + "[oauth.other]\nissuer = \"https://id.example\"\naudience = [\"b\"]\n", ":7:", "one issuer"},
		"two to ask":                {issuer(secret) + "[oauth.other]\n" + strings.ReplaceAll(secret, "id.example", "id.example.net"), ":", "leave it to one"},
		"scopes in one":             {issuer("issuer = \"https://id.example\"\naudience = [\"a\"]\nscopes = [\"a b\"]\n"), ":9:", "write each by itself"},
		"no domain":                 {issuer("issuer = \"https://id.example\"\naudience = [\"a\"]\ndomains = [\"a b\"]\n"), ":9:", "is not a domain name"},
		"address twice":             {listener("imap", ":2143", "required", "[[listener]]\nservice = \"imap\"\naddress = \":2143\"\ntls = \"required\"\n"), ":13:", "twice"},
		"name twice":                {listener("imap", ":2143", "required", "name = \"a\"\n[[listener]]\nservice = \"imap\"\naddress = \":2144\"\ntls = \"required\"\nname = \"a\"\n"), ":16:", "two listeners"},
		"syntax":                    {"hostname = \n", ":1:", ""},
		"no hostname":               {"data = \".\"\n", "f:", "hostname is missing"},
		"bad hostname":              {"hostname = \"a b\"\ndata = \".\"\n", ":1:", "is not a domain name"},
		"no data":                   {"hostname = \"a.example\"\n", "f:", "data is missing"},
		"no certificate":            {"hostname = \"a.example\"\ndata = \".\"\n", "f:", "no certificate"},
		"vague mode":                {listener("imap", ":143", "yes", ""), ":10:", modeWords},
		"CFG-01":                    {listener("imap", ":2143", "opportunistic", ""), ":10:", `CFG-01: opportunistic is refused where people log in, since their password could travel in clear: use tls = "required"`},
		"CFG-02":                    {listener("pop3", ":2110", "none", ""), ":10:", "CFG-02"},
		"CFG-03":                    {listener("imap", ":2143", "required", "[[listener]]\nservice = \"imap\"\naddress = \":2143\"\ntls = \"implicit\"\n"), ":13:", "CFG-03"},
		"CFG-04 starttls on 993":    {listener("imap", ":993", "required", ""), ":10:", "CFG-04: port 993 speaks TLS from the first byte"},
		"CFG-04 implicit on 587":    {listener("submission", ":587", "implicit", ""), ":10:", "CFG-04"},
		"CFG-05 service":            {listener("submission", ":25", "required", ""), ":8:", "CFG-05"},
		"CFG-05 auth":               {listener("smtp", ":25", "opportunistic", "auth = true\n"), ":8:", "CFG-05"},
		"CFG-06":                    {minimal + "min_version = \"1.0\"\n", ":6:", "CFG-06"},
		"CFG-08":                    {listener("smtp", ":25", "required", ""), ":10:", "CFG-08"},
		"CFG-09 all":                {minimal + "[submission]\nrelay_networks = [\"0.0.0.0/0\"]\n", ":7:", "CFG-09"},
		"CFG-09 public":             {minimal + "[submission]\nrelay_networks = [\"192.0.2.0/23\"]\n", ":7:", "CFG-09"},
		"CFG-11":                    {minimal + "[legacy_auth.panel]\nmechanism = \"CRAM-MD5\"\n", ":6:", "CFG-11"},
		"CFG-12 all":                {listener("imap", ":143", "required", "proxy_from = [\"::/0\"]\n"), ":11:", "CFG-12: whoever connects from ::/0 could claim any address"},
		"CFG-12 public":             {listener("imap", ":143", "required", "proxy_from = [\"10.0.0.0/8\", \"192.0.2.0/23\"]\n"), ":11:", "at most /24"},
		"CFG-12 bad network":        {listener("imap", ":143", "required", "proxy_from = [\"proxy.example\"]\n"), ":11:", "proxy_from[0]"},
		"CFG-12 TLS of whom":        {listener("imap", ":143", "required", "proxy_tls_trusted = \"x\"\n"), ":11:", "add proxy_from"},
		"CFG-12 TLS, no reason":     {listener("imap", ":143", "required", "proxy_from = [\"10.0.0.1\"]\nproxy_tls_trusted = \" \"\n"), ":12:", "needs a reason"},
		"CFG-12 TLS of http":        {listener("http", ":80", "none", "proxy_from = [\"10.0.0.1\"]\nproxy_tls_trusted = \"x\"\n"), ":12:", "no use"},
		"CFG-12 certificates":       {listener("imap", ":143", "required", "proxy_from = [\"10.0.0.1\"]\nproxy_tls_trusted = \"x\"\nclient_cert = \"require\"\nclient_ca = \"ca.pem\"\n"), ":12:", "no certificate to require"},
		"client_ca alone":           {listener("imap", ":143", "required", "client_ca = \"ca.pem\"\n"), ":11:", "client_ca has no effect without client_cert"},
		"client_cert of nobody":     {listener("imap", ":143", "required", "client_cert = \"require\"\n"), ":11:", `add client_ca = "ca.pem"`},
		"client_cert unknown":       {listener("imap", ":143", "required", "client_cert = \"yes\"\n"), ":11:", `use "request" or "require"`},
		"client_cert on 25":         {listener("smtp", ":25", "opportunistic", "client_cert = \"request\"\nclient_ca = \"ca.pem\"\n"), ":11:", "client_cert_from"},
		"client_cert of http":       {listener("http", ":443", "implicit", "client_cert = \"request\"\nclient_ca = \"ca.pem\"\n"), ":11:", "cannot ask"},
		"bad pin":                   {listener("imap", ":143", "required", "client_cert = \"request\"\nclient_pins = [\"sha256:12\"]\n"), ":12:", "64 hexadecimal digits"},
		"CFG-13":                    {minimal + "[destination.\"example.net\"]\nlevel = \"may\"\n", ":6:", "CFG-13"},
		"CFG-15":                    {minimal + "[dns]\ntrust_ad = true\n", ":7:", "CFG-15"},
		"bad address":               {listener("imap", "143", "required", ""), ":9:", "host:port"},
		"unknown limit":             {minimal + "[limits]\nbad = 1\n", ":7:", "unknown key"},
		"limit out of range":        {minimal + "[limits]\nfirst_byte_timeout = 1\n", ":7:", "1 s is out of range: use 5 s to 1 min"},
		"bad network":               {minimal + "[submission]\nclients = [\"x\"]\n", ":7:", "is not a network"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseConfig("f", []byte(c.text))
			if err == nil {
				t.Fatalf("accepted:\n%s", c.text)
			}
			if got := err.Error(); !strings.Contains(got, c.where) || !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %q and %q in it", got, c.where, c.want)
			}
		})
	}
}

// TestListenerNames: every listener has a name of its own, for logs and metrics.
func TestListenerNames(t *testing.T) {
	c, err := parseConfig("f", []byte(minimal+`
[[listener]]
service = "imap"
address = "127.0.0.1:143"
tls = "required"
[[listener]]
service = "imap"
address = "[::1]:143"
tls = "required"
`))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := c.Listeners[0].Name, c.Listeners[1].Name; a != "imap:143" || b != "imap:[::1]:143" {
		t.Errorf("got %q and %q", a, b)
	}
}

// TestManual: the manual has a row for each limit, with its default and its range.
func TestManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/manual/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][2]string{}
	for line := range strings.Lines(string(manual)) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(cells[1]), "`"), "`")
			rows[name] = [2]string{strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])}
		}
	}
	var l limits
	for _, r := range l.rows() {
		got := rows[r.name]
		want := [2]string{r.show(r.value), r.show(r.least) + " – " + r.show(r.top)}
		if r.name == "memory" {
			want[0] = "half of the machine's"
		}
		if got != want {
			t.Errorf("%s: the manual says %q, want %q", r.name, got, want)
		}
	}
}

func TestConfigAccepts(t *testing.T) {
	for name, text := range map[string]string{
		"required with reason": minimal + "[[listener]]\nservice = \"smtp\"\naddress = \":25\"\ntls = \"required\"\nreason = \"a closed group\"\n",
		"none on loopback":     minimal + "[[listener]]\nservice = \"smtp\"\naddress = \"127.0.0.1:25\"\ntls = \"none\"\n",
		"same port, two hosts": minimal + "[[listener]]\nservice = \"imap\"\naddress = \"127.0.0.1:143\"\ntls = \"required\"\n[[listener]]\nservice = \"imap\"\naddress = \"127.0.0.2:143\"\ntls = \"required\"\n",
		"small relay network":  minimal + "[submission]\nrelay_networks = [\"192.0.2.0/24\", \"10.0.0.0/8\", \"192.0.2.7\"]\n",
		"byte order mark":      "\uFEFF" + minimal,
		"CRLF":                 strings.ReplaceAll(minimal, "\n", "\r\n"),
		"proxies":              minimal + "[[listener]]\nservice = \"imap\"\naddress = \":143\"\ntls = \"required\"\nproxy_from = [\"10.0.0.0/8\", \"192.0.2.7\"]\nproxy_tls_trusted = \"HAProxy ends TLS\"\n",
		"client certificates":  minimal + "[[listener]]\nservice = \"imap\"\naddress = \":143\"\ntls = \"required\"\nclient_cert = \"require\"\nclient_pins = [\"sha256:" + strings.Repeat("0A:", 31) + "ff\"]\nclient_cert_from = [\"10.0.0.0/8\"]\n",
		"several certificates": "hostname = \"a.example\"\ndata = \".\"\n[[tls.certificate]]\ncert = \"a\"\nkey = \"b\"\n",
	} {
		if _, err := parseConfig("f", []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
