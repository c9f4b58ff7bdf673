package sasl

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"candor/internal/mail"
)

// The exchange of RFC 7677, section 3.
const (
	vectorClientNonce = "rOprNGfwEbeRWgbNEkqO"
	vectorServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	vectorClientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
	vectorServerFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	vectorClientFinal = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	vectorServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
	vectorSalt        = "W22ZaJ0SNY7soEsUEjb6gQ=="
)

func vectorKeys(t testing.TB) ScramCredentials {
	t.Helper()
	salt, err := base64.StdEncoding.DecodeString(vectorSalt)
	if err != nil {
		t.Fatal(err)
	}
	return ScramCredentials{salt, 4096, []Keys{DeriveKeys(crypto.SHA256, []byte("pencil"), salt, 4096)}}
}

func TestDeriveKeys(t *testing.T) {
	k := vectorKeys(t).Keys[0]
	if got, want := Encode(k.StoredKey[:]), "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="; got != want {
		t.Errorf("StoredKey = %s, want %s", got, want)
	}
	if got, want := Encode(k.ServerKey[:]), "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="; got != want {
		t.Errorf("ServerKey = %s, want %s", got, want)
	}
}

// TestScramSHA1Vector is the exchange of RFC 5802, section 5, by both ends.
func TestScramSHA1Vector(t *testing.T) {
	const (
		clientNonce = "fyko+d2lbbFgONRv9qkxdawL"
		serverNonce = "3rfcNHYJY1ZVvWVs7j"
		serverFirst = "r=" + clientNonce + serverNonce + ",s=QSXCR+Q6sek8bf92,i=4096"
		clientFinal = "c=biws,r=" + clientNonce + serverNonce + ",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
		serverFinal = "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="
	)
	salt, err := base64.StdEncoding.DecodeString("QSXCR+Q6sek8bf92")
	if err != nil {
		t.Fatal(err)
	}
	keys := DeriveKeys(crypto.SHA1, []byte("pencil"), salt, 4096)
	if got, want := Encode(keys.StoredKey), "6dlGYMOdZcOPutkcNY8U2g7vK9Y="; got != want {
		t.Errorf("StoredKey = %s, want %s", got, want)
	}
	if got, want := Encode(keys.ServerKey), "D+CSWLOshSulAsxiupA+qs2/fTE="; got != want {
		t.Errorf("ServerKey = %s, want %s", got, want)
	}
	c := NewScramClient(ScramSHA1, nil, "user", []byte("pencil"))
	c.nonce = clientNonce
	s := NewScramServer(ScramSHA1, nil, func(context.Context, string) (ScramCredentials, error) {
		return ScramCredentials{salt, 4096, []Keys{keys}}, nil
	}, himself)
	s.nonce = func() string { return serverNonce }
	challenge, _, err := s.Next(t.Context(), c.Start())
	if string(challenge) != serverFirst || err != nil {
		t.Fatalf("first challenge %q, %v", challenge, err)
	}
	response, err := c.Next(challenge)
	if string(response) != clientFinal || err != nil {
		t.Fatalf("final message %q, %v", response, err)
	}
	challenge, done, err := s.Next(t.Context(), response)
	if string(challenge) != serverFinal || !done || err != nil {
		t.Fatalf("final challenge %q, %t, %v", challenge, done, err)
	}
	if _, err := c.Next(challenge); err != nil || c.Finish() != nil {
		t.Errorf("the client does not believe it: %v", err)
	}
}

// himself lets clients act as user alone.
func himself(_ context.Context, authzid string) error {
	if authzid != "" && !strings.EqualFold(authzid, "user") {
		return failed(nil)
	}
	return nil
}

// vectorServer is a server that takes part in the exchange of the RFC.
func vectorServer(t testing.TB, extra ...Keys) *ScramServer {
	c := vectorKeys(t)
	c.Keys = append(extra, c.Keys...)
	s := NewScramServer(ScramSHA256, nil, func(context.Context, string) (ScramCredentials, error) { return c, nil }, himself)
	s.nonce = func() string { return vectorServerNonce }
	return s
}

func TestScramServerVector(t *testing.T) {
	for name, extra := range map[string][]Keys{"one credential": nil, "the second of two": {{}}} {
		s := vectorServer(t, extra...)
		if challenge, _, err := s.Next(t.Context(), nil); err != nil || challenge == nil || len(challenge) != 0 {
			t.Fatalf("%s: without an initial response: %#v, %v", name, challenge, err)
		}
		challenge, done, err := s.Next(t.Context(), []byte(vectorClientFirst))
		if string(challenge) != vectorServerFirst || done || err != nil {
			t.Fatalf("%s: first challenge %q, %v, %v", name, challenge, done, err)
		}
		challenge, done, err = s.Next(t.Context(), []byte(vectorClientFinal))
		if string(challenge) != vectorServerFinal || !done || err != nil {
			t.Fatalf("%s: final challenge %q, %v, %v", name, challenge, done, err)
		}
		if s.Matched() != len(extra) {
			t.Errorf("%s: keys %d made the proof, want %d", name, s.Matched(), len(extra))
		}
		if _, done, err := s.Next(t.Context(), []byte{}); done || !mail.IsKind(err, mail.Sequence) {
			t.Errorf("%s: the exchange goes on after its end: %v, %v", name, done, err)
		}
	}
}

func TestScramClientVector(t *testing.T) {
	c := NewScramClient(ScramSHA256, nil, "user", []byte("pencil"))
	c.nonce = vectorClientNonce
	if got := string(c.Start()); got != vectorClientFirst {
		t.Errorf("Start = %q", got)
	}
	if got, err := c.Next([]byte(vectorServerFirst)); string(got) != vectorClientFinal || err != nil {
		t.Errorf("final = %q, %v", got, err)
	}
	if err := c.Finish(); !mail.IsKind(err, mail.AuthFailed) {
		t.Errorf("a success without the server's proof was believed: %v", err)
	}
	if got, err := c.Next([]byte(vectorServerFinal)); len(got) != 0 || got == nil || err != nil {
		t.Errorf("last response = %q, %v", got, err)
	}
	if err := c.Finish(); err != nil {
		t.Errorf("Finish: %v", err)
	}
}

func TestScramClientRefuses(t *testing.T) {
	nonce := vectorClientNonce + vectorServerNonce
	for name, first := range map[string]string{
		"another nonce":         "r=x" + nonce + ",s=" + vectorSalt + ",i=4096",
		"nonce without ours":    "r=" + vectorServerNonce + ",s=" + vectorSalt + ",i=4096",
		"nothing added":         "r=" + vectorClientNonce + ",s=" + vectorSalt + ",i=4096",
		"few iterations":        "r=" + nonce + ",s=" + vectorSalt + ",i=1",
		"endless iterations":    "r=" + nonce + ",s=" + vectorSalt + ",i=2000000000",
		"no salt":               "r=" + nonce + ",s=,i=4096",
		"mandatory extension":   "m=x,r=" + nonce + ",s=" + vectorSalt + ",i=4096",
		"mandatory at the end":  "r=" + nonce + ",s=" + vectorSalt + ",i=4096,m=x",
		"negative count":        "r=" + nonce + ",s=" + vectorSalt + ",i=-4096",
		"server error":          "e=invalid-proof",
		"empty":                 "",
		"final message at once": vectorServerFinal,
	} {
		c := NewScramClient(ScramSHA256, nil, "user", []byte("pencil"))
		c.nonce = vectorClientNonce
		if got, err := c.Next([]byte(first)); err == nil {
			t.Errorf("%s: answered %q", name, got)
		}
		if _, err := c.Next([]byte(vectorServerFinal)); err == nil || c.Finish() == nil {
			t.Errorf("%s: goes on after it failed", name)
		}
	}
	for name, final := range map[string]string{
		"wrong signature": "v=" + Encode(make([]byte, 32)),
		"short signature": "v=YQ==",
		"server error":    "e=invalid-proof",
		"empty":           "",
	} {
		c := NewScramClient(ScramSHA256, nil, "user", []byte("pencil"))
		c.nonce = vectorClientNonce
		if _, err := c.Next([]byte(vectorServerFirst)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Next([]byte(final)); err == nil || c.Finish() == nil {
			t.Errorf("%s: believed", name)
		}
	}
}

// TestScramFirstRefused goes through what may be wrong with a client-first-message.
func TestScramFirstRefused(t *testing.T) {
	for _, c := range []struct {
		name, message, told string
		kind                mail.Kind
	}{
		{"bound under the bare name", "p=tls-exporter,,n=user,r=abc", "e=channel-bindings-dont-match", mail.AuthFailed},
		{"unknown binding", "p=tls-unique,,n=user,r=abc", "e=channel-bindings-dont-match", mail.AuthFailed},
		{"mandatory extension", "n,,m=x,n=user,r=abc", "e=extensions-not-supported", mail.AuthFailed},
		{"bad escape in the name", "n,,n=us=2Der,r=abc", "e=invalid-username-encoding", mail.AuthFailed},
		{"lower-case escape", "n,,n=us=2cer,r=abc", "e=invalid-username-encoding", mail.AuthFailed},
		{"empty name", "n,,n=,r=abc", "e=invalid-username-encoding", mail.AuthFailed},
		{"bad escape in the authzid", "n,a=us=er,n=user,r=abc", "", mail.Syntax},
		{"empty nonce", "n,,n=user,r=", "", mail.Syntax},
		{"space in the nonce", "n,,n=user,r=a b", "", mail.Syntax},
		{"no nonce", "n,,n=user", "", mail.Syntax},
		{"order", "n,,r=abc,n=user", "", mail.Syntax},
		{"no header", "n=user,r=abc", "", mail.Syntax},
		{"unknown flag", "x,,n=user,r=abc", "", mail.Syntax},
		{"binding without name", "p=,,n=user,r=abc", "", mail.Syntax},
		{"mandatory extension behind", "n,,n=user,r=abc,m=x", "", mail.Syntax},
		{"half an extension", "n,,n=user,r=abc,x", "", mail.Syntax},
		{"NUL", "n,,n=us\x00er,r=abc", "", mail.Syntax},
		{"not UTF-8", "n,,n=us\xffer,r=abc", "", mail.Syntax},
		{"empty", "", "", mail.Syntax},
		{"too long", "n,,n=" + strings.Repeat("u", maxMessage) + ",r=abc", "", mail.Syntax},
	} {
		s := vectorServer(t)
		challenge, done, err := s.Next(t.Context(), []byte(c.message))
		if string(challenge) != c.told || done || !mail.IsKind(err, c.kind) {
			t.Errorf("%s: %q, %v, %v; want %q and %v", c.name, challenge, done, err, c.told, c.kind)
		}
		if _, _, err := s.Next(t.Context(), []byte(vectorClientFinal)); !mail.IsKind(err, mail.Sequence) {
			t.Errorf("%s: goes on after it failed: %v", c.name, err)
		}
	}
}

func TestScramFirstAccepted(t *testing.T) {
	for _, c := range []struct{ name, message, login string }{
		{"no binding", "n,,n=user,r=abc", "user"},
		{"binding not offered", "y,,n=user,r=abc", "user"},
		{"authzid", "n,a=USER,n=user,r=abc", "user"},
		{"escapes", "n,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=abc", "a,b=c"},
		{"optional extension", "n,,n=user,r=abc,x=1,y=2", "user"},
		{"UTF-8", "n,,n=ünïcode@dömäin.test,r=abc", "ünïcode@dömäin.test"},
	} {
		var login string
		s := NewScramServer(ScramSHA256, nil, func(_ context.Context, l string) (ScramCredentials, error) {
			login = l
			return vectorKeys(t), nil
		}, himself)
		challenge, _, err := s.Next(t.Context(), []byte(c.message))
		if err != nil || login != c.login {
			t.Errorf("%s: login %q, %v; want %q", c.name, login, err, c.login)
			continue
		}
		first, err := parseServerFirst(challenge)
		if err != nil || len(first.nonce) < len("abc")+minNonce*4/3 || !strings.HasPrefix(first.nonce, "abc") {
			t.Errorf("%s: challenge %q", c.name, challenge)
		}
	}
}

// TestScramFinalRefused changes one thing at a time in the right final message.
func TestScramFinalRefused(t *testing.T) {
	nonce := vectorClientNonce + vectorServerNonce
	proof := ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	for _, c := range []struct {
		name, message, told string
		kind                mail.Kind
	}{
		{"one bit of the proof", strings.Replace(vectorClientFinal, "p=dHz", "p=dHy", 1), "e=invalid-proof", mail.AuthFailed},
		{"extension that was not signed", "c=biws,r=" + nonce + ",x=1" + proof, "e=invalid-proof", mail.AuthFailed},
		{"binding flag changed", "c=eSws,r=" + nonce + proof, "e=channel-bindings-dont-match", mail.AuthFailed},
		{"binding data added", "c=biwsYQ==,r=" + nonce + proof, "e=channel-bindings-dont-match", mail.AuthFailed},
		{"nonce cut", "c=biws,r=" + nonce[:len(nonce)-1] + proof, "e=other-error", mail.AuthFailed},
		{"client's nonce alone", "c=biws,r=" + vectorClientNonce + proof, "e=other-error", mail.AuthFailed},
		{"no proof", "c=biws,r=" + nonce, "", mail.Syntax},
		{"short proof", "c=biws,r=" + nonce + ",p=YQ==", "", mail.Syntax},
		{"empty proof", "c=biws,r=" + nonce + ",p=", "", mail.Syntax},
		{"proof not base64", "c=biws,r=" + nonce + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ", "", mail.Syntax},
		{"no binding", "r=" + nonce + proof, "", mail.Syntax},
		{"empty", "", "", mail.Syntax},
	} {
		s := vectorServer(t)
		if _, _, err := s.Next(t.Context(), []byte(vectorClientFirst)); err != nil {
			t.Fatal(err)
		}
		challenge, done, err := s.Next(t.Context(), []byte(c.message))
		if string(challenge) != c.told || done || !mail.IsKind(err, c.kind) || s.Matched() != -1 {
			t.Errorf("%s: %q, %v, %v; want %q and %v", c.name, challenge, done, err, c.told, c.kind)
		}
		if _, done, err := s.Next(t.Context(), []byte(vectorClientFinal)); done || !mail.IsKind(err, mail.Sequence) {
			t.Errorf("%s: a second try was taken: %v, %v", c.name, done, err)
		}
	}
}

// TestScramTextIsOne: what a stranger reads does not tell the causes apart.
func TestScramTextIsOne(t *testing.T) {
	for _, first := range []string{"p=x,,n=user,r=abc", "n,,m=x,n=user,r=abc"} {
		_, _, err := vectorServer(t).Next(t.Context(), []byte(first))
		if got := mail.AsError(err).Text; got != "Authentication failed" {
			t.Errorf("%q: text %q", first, got)
		}
	}
}

// TestScramIdentity: as whom the client may act is asked once it has proved who it is, and not before.
func TestScramIdentity(t *testing.T) {
	for _, c := range []struct {
		name, header, password string
		asked, ok              bool
	}{
		{"nobody else", "n,,", "pencil", true, true},
		{"another form", "n,a=USER,", "pencil", true, true},
		{"another", "n,a=bob,", "pencil", true, false},
		{"another, by a wrong proof", "n,a=bob,", "pen", false, false},
	} {
		asked := false
		s := NewScramServer(ScramSHA256, nil, func(context.Context, string) (ScramCredentials, error) { return vectorKeys(t), nil },
			func(ctx context.Context, authzid string) error {
				asked = true
				return himself(ctx, authzid)
			})
		client := NewScramClient(ScramSHA256, nil, "user", []byte(c.password))
		client.gs2 = c.header
		err := converse(t, client, s)
		if (err == nil) != c.ok || asked != c.asked || err != nil && !mail.IsKind(err, mail.AuthFailed) {
			t.Errorf("%s: %v, asked %t; want ok %t, asked %t", c.name, err, asked, c.ok, c.asked)
		}
	}
}

func TestScramLookupFails(t *testing.T) {
	busy := mail.Errorf(mail.Unavailable, "busy")
	s := NewScramServer(ScramSHA256, nil, func(context.Context, string) (ScramCredentials, error) { return ScramCredentials{}, busy }, himself)
	if challenge, done, err := s.Next(t.Context(), []byte(vectorClientFirst)); challenge != nil || done || !errors.Is(err, busy) {
		t.Errorf("%q, %v, %v; want the error of the lookup", challenge, done, err)
	}
}

// TestScramPeer runs both ends against another implementation.
func TestScramPeer(t *testing.T) {
	const user, password = "a,b=ü@example.test", "pass wörd ♦"
	peer, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		t.Fatal(err)
	}
	salt := []byte("0123456789abcdef")
	prepared, err := Prepare([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	ours := NewScramServer(ScramSHA256, nil, func(_ context.Context, login string) (ScramCredentials, error) {
		if login != user {
			t.Errorf("the server saw the name %q", login)
		}
		return ScramCredentials{salt, 4096, []Keys{DeriveKeys(crypto.SHA256, prepared, salt, 4096)}}, nil
	}, himself)
	conversation := peer.NewConversation()
	response, err := conversation.Step("")
	for range 2 {
		if err != nil {
			t.Fatal(err)
		}
		var challenge []byte
		if challenge, _, err = ours.Next(t.Context(), []byte(response)); err != nil {
			t.Fatal(err)
		}
		response, err = conversation.Step(string(challenge))
	}
	if err != nil || !conversation.Valid() {
		t.Errorf("the peer's client does not accept our server: %v", err)
	}

	stored, err := peer.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		t.Fatal(err)
	}
	their, client := theirs.NewConversation(), NewScramClient(ScramSHA256, nil, user, []byte(password))
	out := client.Start()
	for range 2 {
		challenge, err := their.Step(string(out))
		if err != nil {
			t.Fatal(err)
		}
		if out, err = client.Next([]byte(challenge)); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Finish(); err != nil {
		t.Errorf("our client does not accept the peer's server: %v", err)
	}
}

func TestScramBothEnds(t *testing.T) {
	if err := converse(t, NewScramClient(ScramSHA256, nil, "user", []byte("pencil")), vectorServer(t)); err != nil {
		t.Errorf("right password: %v", err)
	}
	if err := converse(t, NewScramClient(ScramSHA256, nil, "user", []byte("pen")), vectorServer(t)); !mail.IsKind(err, mail.AuthFailed) {
		t.Errorf("wrong password: %v", err)
	}
}

func FuzzScramFirst(f *testing.F) {
	for _, s := range []string{vectorClientFirst, "y,a=a=2Cb,n=a=2Cb,r=x,e=1", "p=tls-exporter,,n=u,r=x", "n,,m=x,n=u,r=x", "n,,n==,r="} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		m, err := parseClientFirst(message)
		if err != nil {
			return
		}
		if m.gs2+m.bare != string(message) {
			t.Errorf("%q was taken apart as %q and %q", message, m.gs2, m.bare)
		}
		if !strings.HasPrefix(m.bare, "n="+nameEscaper.Replace(m.username)+",r="+m.nonce) {
			t.Errorf("%q: name %q, nonce %q", message, m.username, m.nonce)
		}
	})
}

func FuzzScramFinal(f *testing.F) {
	for _, s := range []string{vectorClientFinal, "c=,r=x,p=", "c=biws,r=x,e=1,p=AAAA", "c=biws,r=x,p=x,p=x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		s := vectorServer(t)
		if _, _, err := s.Next(t.Context(), []byte(vectorClientFirst)); err != nil {
			t.Fatal(err)
		}
		if _, done, _ := s.Next(t.Context(), message); done && string(message) != vectorClientFinal {
			t.Errorf("%q was accepted", message)
		}
	})
}

func FuzzScramServerFirst(f *testing.F) {
	for _, s := range []string{vectorServerFirst, "r=a,s=YQ==,i=1,x=1", "r=a,s=,i=", "e=other-error"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		m, err := parseServerFirst(message)
		if err != nil {
			return
		}
		if again, err := parseServerFirst([]byte(m.String())); err != nil || again.String() != m.String() {
			t.Errorf("%q was written as %q, which gives %+v, %v", message, m, again, err)
		}
	})
}
