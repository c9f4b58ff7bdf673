package sasl

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"

	"candor/internal/mail"
)

// The iteration counts that a client accepts: fewer make the proof cheap to attack for whoever
// stands between (RFC 7677, section 4), more would let a server spend the client's time at will.
const (
	minIterations = 4096
	maxIterations = 1 << 20
)

// ScramClient is the client's end of SCRAM-SHA-256 without channel binding. It is not to be used
// concurrently.
type ScramClient struct {
	user     string
	password []byte
	nonce    string
	step     func(*ScramClient, []byte) ([]byte, error)
	// signature is what the server has to answer; verified says that it did.
	signature Key
	verified  bool
}

// NewScramClient begins an exchange for user. The password is the caller's and is not kept beyond
// the exchange.
func NewScramClient(user string, password []byte) *ScramClient {
	return &ScramClient{user: user, password: password, nonce: newNonce(), step: (*ScramClient).serverFirst}
}

// Mechanism returns the mechanism's name.
func (c *ScramClient) Mechanism() string { return ScramSHA256 }

// Start returns the client-first-message.
func (c *ScramClient) Start() []byte { return []byte("n,," + c.bare()) }

func (c *ScramClient) bare() string {
	return "n=" + nameEscaper.Replace(c.user) + ",r=" + c.nonce
}

// Next answers the server's first message, then checks its final one.
//
// Errors: Syntax (malformed, or a count out of bounds), AuthFailed (the server says so, or has not
// proved that it knows the password).
func (c *ScramClient) Next(challenge []byte) ([]byte, error) {
	if c.step == nil {
		return nil, over()
	}
	if reason, ok := strings.CutPrefix(string(challenge), "e="); ok {
		c.step = nil
		return nil, failed(ServerError(reason))
	}
	step := c.step
	c.step = nil
	return step(c, challenge)
}

// Finish reports whether the server has proved that it knows the password, without which its
// success is worth nothing.
//
// Errors: AuthFailed.
func (c *ScramClient) Finish() error {
	if !c.verified {
		return failed(errNotProved)
	}
	return nil
}

var errNotProved = errors.New("the server has not proved that it knows the password")

func (c *ScramClient) serverFirst(challenge []byte) ([]byte, error) {
	first, err := parseServerFirst(challenge)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(first.nonce, c.nonce) || len(first.nonce) == len(c.nonce) {
		return nil, failed(errNotProved)
	}
	if first.iterations < minIterations || first.iterations > maxIterations {
		return nil, mail.Errorf(mail.Syntax, "the server's iteration count %d is out of bounds", first.iterations)
	}
	prepared, err := Prepare(c.password)
	if err != nil {
		return nil, err
	}
	defer clear(prepared)
	c.step = (*ScramClient).serverFinal
	return c.final(hi(prepared, first.salt, first.iterations), string(challenge), first.nonce), nil
}

// final makes the client-final-message and notes the signature that must come back.
func (c *ScramClient) final(salted Key, serverFirst, nonce string) []byte {
	withoutProof := "c=" + Encode([]byte("n,,")) + ",r=" + nonce
	message := authMessage(c.bare(), serverFirst, withoutProof)
	client, server := mac(salted[:], "Client Key"), mac(salted[:], "Server Key")
	stored := sha256.Sum256(client[:])
	signature := mac(stored[:], message)
	var proof Key
	subtle.XORBytes(proof[:], client[:], signature[:])
	c.signature = mac(server[:], message)
	return []byte(withoutProof + ",p=" + Encode(proof[:]))
}

func (c *ScramClient) serverFinal(challenge []byte) ([]byte, error) {
	text, _, _ := strings.Cut(string(challenge), ",")
	v, ok := strings.CutPrefix(text, "v=")
	signature, err := decode([]byte(v))
	if !ok || err != nil {
		return nil, malformed(ScramSHA256)
	}
	if !hmac.Equal(signature, c.signature[:]) {
		return nil, failed(errNotProved)
	}
	c.verified = true
	return []byte{}, nil
}
