package sasl

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"candor/internal/mail"
)

// bearer accepts one token, for one identity or none.
func bearer(identity, token string) VerifyBearer {
	return func(_ context.Context, b Bearer) error {
		if b.Identity != "" && b.Identity != identity || string(b.Token) != token {
			return failed(nil)
		}
		return nil
	}
}

// exampleToken is that of RFC 7628, section 4.1.
const exampleToken = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="

func TestBearer(t *testing.T) {
	for _, c := range []struct {
		name, mechanism, message string
		want                     mail.Kind // Internal: accepted
	}{
		{"RFC 7628, section 4.1", OAuthBearer, "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer " + exampleToken + "\x01\x01", mail.Internal},
		{"Google's example", XOAuth2, "user=user@example.com\x01auth=Bearer " + exampleToken + "\x01\x01", mail.Internal},
		{"no identity", OAuthBearer, "n,,\x01auth=Bearer " + exampleToken + "\x01\x01", mail.Internal},
		{"client that can bind", OAuthBearer, "y,,\x01auth=bearer  " + exampleToken + "\x01\x01", mail.Internal},
		{"unknown pairs", OAuthBearer, "n,,\x01qs=a=b c\x01auth=Bearer " + exampleToken + "\x01mthd=GET\x01\x01", mail.Internal},
		{"escaped identity", OAuthBearer, "n,a=user=40example.com,\x01auth=Bearer " + exampleToken + "\x01\x01", mail.Syntax},
		{"other identity", OAuthBearer, "n,a=other@example.com,\x01auth=Bearer " + exampleToken + "\x01\x01", mail.AuthFailed},
		{"wrong token", XOAuth2, "user=user@example.com\x01auth=Bearer x\x01\x01", mail.AuthFailed},
		{"only asking, RFC 7628, section 4.3", OAuthBearer, "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=\x01\x01", mail.AuthFailed},
		{"bound", OAuthBearer, "p=tls-exporter,,\x01auth=Bearer " + exampleToken + "\x01\x01", mail.Syntax},
		{"no flag", OAuthBearer, ",\x01auth=Bearer " + exampleToken + "\x01\x01", mail.Syntax},
		{"flag alone", OAuthBearer, "n\x01auth=Bearer " + exampleToken + "\x01\x01", mail.Syntax},
		{"empty identity", OAuthBearer, "n,a=,\x01auth=Bearer " + exampleToken + "\x01\x01", mail.Syntax},
		{"no user", XOAuth2, "user=\x01auth=Bearer " + exampleToken + "\x01\x01", mail.Syntax},
		{"the other's header", XOAuth2, "n,a=user@example.com,\x01auth=Bearer " + exampleToken + "\x01\x01", mail.Syntax},
		{"empty", OAuthBearer, "", mail.Syntax},
		{"acknowledgement", OAuthBearer, "\x01", mail.Syntax},
		{"no end", OAuthBearer, "n,,\x01auth=Bearer " + exampleToken + "\x01", mail.Syntax},
		{"data after the end", OAuthBearer, "n,,\x01auth=Bearer " + exampleToken + "\x01\x01x", mail.Syntax},
		{"no token", OAuthBearer, "n,,\x01host=a\x01\x01", mail.Syntax},
		{"two tokens", OAuthBearer, "n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01", mail.Syntax},
		{"other scheme", OAuthBearer, "n,,\x01auth=Basic YTpi\x01\x01", mail.Syntax},
		{"scheme alone", OAuthBearer, "n,,\x01auth=Bearer\x01\x01", mail.Syntax},
		{"scheme and padding", OAuthBearer, "n,,\x01auth=Bearer ==\x01\x01", mail.Syntax},
		{"token with a space", OAuthBearer, "n,,\x01auth=Bearer a b\x01\x01", mail.Syntax},
		{"padding within", OAuthBearer, "n,,\x01auth=Bearer a=b\x01\x01", mail.Syntax},
		{"no key", OAuthBearer, "n,,\x01=a\x01auth=Bearer a\x01\x01", mail.Syntax},
		{"digit in a key", OAuthBearer, "n,,\x01a1=a\x01auth=Bearer a\x01\x01", mail.Syntax},
		{"NUL", OAuthBearer, "n,,\x01host=\x00\x01auth=Bearer a\x01\x01", mail.Syntax},
		{"control", OAuthBearer, "n,,\x01host=\x02\x01auth=Bearer a\x01\x01", mail.Syntax},
		{"longest", OAuthBearer, longest("n,,"), mail.AuthFailed},
		{"too long", OAuthBearer, longest("n,a=u,"), mail.Syntax},
		{"not UTF-8", XOAuth2, "user=\xff\x01auth=Bearer a\x01\x01", mail.Syntax},
	} {
		s := NewBearerServer(c.mechanism, Discovery{}, bearer("user@example.com", exampleToken))
		challenge, done, err := s.Next(t.Context(), []byte(c.message))
		if c.want == mail.Internal {
			if !done || challenge != nil || err != nil {
				t.Errorf("%s: %q, %v, %v; want done", c.name, challenge, done, err)
			}
		} else if done || !mail.IsKind(err, c.want) || (challenge != nil) != (c.want == mail.AuthFailed) {
			t.Errorf("%s: %q, %v, %v; want %v", c.name, challenge, done, err, c.want)
		}
		if _, _, err := s.Next(t.Context(), []byte{1}); !mail.IsKind(err, mail.Sequence) {
			t.Errorf("%s: after the end %v, want a sequence error", c.name, err)
		}
	}
}

// longest is a message with a token, as long as one can be if header has three octets.
func longest(header string) string {
	const around = "\x01auth=Bearer \x01\x01"
	return header + "\x01auth=Bearer " + strings.Repeat("t", maxBearer-len("n,,")-len(around)) + "\x01\x01"
}

func TestBearerEmptyChallenge(t *testing.T) {
	s := NewBearerServer(XOAuth2, Discovery{}, bearer("a", "t"))
	if challenge, done, err := s.Next(t.Context(), nil); challenge == nil || len(challenge) > 0 || done || err != nil {
		t.Errorf("without a response: %q, %v, %v; want an empty challenge", challenge, done, err)
	}
}

func TestBearerClient(t *testing.T) {
	for _, mechanism := range []string{OAuthBearer, XOAuth2} {
		for _, user := range []string{"alice@example.test", "a=b,c@example.test", "älice@example.test"} {
			c := NewBearerClient(mechanism, user, "mail.example.test", 993, exampleToken)
			if err := converse(t, c, NewBearerServer(mechanism, Discovery{}, bearer(user, exampleToken))); err != nil {
				t.Errorf("%s as %s: %v", mechanism, user, err)
			}
		}
	}
}

func TestBearerWord(t *testing.T) {
	d := Discovery{Scope: "mail openid", Configuration: "https://id.example.test/.well-known/openid-configuration"}
	for mechanism, want := range map[string]map[string]string{
		OAuthBearer: {"status": "invalid_token", "scope": d.Scope, "openid-configuration": d.Configuration},
		XOAuth2:     {"status": "401", "schemes": "bearer", "scope": d.Scope},
	} {
		c := NewBearerClient(mechanism, "a", "h", 1, "bad")
		challenge, _, err := NewBearerServer(mechanism, d, bearer("a", "good")).Next(t.Context(), c.Start())
		var got map[string]string
		if jsonErr := json.Unmarshal(challenge, &got); jsonErr != nil || !mail.IsKind(err, mail.AuthFailed) {
			t.Fatalf("%s: %q, %v, %v", mechanism, challenge, err, jsonErr)
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", mechanism, got, want)
		}
		for key := range want {
			if got[key] != want[key] {
				t.Errorf("%s: %s is %q, want %q", mechanism, key, got[key], want[key])
			}
		}
		answer, err := c.Next(challenge)
		if wanted := map[string]string{OAuthBearer: "\x01", XOAuth2: ""}[mechanism]; err != nil || string(answer) != wanted {
			t.Errorf("%s: the client answers %q, %v; want %q", mechanism, answer, err, wanted)
		}
		if !bytes.Equal(c.Refused(), challenge) || c.Finish() == nil {
			t.Errorf("%s: the client takes a refusal for success", mechanism)
		}
	}
}

// FuzzBearer: what is accepted is written again as it was meant.
func FuzzBearer(f *testing.F) {
	for _, s := range []string{
		"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer " + exampleToken + "\x01\x01",
		"user=user@example.com\x01auth=Bearer " + exampleToken + "\x01\x01", "n,,\x01auth=\x01\x01", "\x01", "y,a==2C=3D,\x01auth=bearer  t==\x01\x01",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		for _, mechanism := range []string{OAuthBearer, XOAuth2} {
			b, ok := parseBearer(mechanism, message)
			if !ok {
				continue
			}
			if bytes.ContainsAny(b.Token, " \x00\x01\r\n") || strings.ContainsAny(b.Identity, "\x00\x01") {
				t.Fatalf("%s: %q gives %q", mechanism, message, b)
			}
			if b.Identity == "" || len(b.Token) == 0 {
				continue
			}
			again, ok := parseBearer(mechanism, NewBearerClient(mechanism, b.Identity, "", 0, string(b.Token)).Start())
			if len(message) < maxBearer/4 && (!ok || again.Identity != b.Identity || !bytes.Equal(again.Token, b.Token)) {
				t.Fatalf("%s: %q gives %q, and then %q", mechanism, message, b, again)
			}
		}
	})
}
