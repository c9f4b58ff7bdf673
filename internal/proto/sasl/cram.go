package sasl

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // CRAM-MD5 is made of it
	marshal "encoding"
	"encoding/binary"
	"encoding/hex"
	"unicode/utf8"
)

// CramKey is what a server keeps of a password for CRAM-MD5: the inner and the outer context of its HMAC-MD5, as MD5
// states of four words each, most significant octet first. Who has it can log in.
type CramKey [2 * md5.Size]byte

// NewCramKey makes the key of a password.
func NewCramKey(password []byte) (k CramKey) {
	block := make([]byte, md5.BlockSize)
	defer clear(block)
	if len(password) > md5.BlockSize {
		sum := md5.Sum(password)
		password = sum[:]
	}
	copy(block, password)
	for half, pad := range []byte{0x36, 0x5c} {
		for i := range block {
			block[i] ^= pad
		}
		h := md5.New()
		h.Write(block)
		state, _ := h.(marshal.BinaryMarshaler).MarshalBinary() // never fails
		copy(k[half*md5.Size:], state[len(md5Magic):])
		for i := range block {
			block[i] ^= pad
		}
	}
	return k
}

// MarshalText writes the key in base64.
func (k CramKey) MarshalText() ([]byte, error) { return []byte(Encode(k[:])), nil }

// UnmarshalText reads what MarshalText writes.
func (k *CramKey) UnmarshalText(text []byte) error {
	b, err := decode(text)
	if err != nil || len(b) != len(k) {
		return malformed("key of CRAM-MD5")
	}
	copy(k[:], b)
	return nil
}

// Matches reports whether digest is the HMAC-MD5 of challenge.
func (k CramKey) Matches(challenge, digest []byte) bool {
	inner := resume(k[:md5.Size], challenge)
	return hmac.Equal(resume(k[md5.Size:], inner), digest)
}

// md5Magic begins the state of a hash in crypto/md5.
const md5Magic = "md5\x01"

// resume hashes text after the block that led to state.
func resume(state, text []byte) []byte {
	b := append([]byte(md5Magic), state...)
	b = append(b, make([]byte, md5.BlockSize)...) // what is left over of a block: nothing
	b = binary.BigEndian.AppendUint64(b, md5.BlockSize)
	h := md5.New()
	if err := h.(marshal.BinaryUnmarshaler).UnmarshalBinary(b); err != nil {
		panic("sasl: the state of crypto/md5 has another form: " + err.Error())
	}
	h.Write(text)
	return h.Sum(nil)
}

// VerifyDigest decides whether digest is the HMAC-MD5 of challenge with the password of login, the name as the client
// sent it. Its error ends the exchange as it stands.
type VerifyDigest func(ctx context.Context, login string, challenge, digest []byte) error

// CramServer is the server's end of CRAM-MD5 (RFC 2195). It is not to be used concurrently.
type CramServer struct {
	challenge []byte
	verify    VerifyDigest
	asked     bool
	ended     bool
}

// NewCramServer begins an exchange that verify decides. The host is the server's name, which the challenge shows.
func NewCramServer(host string, verify VerifyDigest) *CramServer {
	return &CramServer{challenge: []byte("<" + newNonce() + "@" + host + ">"), verify: verify}
}

// Next gives the challenge, then takes the client's name and digest. The server speaks first: there is no initial
// response.
//
// Errors: Syntax, Sequence, and those of VerifyDigest.
func (s *CramServer) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.ended:
		return nil, false, over()
	case !s.asked && response == nil:
		s.asked = true
		return s.challenge, false, nil
	}
	s.ended = true
	i := bytes.LastIndexByte(response, ' ')
	if !s.asked || i < 1 || len(response) > maxMessage || !utf8.Valid(response) || bytes.IndexByte(response, 0) >= 0 {
		return nil, false, malformed(CramMD5)
	}
	digest, err := hex.DecodeString(string(response[i+1:]))
	if err != nil || len(digest) != md5.Size {
		return nil, false, malformed(CramMD5)
	}
	if err := s.verify(ctx, string(response[:i]), s.challenge, digest); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}
