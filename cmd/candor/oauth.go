package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
	"candor/internal/store/directory"
	"candor/internal/trust/oauth"
)

// oauthConfig is an issuer whose tokens log in.
type oauthConfig struct {
	Issuer           string   `toml:"issuer"`
	Audience         []string `toml:"audience"`
	AccountClaim     string   `toml:"account_claim"`
	Domains          []string `toml:"domains"`
	Scopes           []string `toml:"scopes"`
	JWKSURL          string   `toml:"jwks_url"`
	IntrospectionURL string   `toml:"introspection_url"`
	ClientID         string   `toml:"client_id"`
	ClientSecretFile string   `toml:"client_secret_file"`
	Roots            string   `toml:"roots"`

	domains []mail.Domain
}

func (c *config) checkOAuth() error {
	issuers, asked := map[string]string{}, ""
	for _, id := range slices.Sorted(maps.Keys(c.OAuth)) {
		o := c.OAuth[id]
		if err := c.checkIssuer("oauth."+id+".", o); err != nil {
			return err
		}
		if other, is := issuers[o.Issuer]; is {
			return c.refuse("oauth."+id+".issuer", "", "[oauth.%s] and [oauth.%s] are one issuer: make one table of them, with the audiences of both", other, id)
		}
		issuers[o.Issuer] = id
		if o.IntrospectionURL == "" {
			continue
		}
		if asked != "" {
			return c.refuse("oauth."+id+".introspection_url", "", "[oauth.%s] has an introspection_url too, and a token does not tell which of them to ask: leave it to one", asked)
		}
		asked = id
	}
	return nil
}

func (c *config) checkIssuer(at string, o *oauthConfig) error {
	for _, v := range []struct{ key, value string }{{"issuer", o.Issuer}, {"jwks_url", o.JWKSURL}, {"introspection_url", o.IntrospectionURL}} {
		if v.value == "" && v.key != "issuer" {
			continue
		}
		u, err := url.Parse(v.value)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
			return c.refuse(at+v.key, "", `%s %q is no https URL: write it as the issuer does, like "https://id.example.org/realms/staff"`, v.key, v.value)
		}
	}
	switch {
	case len(o.Audience) == 0 || slices.Contains(o.Audience, ""):
		return c.refuse(at+"audience", "", `audience is missing, so that a token made for any other service would log in here: add audience = ["candor"], as the issuer names this server`)
	case o.JWKSURL != "" && o.IntrospectionURL != "":
		return c.refuse(at+"jwks_url", "", "jwks_url has no effect with introspection_url, by which the issuer is asked about each token: remove one")
	case o.IntrospectionURL != "" && (o.ClientID == "" || o.ClientSecretFile == ""):
		return c.refuse(at+"introspection_url", "", `the issuer answers only whom it knows: add client_id = "…" and client_secret_file = "…"`)
	case o.IntrospectionURL == "" && (o.ClientID != "" || o.ClientSecretFile != ""):
		return c.refuse(at+"client_id", "", "client_id and client_secret_file have no effect without introspection_url: add it, or remove them")
	}
	if o.AccountClaim == "" {
		o.AccountClaim = "email"
	}
	for i, d := range o.Domains {
		parsed, err := mail.ParseDomain(d)
		if err != nil {
			return c.refuse(at+"domains", "", "domains[%d]: %q is not a domain name", i, d)
		}
		o.domains = append(o.domains, parsed)
	}
	for i, s := range o.Scopes {
		if s == "" || strings.ContainsAny(s, " \t\"\\") {
			return c.refuse(at+"scopes", "", "scopes[%d]: %q is no scope: write each by itself", i, s)
		}
	}
	return nil
}

// issuers are those of tokens, in the order of their names, with what they need from files.
func (c *config) issuers() (all []oauth.Issuer, err error) {
	for _, id := range slices.Sorted(maps.Keys(c.OAuth)) {
		o := c.OAuth[id]
		i := oauth.Issuer{URL: o.Issuer, Audiences: o.Audience, Claim: o.AccountClaim, Domains: o.domains, Scopes: o.Scopes, Keys: o.JWKSURL}
		if i.Roots, err = outboundRoots(o.Roots); err != nil {
			return nil, c.refuse("oauth."+id+".roots", "", "roots: %v: name a PEM file, or leave it out for the authorities of the system", err)
		}
		if o.IntrospectionURL != "" {
			secret, err := readSecret(o.ClientSecretFile)
			if err != nil {
				return nil, c.refuse("oauth."+id+".client_secret_file", "", "client_secret_file: %v", err)
			}
			i.Introspection = &oauth.Introspection{URL: o.IntrospectionURL, Client: o.ClientID, Secret: secret}
		}
		all = append(all, i)
	}
	return all, nil
}

// readSecret reads a file that holds a secret on one line.
func readSecret(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("%s has to hold the secret and nothing else, on one line", file)
	}
	return secret, nil
}

// prepareTokens makes what verifies tokens by c, and returns what puts it into force.
func (p *parts) prepareTokens(c *config) (use func(), err error) {
	issuers, err := c.issuers()
	if err != nil {
		return nil, err
	}
	if len(issuers) == 0 {
		return func() { p.useTokens(nil, nil) }, nil
	}
	v := oauth.New(issuers, nil)
	return func() { p.useTokens(v, tokensOf(v, issuers[0])) }, nil
}

func (p *parts) useTokens(v *oauth.Verifier, t *directory.Tokens) {
	p.directory.SetTokens(t)
	if p.tokens != nil {
		p.tokens.Close()
	}
	p.tokens = v
}

// tokensOf is how the directory verifies tokens. first is the issuer that programs are sent to.
func tokensOf(v *oauth.Verifier, first oauth.Issuer) *directory.Tokens {
	return &directory.Tokens{
		Verify: func(ctx context.Context, token []byte) (directory.Token, error) {
			t, err := v.Verify(ctx, token)
			return directory.Token(t), err
		},
		Discovery: sasl.Discovery{Scope: strings.Join(first.Scopes, " "), Configuration: oauth.Configuration(first.URL)},
	}
}
