package sasl

import (
	"bytes"
	"context"
	"unicode/utf8"
)

// Verify decides whether password is right for login, the name as the client sent it. It must not
// keep password. Its error ends the exchange as it stands.
type Verify func(ctx context.Context, login string, password []byte) error

// VerifyAs is Verify for a client that may say as whom it wants to act; empty is whom login names.
type VerifyAs func(ctx context.Context, authzid, login string, password []byte) error

// PlainServer is the server's end of PLAIN (RFC 4616). It is not to be used concurrently.
type PlainServer struct {
	verify VerifyAs
	ended  bool
}

// NewPlainServer begins an exchange that verify decides.
func NewPlainServer(verify VerifyAs) *PlainServer { return &PlainServer{verify: verify} }

// Next takes the client's one message.
//
// Errors: Syntax, Sequence, and those of VerifyAs.
func (s *PlainServer) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	if s.ended {
		return nil, false, over()
	}
	if response == nil {
		return []byte{}, false, nil
	}
	s.ended = true
	m, err := parsePlain(response)
	if err != nil {
		return nil, false, err
	}
	if err := s.verify(ctx, m.authzid, m.authcid, m.password); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}

// plainMessage is PLAIN's one message. The password is a part of the message it was parsed from.
type plainMessage struct {
	authzid, authcid string
	password         []byte
}

// parsePlain takes [authzid] NUL authcid NUL passwd apart (RFC 4616, section 2). An empty password
// is let through, to be refused like any other wrong one.
func parsePlain(message []byte) (plainMessage, error) {
	parts := bytes.Split(message, []byte{0})
	if len(message) > maxMessage || len(parts) != 3 || len(parts[1]) == 0 || !utf8.Valid(message) {
		return plainMessage{}, malformed(Plain)
	}
	return plainMessage{string(parts[0]), string(parts[1]), parts[2]}, nil
}

// PlainClient is the client's end of PLAIN.
type PlainClient struct {
	user     string
	password []byte
}

// NewPlainClient begins an exchange for user. The password is the caller's and is not kept beyond
// the exchange.
func NewPlainClient(user string, password []byte) *PlainClient {
	return &PlainClient{user, password}
}

// Mechanism returns the mechanism's name.
func (c *PlainClient) Mechanism() string { return Plain }

// Start returns the initial response.
func (c *PlainClient) Start() []byte {
	m := make([]byte, 0, len(c.user)+len(c.password)+2)
	m = append(m, 0)
	m = append(m, c.user...)
	m = append(m, 0)
	return append(m, c.password...)
}

// Next fails: PLAIN has nothing to say after its initial response.
func (c *PlainClient) Next(challenge []byte) ([]byte, error) { return nil, malformed(Plain) }

// Finish accepts the server's success, which PLAIN cannot examine.
func (c *PlainClient) Finish() error { return nil }
