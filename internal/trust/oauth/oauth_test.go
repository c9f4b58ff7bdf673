package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"candor/internal/mail"
	"candor/internal/mailtest"
)

// clock is one that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now().Truncate(time.Second)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// of is the configuration of a test's issuer.
func of(i *mailtest.Issuer) Issuer {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(i.Roots())
	return Issuer{URL: i.URL(), Audiences: []string{"candor", "mail"}, Claim: "email", Scopes: []string{"mail"}, Roots: roots}
}

func asked(i *mailtest.Issuer) Issuer {
	o := of(i)
	o.Introspection = &Introspection{URL: i.URL() + "/introspect", Client: i.Client, Secret: i.Secret}
	return o
}

func newVerifier(t *testing.T, c *clock, issuers ...Issuer) *Verifier {
	v := New(issuers, c.Now)
	t.Cleanup(v.Close)
	return v
}

// outcome is what became of a token: the account, the reason, or the kind of the error.
func outcome(t *testing.T, v *Verifier, token string) string {
	t.Helper()
	found, err := v.Verify(t.Context(), []byte(token))
	switch {
	case err != nil && found != Token{}:
		t.Errorf("both %+v and %v", found, err)
		return ""
	case err != nil:
		return mail.AsError(err).Kind.String()
	case found.Refused != "":
		return found.Refused
	}
	return found.Account
}

const alice = "alice@example.org"

var down = mail.Unavailable.String()

// with returns claims with others in place; nil takes one away.
func with(claims map[string]any, name string, value any) map[string]any {
	claims[name] = value
	if value == nil {
		delete(claims, name)
	}
	return claims
}

// claimCases are the claims that both ways of verifying judge alike.
func claimCases(i *mailtest.Issuer, now time.Time) map[string]struct {
	claims map[string]any
	want   string
} {
	type c = struct {
		claims map[string]any
		want   string
	}
	base := func() map[string]any { return i.Claims(alice, now) }
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	return map[string]c{
		"good":                 {base(), alice},
		"audiences":            {with(base(), "aud", []string{"other", "mail"}), alice},
		"verified":             {with(base(), "email_verified", true), alice},
		"verified in quotes":   {with(base(), "email_verified", "true"), alice},
		"unverified":           {with(base(), "email_verified", false), NamesNobody},
		"verified oddly":       {with(base(), "email_verified", 1), NamesNobody},
		"scp":                  {with(with(base(), "scope", nil), "scp", []string{"mail"}), alice},
		"scp as text":          {with(with(base(), "scope", nil), "scp", "x mail"), alice},
		"no scope":             {with(base(), "scope", nil), LacksScope},
		"longer scope":         {with(base(), "scope", "openid mailbox"), LacksScope},
		"other audience":       {with(base(), "aud", "webshop"), WrongAudience},
		"expired in leeway":    {with(base(), "exp", at(-50*time.Second)), alice},
		"expired":              {with(base(), "exp", at(-70*time.Second)), Expired},
		"early in leeway":      {with(base(), "nbf", at(50*time.Second)), alice},
		"not yet":              {with(base(), "nbf", at(70*time.Second)), Expired},
		"issued in the future": {with(base(), "iat", at(70*time.Second)), Expired},
		"nobody":               {with(base(), "email", nil), NamesNobody},
		"no text":              {with(base(), "email", []string{alice}), NamesNobody},
	}
}

func TestSigned(t *testing.T) {
	c, i := newClock(), mailtest.NewIssuer(t)
	v := newVerifier(t, c, of(i))
	for name, test := range claimCases(i, c.Now()) {
		if got := outcome(t, v, i.Token(test.claims)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	good := i.Claims(alice, c.Now())
	for name, test := range map[string]struct{ token, want string }{
		"never ends":    {i.Token(with(i.Claims(alice, c.Now()), "exp", nil)), Expired},
		"no audience":   {i.Token(with(i.Claims(alice, c.Now()), "aud", nil)), WrongAudience},
		"other issuer":  {i.Token(with(i.Claims(alice, c.Now()), "iss", "https://other.test")), Invalid},
		"with a slash":  {i.Token(with(i.Claims(alice, c.Now()), "iss", i.URL()+"/")), Invalid},
		"empty":         {"", Invalid},
		"opaque":        {"abc", Invalid},
		"dots":          {"..", Invalid},
		"cut":           {i.Token(good)[:100], Invalid},
		"changed":       {changed(t, i.Token(good)), Invalid},
		"no signature":  {i.Token(good)[:strings.LastIndexByte(i.Token(good), '.')+1], Invalid},
		"alg none":      {segment(t, map[string]string{"alg": "none"}) + "." + segment(t, good) + ".", Invalid},
		"alg None":      {segment(t, map[string]string{"alg": "None"}) + "." + segment(t, good) + ".", Invalid},
		"crit":          {segment(t, map[string]any{"alg": "ES256", "crit": []string{"x"}, "x": 1}) + "." + segment(t, good) + ".AAAA", Invalid},
		"another's key": {mailtest.Sign(jose.ES256, newKey("key-1"), good), Invalid},
		"key within":    {embedded(good), Invalid},
	} {
		if got := outcome(t, v, test.token); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	if n := i.Fetched.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
	}
}

// newKey is one of an attacker's.
func newKey(kid string) jose.JSONWebKey {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return jose.JSONWebKey{Key: private, KeyID: kid}
}

// embedded signs with a key that the header itself brings along.
func embedded(claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: newKey("")}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		panic(err)
	}
	payload, _ := json.Marshal(claims)
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return token
}

func segment(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// changed names another account in a signed token.
func changed(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), "alice", "admin", 1)))
	return strings.Join(parts, ".")
}

// TestKeyConfusion: a public key, in whatever form, is no secret of HS256, nor is a secret that the issuer publishes.
func TestKeyConfusion(t *testing.T) {
	c, i := newClock(), mailtest.NewIssuer(t)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key, secret := jose.JSONWebKey{Key: private, KeyID: "rsa"}, make([]byte, 32)
	i.Publish(key.Public())
	i.Publish(map[string]string{"kty": "oct", "kid": "secret", "k": base64.RawURLEncoding.EncodeToString(secret)})
	i.Publish(map[string]string{"kty": "AKP", "kid": "future", "alg": "ML-DSA-65", "pub": "AAAA"})
	i.Publish("no key at all")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	i.Publish((&jose.JSONWebKey{Key: &small.PublicKey, KeyID: "small"}))
	v := newVerifier(t, c, of(i))
	claims := i.Claims(alice, c.Now())
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	hs := func(kid string, secret []byte) string {
		return mailtest.Sign(jose.HS256, jose.JSONWebKey{Key: secret, KeyID: kid}, claims)
	}
	for name, test := range map[string]struct{ token, want string }{
		"its own":           {mailtest.Sign(jose.RS256, key, claims), alice},
		"PSS":               {mailtest.Sign(jose.PS256, key, claims), alice},
		"without kid":       {mailtest.Sign(jose.RS256, private, claims), alice},
		"other kid":         {mailtest.Sign(jose.RS256, jose.JSONWebKey{Key: private, KeyID: "key-1"}, claims), Invalid},
		"HS256 by DER":      {hs("rsa", der), Invalid},
		"HS256 by modulus":  {hs("rsa", private.N.Bytes()), Invalid},
		"HS256 by a secret": {hs("secret", secret), Invalid},
		"small key":         {mailtest.Sign(jose.RS256, jose.JSONWebKey{Key: small, KeyID: "small"}, claims), Invalid},
	} {
		if got := outcome(t, v, test.token); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestRotation(t *testing.T) {
	c, i := newClock(), mailtest.NewIssuer(t)
	v := newVerifier(t, c, of(i))
	before := i.Token(i.Claims(alice, c.Now()))
	step := func(what, token, want string, fetched int64) {
		t.Helper()
		if got := outcome(t, v, token); got != want || i.Fetched.Load() != fetched {
			t.Fatalf("%s: %s after %d fetches, want %s after %d", what, got, i.Fetched.Load(), want, fetched)
		}
	}
	step("first", before, alice, 1)
	c.pass(fetchEvery)
	i.Rotate()
	after := i.Token(i.Claims(alice, c.Now()))
	step("the old key is still known", before, alice, 1)
	step("a new kid", after, alice, 2)
	step("the old key ended", before, Invalid, 2)
	for n := range 50 { // a flood
		step("unknown kid", mailtest.Sign(jose.ES256, newKey("flood-"+string(rune('a'+n%26))), i.Claims(alice, c.Now())), Invalid, 2)
	}
	c.pass(fetchEvery)
	step("one try for all", mailtest.Sign(jose.ES256, newKey("flood"), i.Claims(alice, c.Now())), Invalid, 3)
	c.pass(refreshAfter)
	i.Rotate()
	step("a key that was taken back ends within the hour", after, Invalid, 4)
}

func TestIssuerDown(t *testing.T) {
	c, i := newClock(), mailtest.NewIssuer(t)
	v := newVerifier(t, c, of(i))
	token := func() string { return i.Token(i.Claims(alice, c.Now())) }
	broken := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) }
	expect := func(what, want string) {
		t.Helper()
		if got := outcome(t, v, token()); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	i.Fail(broken)
	expect("down from the start", down)
	i.Fail(nil)
	expect("not asked again at once", down)
	c.pass(fetchEvery)
	expect("up again", alice)
	i.Fail(broken)
	c.pass(refreshAfter)
	expect("down for an hour", alice)
	c.pass(keepFor - refreshAfter)
	expect("down for a day", down)
}

// TestBadIssuer: what is no answer is no refusal either.
func TestBadIssuer(t *testing.T) {
	for name, answer := range map[string]string{
		"no JSON":        "<html>",
		"another issuer": `{"issuer":"https://other.test","jwks_uri":"https://other.test/keys"}`,
		"keys in clear":  `{"issuer":"ISSUER","jwks_uri":"http://127.0.0.1/keys"}`,
		"no keys":        `{"issuer":"ISSUER","jwks_uri":"ISSUER/keys","keys":[]}`,
		"keys of no use": `{"issuer":"ISSUER","jwks_uri":"ISSUER/keys","keys":[{"kty":"oct","k":"AAAA"}]}`,
		"endless":        `{"issuer":"` + strings.Repeat("x", maxAnswer) + `"}`,
		"redirect":       "",
	} {
		t.Run(name, func(t *testing.T) {
			c, i := newClock(), mailtest.NewIssuer(t)
			i.Fail(func(w http.ResponseWriter, r *http.Request) {
				if answer == "" {
					http.Redirect(w, r, "https://other.test/", http.StatusFound)
					return
				}
				_, _ = w.Write([]byte(strings.ReplaceAll(answer, "ISSUER", i.URL())))
			})
			if got := outcome(t, newVerifier(t, c, of(i)), i.Token(i.Claims(alice, c.Now()))); got != down {
				t.Errorf("%s, want %s", got, down)
			}
			if strings.HasPrefix(answer, `{"issuer":"`) && len(answer) < maxAnswer {
				return
			}
			if got := outcome(t, newVerifier(t, c, asked(i)), "opaque"); got != down {
				t.Errorf("asked about a token: %s, want %s", got, down)
			}
		})
	}
}

// TestSlowIssuer: who waits for an issuer waits no longer than the login that asked.
func TestSlowIssuer(t *testing.T) {
	c, i := newClock(), mailtest.NewIssuer(t)
	hold := make(chan struct{})
	i.Fail(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	})
	defer close(hold)
	v := newVerifier(t, c, asked(i))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := v.Verify(ctx, []byte("opaque")); !mail.IsKind(err, mail.Unavailable) {
		t.Errorf("%v, want %s", err, down)
	}
}

func TestIntrospection(t *testing.T) {
	c, i := newClock(), mailtest.NewIssuer(t)
	v := newVerifier(t, c, asked(i))
	for name, test := range claimCases(i, c.Now()) {
		if got := outcome(t, v, i.Opaque(test.claims)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	bare := map[string]any{"client_id": "candor", "email": alice, "scope": "mail"}
	token := i.Opaque(bare)
	for name, test := range map[string]struct{ token, want string }{
		"what is evident left out":               {token, alice},
		"another's client":                       {i.Opaque(with(map[string]any{"email": alice, "scope": "mail"}, "client_id", "webshop")), WrongAudience},
		"for nobody":                             {i.Opaque(map[string]any{"email": alice, "scope": "mail"}), WrongAudience},
		"another issuer":                         {i.Opaque(with(i.Claims(alice, c.Now()), "iss", "https://other.test")), Invalid},
		"unknown":                                {"unknown", Invalid},
		"forged JWT":                             {mailtest.Sign(jose.ES256, newKey("key-1"), i.Claims(alice, c.Now())), Invalid},
		"JWT that it signed, but has taken back": {i.Token(i.Claims(alice, c.Now())), Invalid},
	} {
		if got := outcome(t, v, test.token); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	i.Revoke(token)
	if got := outcome(t, v, token); got != Invalid {
		t.Errorf("revoked: %s; answers are not to be kept", got)
	}
	i.Secret = "changed"
	if got := outcome(t, v, i.Opaque(bare)); got != down {
		t.Errorf("with a wrong secret of ours: %s, want %s", got, down)
	}
}

// TestSeveralIssuers: each speaks for its own, and sees no tokens of the others.
func TestSeveralIssuers(t *testing.T) {
	c, a, b := newClock(), mailtest.NewIssuer(t), mailtest.NewIssuer(t)
	first, second := of(a), asked(b)
	first.Domains = []mail.Domain{"example.org"}
	second.Domains = []mail.Domain{"example.net"}
	v := newVerifier(t, c, first, second)
	for name, test := range map[string]struct{ token, want string }{
		"signed":                 {a.Token(a.Claims(alice, c.Now())), alice},
		"opaque":                 {b.Opaque(b.Claims("bob@example.net", c.Now())), "bob@example.net"},
		"other domain":           {b.Opaque(b.Claims(alice, c.Now())), NamesNobody},
		"bare name":              {a.Token(a.Claims("alice", c.Now())), NamesNobody},
		"in the name of another": {b.Token(a.Claims(alice, c.Now())), Invalid},
	} {
		if got := outcome(t, v, test.token); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	if n := b.Introspected.Load(); n != 2 {
		t.Errorf("%d tokens were shown to an issuer, want its own 2", n)
	}
}
