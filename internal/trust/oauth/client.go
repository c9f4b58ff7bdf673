package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// maxConnections bounds those to one issuer; who finds them in use waits.
	maxConnections = 32
	// maxAnswer bounds an issuer's answer, in octets.
	maxAnswer = 256 << 10
)

// client asks one issuer.
type client struct{ http *http.Client }

func newClient(roots *x509.CertPool) *client {
	return &client{&http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: verifyTime,
			MaxConnsPerHost:     maxConnections,
			MaxIdleConnsPerHost: maxConnections,
			IdleConnTimeout:     90 * time.Second,
			ForceAttemptHTTP2:   true,
		},
		// What an issuer says is taken from the place that the configuration names and from nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       verifyTime,
	}}
}

// get reads a JSON document.
func (c *client) get(ctx context.Context, url string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	return c.do(r, into)
}

// do makes a request whose answer is JSON.
func (c *client) do(r *http.Request, into any) error {
	r.Header.Set("Accept", "application/json")
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", r.URL.Redacted(), answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading %s: %w", r.URL.Redacted(), err)
	case len(text) > maxAnswer:
		return fmt.Errorf("%s: %w", r.URL.Redacted(), errTooLong)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", r.URL.Redacted(), err)
	}
	return nil
}

var errTooLong = errors.New("the answer is too long")
