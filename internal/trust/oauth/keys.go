package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// algorithms are those that a signature may be of: with a public key. "none" is none, and of HS256 the public key
// would be the secret.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

const (
	// fetchEvery is the least time between two tries to fetch keys, however many tokens have keys that nobody knows.
	fetchEvery = 10 * time.Second
	// refreshAfter is the age at which keys are fetched again, so that a key that was taken back ends.
	refreshAfter = time.Hour
	// keepFor is the age to which keys are used if no newer ones can be had.
	keepFor = 24 * time.Hour

	maxKeys    = 100
	minRSABits = 2048
)

// keySet holds the public keys of one issuer.
type keySet struct {
	issuer   Issuer
	client   *client
	now      func() time.Time
	fetching chan struct{} // held by who fetches

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // when keys were
	tried   time.Time // when the last try to fetch ended
	failure error     // of that try
}

func newKeySet(i Issuer, c *client, now func() time.Time) *keySet {
	return &keySet{issuer: i, client: c, now: now, fetching: make(chan struct{}, 1)}
}

// find returns the keys that may have made a signature, fetching them anew if there is reason to. It is an error
// only if that is not known: a kid that a set just fetched does not have is nobody's.
func (k *keySet) find(ctx context.Context, kid, algorithm string) ([]jose.JSONWebKey, error) {
	keys, age := k.matching(kid, algorithm)
	if len(keys) > 0 && (age < refreshAfter || age < keepFor && len(k.fetching) > 0) {
		return keys, nil
	}
	err := k.refresh(ctx)
	keys, age = k.matching(kid, algorithm)
	switch {
	case len(keys) > 0 && age < keepFor:
		return keys, nil
	case err != nil:
		return nil, err
	}
	return nil, nil
}

// matching returns the keys held for a kid, which may be empty, and an algorithm, and the age of the set.
func (k *keySet) matching(kid, algorithm string) (found []jose.JSONWebKey, age time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.keys {
		if (kid == "" || key.KeyID == kid) && (key.Algorithm == "" || key.Algorithm == algorithm) {
			found = append(found, key)
		}
	}
	return found, k.now().Sub(k.fetched)
}

// refresh fetches the keys, unless that was tried a moment ago, and returns the outcome of the last try. One fetches
// for all who wait.
func (k *keySet) refresh(ctx context.Context) error {
	select {
	case k.fetching <- struct{}{}:
		defer func() { <-k.fetching }()
	case <-ctx.Done():
		return ctx.Err()
	}
	k.mu.Lock()
	recent, failure := !k.tried.IsZero() && k.now().Sub(k.tried) < fetchEvery, k.failure
	k.mu.Unlock()
	if recent {
		return failure
	}
	// Others wait for this too: it does not end with the connection of the one who began.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyTime)
	defer cancel()
	keys, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried, k.failure = k.now(), err
	if err == nil {
		k.keys, k.fetched = keys, k.tried
	}
	return err
}

// fetch gets the issuer's JWK set, from where its metadata says if the configuration does not.
func (k *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	at := k.issuer.Keys
	if at == "" {
		var metadata struct {
			Issuer string `json:"issuer"`
			Keys   string `json:"jwks_uri"`
		}
		if err := k.client.get(ctx, Configuration(k.issuer.URL), &metadata); err != nil {
			return nil, fmt.Errorf("reading its metadata: %w", err)
		}
		if metadata.Issuer != k.issuer.URL {
			return nil, fmt.Errorf("its metadata are those of %q", metadata.Issuer)
		}
		at = metadata.Keys
	}
	if u, err := url.Parse(at); err != nil || u.Scheme != "https" {
		return nil, fmt.Errorf("jwks_uri %q is no https URL", at)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.client.get(ctx, at, &set); err != nil {
		return nil, fmt.Errorf("reading its keys: %w", err)
	}
	if keys := usable(set.Keys); len(keys) > 0 {
		return keys, nil
	}
	return nil, errNoKeys
}

var errNoKeys = errors.New("its JWK set has no key that could verify a token")

// Configuration is the URL of an issuer's metadata (OpenID Connect Discovery 1.0, section 4).
func Configuration(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// usable are those of the first keys of a set that can verify a signature. Others, of kinds that we do not know among
// them, are no fault of the set.
func usable(set []json.RawMessage) (keys []jose.JSONWebKey) {
	for _, text := range set[:min(len(set), maxKeys)] {
		var key jose.JSONWebKey
		if json.Unmarshal(text, &key) != nil || key.Use != "" && key.Use != "sig" {
			continue
		}
		switch public := key.Key.(type) {
		case *rsa.PublicKey:
			if public.N.BitLen() >= minRSABits {
				keys = append(keys, key)
			}
		case *ecdsa.PublicKey, ed25519.PublicKey:
			keys = append(keys, key)
		}
	}
	return keys
}
