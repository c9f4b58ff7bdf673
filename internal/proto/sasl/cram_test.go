package sasl

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // CRAM-MD5 is made of it
	"encoding/hex"
	"strings"
	"testing"

	"candor/internal/mail"
)

// TestCramVector is the example of RFC 2195, section 2.
func TestCramVector(t *testing.T) {
	k := NewCramKey([]byte("tanstaaftanstaaf"))
	digest, _ := hex.DecodeString("b913a602c7eda7a495b4e6e7334d3890")
	if !k.Matches([]byte("<1896.697170952@postoffice.reston.mci.net>"), digest) {
		t.Error("the digest of the RFC does not match")
	}
	digest[0] ^= 1
	if k.Matches([]byte("<1896.697170952@postoffice.reston.mci.net>"), digest) {
		t.Error("another digest matches")
	}
}

func cramDigest(password, challenge []byte) []byte {
	h := hmac.New(md5.New, password)
	h.Write(challenge)
	return h.Sum(nil)
}

func TestCramKey(t *testing.T) {
	for _, size := range []int{0, 1, 16, 63, 64, 65, 200} {
		password := bytes.Repeat([]byte("p"), size)
		k := NewCramKey(password)
		text, err := k.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var again CramKey
		if err := again.UnmarshalText(text); err != nil || again != k {
			t.Errorf("%s was read as %v, %v", text, again, err)
		}
		for _, length := range []int{0, 40, 64, 300} {
			challenge := bytes.Repeat([]byte("c"), length)
			if !again.Matches(challenge, cramDigest(password, challenge)) {
				t.Errorf("a password of %d octets does not match for a challenge of %d", size, length)
			}
		}
	}
	for _, bad := range []string{"", "YQ==", "?", Encode(make([]byte, 33))} {
		var k CramKey
		if err := k.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestCramServer(t *testing.T) {
	key := NewCramKey([]byte("secret"))
	verify := func(_ context.Context, login string, challenge, digest []byte) error {
		if login != "a panel" || !key.Matches(challenge, digest) {
			return failed(nil)
		}
		return nil
	}
	var before []byte
	for _, tc := range []struct {
		name, password, format string
		want                   mail.Kind // Internal: accepted
	}{
		{"right", "secret", "a panel %x", mail.Internal},
		{"upper case", "secret", "a panel %X", mail.Internal},
		{"wrong", "guess", "a panel %x", mail.AuthFailed},
		{"another", "secret", "panel %x", mail.AuthFailed},
		{"no name", "secret", " %x", mail.Syntax},
		{"digest alone", "secret", "%x", mail.Syntax},
		{"digest cut", "secret", "a panel %.15x", mail.Syntax},
		{"no digest", "secret", "a panel ", mail.Syntax},
		{"NUL", "secret", "a\x00panel %x", mail.Syntax},
		{"too long", "secret", strings.Repeat("a", maxMessage) + " %x", mail.Syntax},
	} {
		s := NewCramServer("mx.example.test", verify)
		challenge, done, err := s.Next(t.Context(), nil)
		if err != nil || done || !bytes.HasPrefix(challenge, []byte("<")) || !bytes.HasSuffix(challenge, []byte("@mx.example.test>")) || bytes.Equal(challenge, before) {
			t.Fatalf("challenge %q, %t, %v", challenge, done, err)
		}
		before = challenge
		digest := cramDigest([]byte(tc.password), challenge)
		response := strings.NewReplacer("%x", hex.EncodeToString(digest), "%X", strings.ToUpper(hex.EncodeToString(digest)),
			"%.15x", hex.EncodeToString(digest[:15])).Replace(tc.format)
		_, done, err = s.Next(t.Context(), []byte(response))
		if done != (tc.want == mail.Internal) || err != nil && !mail.IsKind(err, tc.want) || err == nil && !done {
			t.Errorf("%s: done %t, %v; want %v", tc.name, done, err, tc.want)
		}
		if _, _, err := s.Next(t.Context(), []byte(response)); !mail.IsKind(err, mail.Sequence) {
			t.Errorf("%s: a second response was taken: %v", tc.name, err)
		}
	}
	if _, _, err := NewCramServer("mx.example.test", verify).Next(t.Context(), []byte("a panel 00")); !mail.IsKind(err, mail.Syntax) {
		t.Errorf("an initial response: %v", err)
	}
}

func TestExternal(t *testing.T) {
	for _, tc := range []struct {
		name, response string
		want           mail.Kind
	}{
		{"whoever it is", "", mail.Internal},
		{"by name", "ann@example.test", mail.Internal},
		{"another", "bob@example.test", mail.AuthFailed},
		{"NUL", "ann\x00", mail.Syntax},
		{"not UTF-8", "\xff", mail.Syntax},
		{"too long", strings.Repeat("a", maxMessage+1), mail.Syntax},
	} {
		s := NewExternalServer(func(_ context.Context, authzid string) error {
			if authzid != "" && authzid != "ann@example.test" {
				return failed(nil)
			}
			return nil
		})
		if challenge, done, err := s.Next(t.Context(), nil); challenge == nil || len(challenge) > 0 || done || err != nil {
			t.Fatalf("without a response: %q, %t, %v", challenge, done, err)
		}
		_, done, err := s.Next(t.Context(), []byte(tc.response))
		if done != (tc.want == mail.Internal) || err != nil && !mail.IsKind(err, tc.want) || err == nil && !done {
			t.Errorf("%s: done %t, %v; want %v", tc.name, done, err, tc.want)
		}
		if _, _, err := s.Next(t.Context(), []byte{}); !mail.IsKind(err, mail.Sequence) {
			t.Errorf("%s: a second response was taken: %v", tc.name, err)
		}
	}
}

func FuzzCramResponse(f *testing.F) {
	f.Add([]byte("tim b913a602c7eda7a495b4e6e7334d3890"))
	f.Add([]byte(" b913a602c7eda7a495b4e6e7334d3890"))
	f.Fuzz(func(t *testing.T, response []byte) {
		s := NewCramServer("x", func(_ context.Context, login string, _, digest []byte) error {
			if login == "" || len(digest) != md5.Size {
				t.Errorf("%q gave login %q and digest %x", response, login, digest)
			}
			return nil
		})
		if _, _, err := s.Next(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		_, _, _ = s.Next(t.Context(), response)
	})
}
