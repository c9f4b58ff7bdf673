package sasl

import (
	"context"
	"strings"
	"testing"

	"candor/internal/mail"
)

// only accepts one pair of name and password.
func only(login, password string) Verify {
	return func(_ context.Context, l string, p []byte) error {
		if l != login || string(p) != password {
			return failed(nil)
		}
		return nil
	}
}

// as makes verify let clients act as one identity alone, or as whom login names.
func as(identity string, verify Verify) VerifyAs {
	return func(ctx context.Context, authzid, login string, password []byte) error {
		if authzid != "" && authzid != identity {
			return failed(nil)
		}
		return verify(ctx, login, password)
	}
}

type server interface {
	Next(ctx context.Context, response []byte) ([]byte, bool, error)
}

type client interface {
	Mechanism() string
	Start() []byte
	Next(challenge []byte) ([]byte, error)
	Finish() error
}

// converse runs a client against a server until either ends.
func converse(t *testing.T, c client, s server) error {
	t.Helper()
	response := c.Start()
	for range 5 {
		challenge, done, err := s.Next(t.Context(), response)
		if err != nil {
			return err
		}
		if done && challenge == nil {
			return c.Finish()
		}
		if response, err = c.Next(challenge); err != nil {
			return err
		}
		if done {
			return c.Finish()
		}
	}
	t.Fatal("the exchange does not end")
	return nil
}

func TestPlain(t *testing.T) {
	for _, c := range []struct {
		name, message string
		want          mail.Kind // Internal: accepted
	}{
		{"specification, section 9.3", "\x00alice@example.test\x00correct-horse", mail.Internal},
		{"authzid is authcid", "alice@example.test\x00alice@example.test\x00correct-horse", mail.Internal},
		{"authzid is another", "bob@example.test\x00alice@example.test\x00correct-horse", mail.AuthFailed},
		{"wrong password", "\x00alice@example.test\x00wrong", mail.AuthFailed},
		{"empty password", "\x00alice@example.test\x00", mail.AuthFailed},
		{"no name", "\x00\x00correct-horse", mail.Syntax},
		{"one NUL", "alice@example.test\x00correct-horse", mail.Syntax},
		{"three NULs", "\x00alice@example.test\x00correct\x00horse", mail.Syntax},
		{"empty", "", mail.Syntax},
		{"not UTF-8", "\x00alice@example.test\x00\xff", mail.Syntax},
		{"too long", "\x00a\x00" + strings.Repeat("p", maxMessage), mail.Syntax},
	} {
		s := NewPlainServer(as("alice@example.test", only("alice@example.test", "correct-horse")))
		_, done, err := s.Next(t.Context(), []byte(c.message))
		if done != (c.want == mail.Internal) || err != nil && !mail.IsKind(err, c.want) || err == nil && !done {
			t.Errorf("%s: done %v, %v; want %v", c.name, done, err, c.want)
		}
		if _, done, err := s.Next(t.Context(), []byte("\x00alice@example.test\x00correct-horse")); done || !mail.IsKind(err, mail.Sequence) {
			t.Errorf("%s: a second message was taken: %v, %v", c.name, done, err)
		}
	}
}

func TestPlainAsksFirst(t *testing.T) {
	s := NewPlainServer(as("a", only("a", "b")))
	challenge, done, err := s.Next(t.Context(), nil)
	if err != nil || done || challenge == nil || len(challenge) != 0 {
		t.Fatalf("without an initial response: %#v, %v, %v; want an empty challenge", challenge, done, err)
	}
	if _, done, err = s.Next(t.Context(), []byte("\x00a\x00b")); err != nil || !done {
		t.Fatalf("the response: %v, %v", done, err)
	}
}

func TestLogin(t *testing.T) {
	for _, c := range []struct {
		name      string
		responses []string // "nil" is none
		prompts   []string
		want      mail.Kind
	}{
		{"asks both", []string{"nil", "alice", "secret"}, []string{"VXNlcm5hbWU6", "UGFzc3dvcmQ6"}, mail.Internal},
		{"initial response is the name", []string{"alice", "secret"}, []string{"UGFzc3dvcmQ6"}, mail.Internal},
		{"wrong password", []string{"alice", "Secret"}, []string{"UGFzc3dvcmQ6"}, mail.AuthFailed},
		{"empty password", []string{"alice", ""}, []string{"UGFzc3dvcmQ6"}, mail.AuthFailed},
		{"empty name", []string{"", "secret"}, []string{"UGFzc3dvcmQ6"}, mail.AuthFailed},
		{"NUL in the name", []string{"a\x00b"}, nil, mail.Syntax},
		{"not UTF-8", []string{"alice", "\xff"}, []string{"UGFzc3dvcmQ6"}, mail.Syntax},
	} {
		s := NewLoginServer(only("alice", "secret"))
		for i, r := range c.responses {
			response := []byte(r)
			if r == "nil" {
				response = nil
			}
			challenge, done, err := s.Next(t.Context(), response)
			if i < len(c.prompts) {
				if got := Encode(challenge); got != c.prompts[i] || done || err != nil {
					t.Errorf("%s: prompt %d is %q, %v, %v; want %q", c.name, i, got, done, err, c.prompts[i])
				}
				continue
			}
			if done != (c.want == mail.Internal) || err != nil && !mail.IsKind(err, c.want) {
				t.Errorf("%s: done %v, %v; want %v", c.name, done, err, c.want)
			}
			if _, _, err := s.Next(t.Context(), []byte("more")); !mail.IsKind(err, mail.Sequence) {
				t.Errorf("%s: a further message was taken: %v", c.name, err)
			}
		}
	}
}

func TestClients(t *testing.T) {
	verify := only("alice", "secret")
	for _, c := range []struct {
		client client
		server server
		ok     bool
	}{
		{NewPlainClient("alice", []byte("secret")), NewPlainServer(as("alice", verify)), true},
		{NewPlainClient("alice", []byte("wrong")), NewPlainServer(as("alice", verify)), false},
		{NewLoginClient("alice", []byte("secret")), NewLoginServer(verify), true},
		{NewLoginClient("alice", []byte("wrong")), NewLoginServer(verify), false},
	} {
		if err := converse(t, c.client, c.server); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", c.client.Mechanism(), err, c.ok)
		}
	}
	if err := NewLoginClient("a", []byte("b")).Finish(); err == nil {
		t.Error("LOGIN believed a success that came before the password")
	}
}

func FuzzPlain(f *testing.F) {
	for _, s := range []string{"\x00a\x00b", "a\x00a\x00b", "\x00\x00", "a\x00b", "\x00a\x00", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		m, err := parsePlain(message)
		if err != nil {
			return
		}
		if back := m.authzid + "\x00" + m.authcid + "\x00" + string(m.password); back != string(message) {
			t.Errorf("parsePlain(%q) = %+v", message, m)
		}
	})
}
