package sasl

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
)

// ScramCredentials is what the server's end needs to know of a user: one salt and count for all
// of the keys, any of which may have made the client's proof. For a user that does not exist the
// caller gives a salt that stays the same and keys that nobody knows, so that the exchange fails
// where a wrong password does.
type ScramCredentials struct {
	Salt       []byte
	Iterations int
	Keys       []Keys
}

// Lookup finds the credentials of a user by the name that the client sent. Its error ends the
// exchange as it stands.
type Lookup func(ctx context.Context, login string) (ScramCredentials, error)

// ScramServer is the server's end of SCRAM-SHA-256 without channel binding. It is not to be used
// concurrently.
type ScramServer struct {
	lookup      Lookup
	nonce       func() string
	step        func(*ScramServer, context.Context, []byte) ([]byte, bool, error)
	first       clientFirst
	challenge   serverFirst
	credentials ScramCredentials
	matched     int
}

// NewScramServer begins an exchange with users that lookup finds.
func NewScramServer(lookup Lookup) *ScramServer {
	return &ScramServer{lookup: lookup, nonce: newNonce, step: (*ScramServer).clientFirst, matched: -1}
}

// Next takes the client's first and final messages. On success the challenge is the
// server-final-message, by which the server proves itself.
//
// Errors: Syntax, AuthFailed with a ServerError as its cause, Sequence, and those of Lookup.
func (s *ScramServer) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	if s.step == nil {
		return nil, false, over()
	}
	if response == nil && s.first.bare == "" {
		return []byte{}, false, nil
	}
	step := s.step
	s.step = nil
	challenge, done, err = step(s, ctx, response)
	if told, ok := errors.AsType[ServerError](err); ok {
		return []byte("e=" + string(told)), false, err
	}
	return challenge, done, err
}

// Matched returns which of the credentials' keys made the proof, once done; otherwise -1.
func (s *ScramServer) Matched() int { return s.matched }

func (s *ScramServer) clientFirst(ctx context.Context, response []byte) ([]byte, bool, error) {
	first, err := parseClientFirst(response)
	if err != nil {
		return nil, false, err
	}
	// The name without -PLUS leaves binding out (RFC 5802, section 6). "y" says that the client
	// could bind but saw no -PLUS, which is true: none is offered.
	if first.binding == 'p' {
		return nil, false, failed(ErrChannelBindingsMismatch)
	}
	if first.authzid != "" && first.authzid != first.username {
		return nil, false, failed(ErrOther)
	}
	if s.credentials, err = s.lookup(ctx, first.username); err != nil {
		return nil, false, err
	}
	s.first = first
	s.challenge = serverFirst{first.nonce + s.nonce(), s.credentials.Salt, s.credentials.Iterations}
	s.step = (*ScramServer).clientFinal
	return []byte(s.challenge.String()), false, nil
}

func (s *ScramServer) clientFinal(_ context.Context, response []byte) ([]byte, bool, error) {
	final, err := parseClientFinal(response)
	if err != nil {
		return nil, false, err
	}
	if string(final.binding) != s.first.gs2 {
		return nil, false, failed(ErrChannelBindingsMismatch)
	}
	if final.nonce != s.challenge.nonce {
		return nil, false, failed(ErrOther)
	}
	message := authMessage(s.first.bare, s.challenge.String(), final.withoutProof)
	for i, k := range s.credentials.Keys {
		if k.proves(final.proof, message) {
			s.matched = i
		}
	}
	if s.matched < 0 {
		return nil, false, failed(ErrInvalidProof)
	}
	signature := mac(s.credentials.Keys[s.matched].ServerKey[:], message)
	return []byte("v=" + Encode(signature[:])), true, nil
}

// authMessage is AuthMessage of RFC 5802, section 3.
func authMessage(clientFirstBare, serverFirst, clientFinalWithoutProof string) string {
	return clientFirstBare + "," + serverFirst + "," + clientFinalWithoutProof
}

// proves reports whether proof was made with the password of k.
func (k Keys) proves(proof Key, message string) bool {
	signature := mac(k.StoredKey[:], message)
	var client Key
	subtle.XORBytes(client[:], proof[:], signature[:])
	stored := sha256.Sum256(client[:])
	return hmac.Equal(stored[:], k.StoredKey[:])
}
