package sasl

import (
	"context"
	"crypto"
	"crypto/hmac"
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

// ScramServer is the server's end of SCRAM. It is not to be used concurrently.
type ScramServer struct {
	hash        crypto.Hash
	plus        bool
	channel     *Channel
	lookup      Lookup
	identity    VerifyIdentity
	nonce       func() string
	step        func(*ScramServer, context.Context, []byte) ([]byte, bool, error)
	first       clientFirst
	binding     []byte // the channel's
	challenge   serverFirst
	credentials ScramCredentials
	matched     int
}

// NewScramServer begins an exchange by the mechanism of that name, with users that lookup finds and that identity
// lets act as whom they name, once they have proved themselves. The channel is what a -PLUS mechanism binds to; it is
// nil where none is offered.
func NewScramServer(mechanism string, channel *Channel, lookup Lookup, identity VerifyIdentity) *ScramServer {
	hash, plus := scramHash(mechanism)
	return &ScramServer{
		hash: hash, plus: plus, channel: channel, lookup: lookup, identity: identity, nonce: newNonce,
		step: (*ScramServer).clientFirst, matched: -1,
	}
}

// Next takes the client's first and final messages. On success the challenge is the
// server-final-message, by which the server proves itself.
//
// Errors: Syntax, AuthFailed with a ServerError as its cause, Sequence, and those of Lookup and VerifyIdentity.
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

// Flag returns how the client stands to channel binding, once it has spoken: "n" (it cannot), "y" (it can, but
// believes that we cannot) or the type that it binds by; before that "".
func (s *ScramServer) Flag() string {
	switch s.first.flag {
	case 0:
		return ""
	case 'p':
		return s.first.binding
	}
	return string(s.first.flag)
}

func (s *ScramServer) clientFirst(ctx context.Context, response []byte) ([]byte, bool, error) {
	first, err := parseClientFirst(response)
	if err != nil {
		return nil, false, err
	}
	s.first = first
	if s.credentials, err = s.lookup(ctx, first.username); err != nil {
		return nil, false, err
	}
	if err := s.bind(); err != nil {
		return nil, false, err
	}
	s.challenge = serverFirst{first.nonce + s.nonce(), s.credentials.Salt, s.credentials.Iterations}
	s.step = (*ScramServer).clientFinal
	return []byte(s.challenge.String()), false, nil
}

// bind finds the data that the exchange is bound to. The name of the mechanism and the client's flag must agree
// (RFC 5802, section 6).
func (s *ScramServer) bind() error {
	switch {
	case s.plus != (s.first.flag == 'p'):
		return failed(ErrChannelBindingsMismatch)
	case s.first.flag == 'y' && s.channel != nil:
		return failed(ErrChannelBindingSupported)
	case s.plus:
		data := s.channel.data(s.first.binding)
		if data == nil {
			return failed(ErrChannelBindingType)
		}
		s.binding = data
	}
	return nil
}

func (s *ScramServer) clientFinal(ctx context.Context, response []byte) ([]byte, bool, error) {
	final, err := parseClientFinal(response, s.hash.Size())
	if err != nil {
		return nil, false, err
	}
	if !hmac.Equal(final.binding, append([]byte(s.first.gs2), s.binding...)) {
		return nil, false, failed(ErrChannelBindingsMismatch)
	}
	if final.nonce != s.challenge.nonce {
		return nil, false, failed(ErrOther)
	}
	message := authMessage(s.first.bare, s.challenge.String(), final.withoutProof)
	for i, k := range s.credentials.Keys {
		if k.proves(s.hash, final.proof, message) {
			s.matched = i
		}
	}
	if s.matched < 0 {
		return nil, false, failed(ErrInvalidProof)
	}
	if err := s.identity(ctx, s.first.authzid); err != nil {
		return nil, false, err
	}
	signature := mac(s.hash, s.credentials.Keys[s.matched].ServerKey, message)
	return []byte("v=" + Encode(signature)), true, nil
}

// authMessage is AuthMessage of RFC 5802, section 3.
func authMessage(clientFirstBare, serverFirst, clientFinalWithoutProof string) string {
	return clientFirstBare + "," + serverFirst + "," + clientFinalWithoutProof
}

// proves reports whether proof was made with the password of k.
func (k Keys) proves(hash crypto.Hash, proof Key, message string) bool {
	client := mac(hash, k.StoredKey, message)
	subtle.XORBytes(client, proof, client)
	return hmac.Equal(digest(hash, client), k.StoredKey)
}
