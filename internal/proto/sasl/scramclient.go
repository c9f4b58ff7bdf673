package sasl

import (
	"crypto"
	"crypto/hmac"
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

// ScramClient is the client's end of SCRAM. It is not to be used concurrently.
type ScramClient struct {
	mechanism string
	hash      crypto.Hash
	gs2       string
	binding   []byte
	user      string
	password  []byte
	nonce     string
	step      func(*ScramClient, []byte) ([]byte, error)
	// signature is what the server has to answer; verified says that it did.
	signature Key
	verified  bool
}

// NewScramClient begins an exchange for user by the mechanism of that name. The password is the caller's and is not
// kept beyond the exchange.
//
// A -PLUS mechanism is bound to the channel, by tls-exporter where the connection has it. With another a channel
// tells the server that the client would have bound if it had been offered; nil says that it cannot bind.
func NewScramClient(mechanism string, channel *Channel, user string, password []byte) *ScramClient {
	hash, plus := scramHash(mechanism)
	c := &ScramClient{
		mechanism: mechanism, hash: hash, gs2: "n,,", user: user, password: password, nonce: newNonce(),
		step: (*ScramClient).serverFirst,
	}
	switch {
	case plus:
		kind, data := channel.best()
		c.gs2, c.binding = "p="+kind+",,", data
	case channel != nil:
		c.gs2 = "y,,"
	}
	return c
}

// Mechanism returns the mechanism's name.
func (c *ScramClient) Mechanism() string { return c.mechanism }

// Start returns the client-first-message.
func (c *ScramClient) Start() []byte { return []byte(c.gs2 + c.bare()) }

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
	return c.final(hi(c.hash, prepared, first.salt, first.iterations), string(challenge), first.nonce), nil
}

// final makes the client-final-message and notes the signature that must come back.
func (c *ScramClient) final(salted Key, serverFirst, nonce string) []byte {
	withoutProof := "c=" + Encode(append([]byte(c.gs2), c.binding...)) + ",r=" + nonce
	message := authMessage(c.bare(), serverFirst, withoutProof)
	client, server := mac(c.hash, salted, "Client Key"), mac(c.hash, salted, "Server Key")
	proof := mac(c.hash, digest(c.hash, client), message)
	subtle.XORBytes(proof, proof, client)
	c.signature = mac(c.hash, server, message)
	return []byte(withoutProof + ",p=" + Encode(proof))
}

func (c *ScramClient) serverFinal(challenge []byte) ([]byte, error) {
	text, _, _ := strings.Cut(string(challenge), ",")
	v, ok := strings.CutPrefix(text, "v=")
	signature, err := decode([]byte(v))
	if !ok || err != nil {
		return nil, malformed("SCRAM")
	}
	if !hmac.Equal(signature, c.signature) {
		return nil, failed(errNotProved)
	}
	c.verified = true
	return []byte{}, nil
}
