package sasl

import (
	"bytes"
	"context"
	"unicode/utf8"
)

// VerifyIdentity decides whether the client, whom the connection itself has authenticated, may act as authzid; empty
// is whoever the connection says. Its error ends the exchange as it stands.
type VerifyIdentity func(ctx context.Context, authzid string) error

// ExternalServer is the server's end of EXTERNAL (RFC 4422, appendix A). It is not to be used concurrently.
type ExternalServer struct {
	verify VerifyIdentity
	ended  bool
}

// NewExternalServer begins an exchange that verify decides.
func NewExternalServer(verify VerifyIdentity) *ExternalServer { return &ExternalServer{verify: verify} }

// Next takes the client's one message.
//
// Errors: Syntax, Sequence, and those of VerifyIdentity.
func (s *ExternalServer) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.ended:
		return nil, false, over()
	case response == nil:
		return []byte{}, false, nil
	}
	s.ended = true
	if len(response) > maxMessage || !utf8.Valid(response) || bytes.IndexByte(response, 0) >= 0 {
		return nil, false, malformed(External)
	}
	if err := s.verify(ctx, string(response)); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}
