package mailtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Issuer is an OpenID issuer on loopback: it publishes its metadata and keys by HTTPS, makes tokens of them and tells
// whose an opaque one is.
type Issuer struct {
	Server       *httptest.Server
	Fetched      atomic.Int64 // how often its keys were read
	Introspected atomic.Int64
	// Client and Secret are those of who may introspect.
	Client, Secret string

	mu     sync.Mutex
	key    jose.JSONWebKey // that signs
	keys   []any           // that are published
	opaque map[string]map[string]any
	fault  http.HandlerFunc
	number int
}

// NewIssuer starts an issuer with one key.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{Client: "candor", Secret: "s3cret+ &%", opaque: map[string]map[string]any{}}
	i.Server = httptest.NewTLSServer(http.HandlerFunc(i.serve))
	t.Cleanup(i.Server.Close)
	i.Rotate()
	return i
}

// URL is the issuer's identifier.
func (i *Issuer) URL() string { return i.Server.URL }

// Roots is its certificate, in PEM.
func (i *Issuer) Roots() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Server.Certificate().Raw})
}

// Rotate replaces its key by a new one, at once. It returns the one that ended.
func (i *Issuer) Rotate() jose.JSONWebKey {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	old := i.key
	i.number++
	i.key = jose.JSONWebKey{Key: private, KeyID: fmt.Sprint("key-", i.number), Algorithm: string(jose.ES256), Use: "sig"}
	i.keys = []any{i.key.Public()}
	return old
}

// Publish adds a key, in any form that JSON can have, to those that it publishes.
func (i *Issuer) Publish(key any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, key)
}

// Fail makes the issuer answer all requests so; nil: as it should.
func (i *Issuer) Fail(fault http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fault = fault
}

// Claims are those of a token for candor that is valid for an hour.
func (i *Issuer) Claims(email string, now time.Time) map[string]any {
	return map[string]any{
		"iss": i.URL(), "aud": "candor", "sub": "1", "email": email, "scope": "openid mail",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// Token signs claims by the issuer's key.
func (i *Issuer) Token(claims map[string]any) string {
	i.mu.Lock()
	key := i.key
	i.mu.Unlock()
	return Sign(jose.ES256, key, claims)
}

// Sign makes a JWT of claims.
func Sign(algorithm jose.SignatureAlgorithm, key any, claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		panic(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		panic(err)
	}
	return token
}

// Opaque makes a token that only the issuer understands.
func (i *Issuer) Opaque(claims map[string]any) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	token := rand.Text()
	i.opaque[token] = maps.Clone(claims)
	return token
}

// Revoke ends an opaque token.
func (i *Issuer) Revoke(token string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.opaque, token)
}

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	fault, keys := i.fault, i.keys
	i.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL(), "jwks_uri": i.URL() + "/keys"})
	case "/keys":
		i.Fetched.Add(1)
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": keys})
	case "/introspect":
		i.introspect(w, r)
	default:
		http.NotFound(w, r)
	}
}

// introspect answers as RFC 7662, section 2.2 has it.
func (i *Issuer) introspect(w http.ResponseWriter, r *http.Request) {
	i.Introspected.Add(1)
	client, secret, _ := r.BasicAuth()
	if client != url.QueryEscape(i.Client) || secret != url.QueryEscape(i.Secret) {
		http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		return
	}
	i.mu.Lock()
	claims, active := i.opaque[r.PostFormValue("token")]
	i.mu.Unlock()
	answer := map[string]any{"active": active}
	maps.Copy(answer, claims)
	_ = json.NewEncoder(w).Encode(answer)
}
