package directory

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// testTokens is an issuer whose tokens say whom they are for, with "/" in place of "@".
func testTokens() *Tokens {
	return &Tokens{
		Discovery: sasl.Discovery{Scope: "mail"},
		Verify: func(_ context.Context, token []byte) (Token, error) {
			name, ok := strings.CutPrefix(string(token), "for/")
			switch {
			case string(token) == "down":
				return Token{}, mail.Errorf(mail.Unavailable, "the issuer cannot be asked")
			case !ok:
				return Token{Refused: "token-expired"}, nil
			}
			return Token{Account: strings.Replace(name, "/", "@", 1)}, nil
		},
	}
}

func byToken(t *testing.T, d *Directory, mechanism, identity, token string) (Account, error) {
	t.Helper()
	x, err := d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, mechanism))
	if err != nil {
		return Account{}, err
	}
	return converse(t, x, sasl.NewBearerClient(mechanism, identity, "mail.example.org", 993, token))
}

func TestToken(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		d.SetTokens(testTokens())
		for _, c := range []struct{ name, identity, token, want string }{
			{"own", "alice@example.org", "for/alice/example.org", "alice@example.org"},
			{"another case", "ALICE@example.org", "for/alice/Example.org", "alice@example.org"},
			{"bare name", "alice", "for/alice/example.org", "alice@example.org"},
			{"bare claim", "alice@example.org", "for/alice", "alice@example.org"},
			{"claim of two", "both@example.org", "for/both", "unknown"},
			{"another's", "bob@example.org", "for/alice/example.org", "authzid"},
			{"nobody's", "carol@example.org", "for/alice/example.org", "authzid"},
			{"alias", "ally@example.org", "for/alice/example.org", "alice@example.org"},
			{"claim that is an alias", "ally@example.org", "for/ally/example.org", "unknown"},
			{"unknown", "carol@example.org", "for/carol/example.org", "unknown"},
			{"disabled", "off@example.org", "for/off/example.org", "disabled"},
			{"role account", "postmaster@example.org", "for/postmaster/example.org", "postmaster@example.org"},
			{"refused", "alice@example.org", "old", "token-expired"},
			{"down", "alice@example.org", "down", mail.Unavailable.String()},
		} {
			for _, m := range []string{sasl.OAuthBearer, sasl.XOAuth2} {
				if got := result(byToken(t, d, m, c.identity, c.token)); got != c.want {
					t.Errorf("%s by %s: %s, want %s", c.name, m, got, c.want)
				}
			}
		}
		if got := d.Stats(); got.Logins != 12 || got.Busy != 2 || got.Refused["authzid"] != 4 {
			t.Errorf("counted %+v", got)
		}
	})
}

// TestTokenWithoutIdentity: the token tells who it is.
func TestTokenWithoutIdentity(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		d.SetTokens(testTokens())
		x, err := d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.OAuthBearer))
		must(t, err)
		_, done, err := x.Next(t.Context(), []byte("n,,\x01auth=Bearer for/bob/example.org\x01\x01"))
		if !done || err != nil || x.Account().Address.String() != "bob@example.org" || x.Login() != "bob@example.org" {
			t.Errorf("%v, %v: %v as %q", done, err, x.Account(), x.Login())
		}
	})
}

// TestTokenRefusalIsSettledFirst: who goes away with the word of a refusal has been refused all the same, and has waited
// for it.
func TestTokenRefusalIsSettledFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		d.SetTokens(testTokens())
		x, err := d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.XOAuth2))
		must(t, err)
		started := time.Now()
		word, done, err := x.Next(t.Context(), []byte("user=alice@example.org\x01auth=Bearer old\x01\x01"))
		if want := `{"status":"401","schemes":"bearer","scope":"mail"}`; done || err != nil || string(word) != want {
			t.Fatalf("%q, %v, %v; want the word %q", word, done, err, want)
		}
		if took := time.Since(started); took < refusalTime {
			t.Errorf("the word came after %v", took)
		}
		if got := d.Stats().Refused["token-expired"]; got != 1 {
			t.Errorf("counted %d times", got)
		}
		if got := x.BrokenOff(io.ErrUnexpectedEOF); Reason(got) != "token-expired" {
			t.Errorf("the client went away with the word: %v", got)
		}
		if got := x.BrokenOff(sasl.ErrCancelled); !errors.Is(got, sasl.ErrCancelled) {
			t.Errorf("the client gave up: %v", got)
		}
		for range 2 {
			if _, done, err := x.Next(t.Context(), []byte{}); done || Reason(err) != "token-expired" {
				t.Errorf("after the word: %v, %v; want the refusal", done, err)
			}
		}
		if got := d.Stats().Refused["token-expired"]; got != 1 || x.Account().ID != 0 {
			t.Errorf("counted %d times, logged in as %v", got, x.Account())
		}
	})
}

// TestTokenRequired: a token does for an account that wants no password sent, not for one that wants more.
func TestTokenRequired(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		d.SetTokens(testTokens())
		for _, c := range []struct {
			require Requirement
			want    string
		}{
			{RequireScram, "alice@example.org"}, {RequireScramPlus, "required"}, {RequireCert, "required"}, {RequirePlainOK, "alice@example.org"},
		} {
			must(t, d.SetRequirement(t.Context(), addr(t, "alice@example.org"), c.require))
			if got := result(byToken(t, d, sasl.OAuthBearer, "alice", "for/alice/example.org")); got != c.want {
				t.Errorf("%q: %s, want %s", c.require, got, c.want)
			}
		}
	})
}

func TestTokensOffered(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		offered := func() []string { return d.Mechanisms(testAttempt(IMAP, "")) }
		if got := offered(); slices.Contains(got, sasl.OAuthBearer) || slices.Contains(got, sasl.XOAuth2) {
			t.Errorf("offered without an issuer: %v", got)
		}
		if _, err := byToken(t, d, sasl.XOAuth2, "alice", "for/alice"); Reason(err) != "not-offered" {
			t.Errorf("without an issuer: %v", err)
		}
		d.SetTokens(testTokens())
		if got, want := offered(), []string{sasl.ScramSHA256, sasl.OAuthBearer, sasl.XOAuth2, sasl.Plain, sasl.Login}; !slices.Equal(got, want) {
			t.Errorf("offered %v, want %v", got, want)
		}
		inClear := testAttempt(IMAP, "")
		inClear.Peer.Transport.State = mail.Clear
		if got := d.Mechanisms(inClear); slices.Contains(got, sasl.OAuthBearer) || slices.Contains(got, sasl.XOAuth2) {
			t.Errorf("offered in clear: %v", got)
		}
		d.SetTokens(nil)
		if got := offered(); slices.Contains(got, sasl.OAuthBearer) {
			t.Errorf("offered although the issuer was taken away: %v", got)
		}
	})
}
