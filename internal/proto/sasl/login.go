package sasl

import (
	"bytes"
	"context"
	"unicode/utf8"
)

// The prompts of LOGIN. Some clients compare them octet by octet, so these are the ones that every
// server sends: "VXNlcm5hbWU6" and "UGFzc3dvcmQ6" on the wire.
const (
	loginUser     = "Username:"
	loginPassword = "Password:"
)

// LoginServer is the server's end of LOGIN: a prompt for the name, one for the password. An initial
// response is the name. It is not to be used concurrently.
type LoginServer struct {
	verify Verify
	named  bool
	ended  bool
	login  string
}

// NewLoginServer begins an exchange that verify decides.
func NewLoginServer(verify Verify) *LoginServer { return &LoginServer{verify: verify} }

// Next takes the name, then the password.
//
// Errors: Syntax, Sequence, and those of Verify.
func (s *LoginServer) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.ended:
		return nil, false, over()
	case response == nil && !s.named:
		return []byte(loginUser), false, nil
	case response == nil || len(response) > maxMessage || bytes.IndexByte(response, 0) >= 0 || !utf8.Valid(response):
		s.ended = true
		return nil, false, malformed(Login)
	case !s.named:
		s.named, s.login = true, string(response)
		return []byte(loginPassword), false, nil
	}
	s.ended = true
	if err := s.verify(ctx, s.login, response); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}

// LoginClient is the client's end of LOGIN.
type LoginClient struct {
	answers [][]byte
}

// NewLoginClient begins an exchange for user. The password is the caller's and is not kept beyond
// the exchange.
func NewLoginClient(user string, password []byte) *LoginClient {
	return &LoginClient{[][]byte{[]byte(user), password}}
}

// Mechanism returns the mechanism's name.
func (c *LoginClient) Mechanism() string { return Login }

// Start returns nil: the server asks first.
func (c *LoginClient) Start() []byte { return nil }

// Next answers the prompts in their order, whatever their words: servers differ in them.
func (c *LoginClient) Next(challenge []byte) ([]byte, error) {
	if len(c.answers) == 0 {
		return nil, malformed(Login)
	}
	answer := c.answers[0]
	c.answers = c.answers[1:]
	return bytes.Clone(answer), nil
}

// Finish accepts the server's success once the password was asked for.
func (c *LoginClient) Finish() error {
	if len(c.answers) > 0 {
		return malformed(Login)
	}
	return nil
}
