package oauth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
)

// introspect asks the issuer about a token. RFC 7662, section 2.
func (i *issuer) introspect(ctx context.Context, token []byte, now time.Time) (Token, error) {
	form := url.Values{"token": {string(token)}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, i.Introspection.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, i.unavailable(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// RFC 6749, section 2.3.1 wants both encoded.
	r.SetBasicAuth(url.QueryEscape(i.Introspection.Client), url.QueryEscape(i.Introspection.Secret))
	var answer json.RawMessage
	if err := i.client.do(r, &answer); err != nil {
		return Token{}, i.unavailable(err)
	}
	c, active, err := parseAnswer(answer)
	switch {
	case err != nil:
		return Token{}, i.unavailable(fmt.Errorf("its answer about a token: %w", err))
	case !active:
		return Token{Refused: Invalid}, nil
	}
	i.complete(&c)
	return i.judge(c, now), nil
}

// parseAnswer reads an introspection response. RFC 7662, section 2.2.
func parseAnswer(text []byte) (c claims, active bool, err error) {
	var state struct {
		Active bool `json:"active"`
	}
	if err := json.Unmarshal(text, &state); err != nil || !state.Active {
		return claims{}, false, err
	}
	if err := json.Unmarshal(text, &c.Claims); err != nil {
		return claims{}, false, err
	}
	return c, true, json.Unmarshal(text, &c.all)
}

// complete adds what an answer may leave out because it is evident: the issuer is the one that was asked, and a token
// without audience is for the client that got it.
func (i *issuer) complete(c *claims) {
	if c.Issuer == "" {
		c.Issuer = i.URL
	}
	if client, ok := c.all["client_id"].(string); ok && len(c.Audience) == 0 {
		c.Audience = jwt.Audience{client}
	}
}
