// Package sasl speaks the SASL mechanisms of mail (RFC 4422), both ends: PLAIN (RFC 4616), LOGIN
// (never standardised), SCRAM (RFC 5802, RFC 7677) with its channel binding, OAUTHBEARER (RFC 7628) and XOAUTH2; and the
// server's end of CRAM-MD5 (RFC 2195) and EXTERNAL (RFC 4422, appendix A). It is grammar and state alone: whether a password, a key or a
// certificate is right is asked of a function that the caller gives.
//
// A server mechanism is driven by Next, which takes the client's response and returns a challenge
// or done. A nil response means that the client has sent none yet, as when a command came without
// an initial response; an empty one is not nil. A challenge that comes with done is the additional
// data of success (RFC 4422, section 3.6); one that comes with an error is the mechanism's own word
// of failure (RFC 5802, section 7; RFC 7628, section 3.2.2), which a protocol may send before its refusal or leave out.
//
// A client mechanism begins with Start, answers each challenge with Next, and is asked by Finish,
// once the server has reported success, whether that success is to be believed.
//
// Challenges and responses are octets; Encode, DecodeInitial and DecodeResponse put them on the
// base64 lines that SMTP, IMAP and POP3 share.
package sasl

import "candor/internal/mail"

// The names of the mechanisms, as they are registered and advertised.
const (
	Plain           = "PLAIN"
	Login           = "LOGIN"
	ScramSHA256     = "SCRAM-SHA-256"
	ScramSHA256Plus = "SCRAM-SHA-256-PLUS"
	ScramSHA1       = "SCRAM-SHA-1"
	ScramSHA1Plus   = "SCRAM-SHA-1-PLUS"
	CramMD5         = "CRAM-MD5"
	External        = "EXTERNAL"
	OAuthBearer     = "OAUTHBEARER"
	XOAuth2         = "XOAUTH2"
)

// maxMessage bounds each response of a client, in octets, of mechanisms without tokens: names and passwords are far
// shorter, and a longer message only costs hashing.
const maxMessage = 4096

// failed makes the refusal that a stranger sees, which is the same for every cause.
func failed(cause error) error {
	return mail.Wrap(mail.AuthFailed, cause, "Authentication failed")
}

func malformed(what string) error {
	return mail.Errorf(mail.Syntax, "malformed %s message", what)
}

// over is the answer to a response that comes after the exchange has ended.
func over() error { return mail.Errorf(mail.Sequence, "the authentication exchange is over") }
