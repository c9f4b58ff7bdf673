package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"candor/internal/mail"
	"candor/internal/server/listen"
	"candor/internal/store/directory"
)

// config is the configuration file. What changes at run time (domains, accounts, aliases) is data
// in the directory, not configuration.
type config struct {
	Hostname   string                       `toml:"hostname"`
	Data       string                       `toml:"data"`
	Listeners  []listenerConfig             `toml:"listener"` // without those that are closed
	Closed     []string                     `toml:"closed"`
	TLS        tlsConfig                    `toml:"tls"`
	DNS        dnsConfig                    `toml:"dns"`
	Outbound   outboundConfig               `toml:"outbound"`
	Submission submissionConfig             `toml:"submission"`
	Network    networkConfig                `toml:"network"`
	Quota      quotaConfig                  `toml:"quota"`
	Records    recordsConfig                `toml:"records"`
	Delivery   deliveryConfig               `toml:"delivery"`
	Limits     map[string]any               `toml:"limits"`
	Insecure   map[string]insecureConfig    `toml:"insecure"`
	LegacyAuth map[string]legacyConfig      `toml:"legacy_auth"`
	Dest       map[string]destinationConfig `toml:"destination"`
	OAuth      map[string]*oauthConfig      `toml:"oauth"`
	Auth       authConfig                   `toml:"auth"`
	SMTP       smtpConfig                   `toml:"smtp"`
	DANE       daneConfig                   `toml:"dane"`

	file     string
	position map[string]int // line of a key's path, such as "listener.0.tls"
	hostname mail.Domain
	closed   []listenerConfig       // by Closed
	legacy   []directory.LegacyRule // of [legacy_auth]
	limits   limits

	autoRetire time.Duration // of [auth]
}

type listenerConfig struct {
	Service  string   `toml:"service"`
	Address  string   `toml:"address"`
	TLS      modeWord `toml:"tls"`
	Name     string   `toml:"name"`
	Hostname string   `toml:"hostname"`
	Reason   string   `toml:"reason"`
	Auth     *bool    `toml:"auth"`

	ProxyFrom       []string `toml:"proxy_from"`
	ProxyTLSTrusted *string  `toml:"proxy_tls_trusted"`

	ClientCert     string   `toml:"client_cert"`
	ClientCA       string   `toml:"client_ca"`
	ClientPins     []string `toml:"client_pins"`
	ClientCertFrom []string `toml:"client_cert_from"`

	exceptions []listen.Exception // of [insecure]
}

type tlsConfig struct {
	Cert         string              `toml:"cert"`
	Key          string              `toml:"key"`
	Certificates []certificateConfig `toml:"certificate"`
	Roots        string              `toml:"roots"`
	MinVersion   any                 `toml:"min_version"`
	Suites       any                 `toml:"suites"`
}

type certificateConfig struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

type dnsConfig struct {
	Upstreams    []string `toml:"upstreams"`
	TrustAnchors string   `toml:"trust_anchors"`
	RootHints    string   `toml:"root_hints"`
	TrustAD      bool     `toml:"trust_ad"`
}

type outboundConfig struct {
	PrivateTargets []string       `toml:"private_targets"`
	Smarthost      string         `toml:"smarthost"`
	SmarthostAuth  map[string]any `toml:"smarthost_auth"`
}

type submissionConfig struct {
	Clients       []string `toml:"clients"`
	RelayNetworks []string `toml:"relay_networks"`

	RevealClientIP bool `toml:"reveal_client_ip"`
}

type networkConfig struct {
	Private []string `toml:"private"`
}

// loadConfig reads and checks the configuration. Every error names the file, and where it can the
// line, the rule and the mend.
func loadConfig(file string) (*config, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist; make one with 'candor quickstart', or name yours with --config", file)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return parseConfig(file, text)
}

func parseConfig(file string, text []byte) (*config, error) {
	text = bytes.TrimPrefix(text, []byte("\uFEFF")) // some editors begin a file with it
	c := &config{file: file}
	dec := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		return nil, explainTOML(file, err)
	}
	c.position = positions(text)
	if err := c.check(); err != nil {
		return nil, err
	}
	dir := filepath.Dir(followed(file)) // /etc/candor/candor.toml may be a link into the data folder
	for _, p := range c.paths() {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return c, nil
}

// paths are the values that are relative to the file's folder.
func (c *config) paths() []*string {
	all := []*string{&c.Data, &c.TLS.Cert, &c.TLS.Key, &c.TLS.Roots, &c.DNS.TrustAnchors, &c.DNS.RootHints}
	for i := range c.TLS.Certificates {
		all = append(all, &c.TLS.Certificates[i].Cert, &c.TLS.Certificates[i].Key)
	}
	for i := range c.Listeners {
		all = append(all, &c.Listeners[i].ClientCA)
	}
	for _, o := range c.OAuth {
		all = append(all, &o.ClientSecretFile, &o.Roots)
	}
	return all
}

// explainTOML turns the parser's error into one line with file and line.
func explainTOML(file string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		e := strict.Errors[0]
		line, _ := e.Position()
		return fmt.Errorf("%s:%d: unknown key %q: remove it, or see docs/manual/configuration.md for the keys there are", file, line, strings.Join(e.Key(), "."))
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, _ := decode.Position()
		text := strings.TrimPrefix(decode.Error(), "toml: ")
		if m := wrongType.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("it cannot be %s %s: write %s", article(m[1]), m[1], cmp.Or(typeWords[m[2]], "a [table]"))
		}
		if key := strings.Join(decode.Key(), "."); key != "" {
			text = key + ": " + text
		}
		return fmt.Errorf("%s:%d: %s", file, line, text)
	}
	return fmt.Errorf("%s: %w", file, err)
}

// wrongType is what the parser says of a value of the wrong type; it names Go's types.
var wrongType = regexp.MustCompile(`^cannot decode TOML (\w+) into .* of type (.+)$`)

// typeWords says what a value of a type within config looks like; the other types are tables.
var typeWords = map[string]string{
	"string": `text in quotes, such as "x"`, "*string": `text in quotes, such as "x"`, "bool": "true or false", "*bool": "true or false", "int64": "a whole number", "toml.LocalDate": "a date, such as 2026-12-31",
	"[]string":              `a list, such as ["x", "y"]`,
	"main.modeWord":         "one of " + modeWords,
	"[]main.listenerConfig": "a table of a list, [[listener]]", "[]main.certificateConfig": "a table of a list, [[tls.certificate]]",
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an"
	}
	return "a"
}

// positions maps the path of every key and table to its line; elements of an array of tables are
// numbered from 0. The text has been parsed before, so errors cannot happen.
func positions(text []byte) map[string]int {
	lines := map[string]int{}
	counts := map[string]int{}
	var p unstable.Parser
	p.Reset(text)
	table := ""
	for p.NextExpression() {
		e := p.Expression()
		var path []string
		line := 0
		for it := e.Key(); it.Next(); {
			k := it.Node()
			path = append(path, string(k.Data))
			if line == 0 {
				line = p.Shape(k.Raw).Start.Line
			}
		}
		key := strings.Join(path, ".")
		switch e.Kind {
		case unstable.Table:
			table = key + "."
			lines[key] = line
		case unstable.ArrayTable:
			table = fmt.Sprintf("%s.%d.", key, counts[key])
			lines[strings.TrimSuffix(table, ".")] = line
			counts[key]++
		case unstable.KeyValue:
			lines[table+key] = line
		}
	}
	return lines
}

// refuse makes the error for a refused value: where it stands, by which rule, and the mend.
func (c *config) refuse(path, rule, format string, args ...any) error {
	where := c.file
	for p := path; p != ""; {
		if line, ok := c.position[p]; ok {
			where = fmt.Sprintf("%s:%d", c.file, line)
			break
		}
		i := strings.LastIndexByte(p, '.')
		p = p[:max(i, 0)]
	}
	if rule != "" {
		rule += ": "
	}
	return fmt.Errorf("%s: %s%s", where, rule, fmt.Sprintf(format, args...))
}
