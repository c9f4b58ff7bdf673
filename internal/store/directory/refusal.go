package directory

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// reason is why a login was refused, for the log and the census alone.
type reason string

// The reasons.
const (
	reasonUnknown       reason = "unknown"
	reasonWrong         reason = "wrong"
	reasonDisabled      reason = "disabled"
	reasonNoVerifier    reason = "no-verifier"
	reasonNotOffered    reason = "not-offered"
	reasonLegacyExpired reason = "legacy-expired"
	reasonBinding       reason = "cb-mismatch"
	reasonType          reason = "cb-unsupported-type"
	reasonDowngrade     reason = "scram-downgrade-suspected"
	reasonProtocol      reason = "protocol"
	reasonScope         reason = "scope"
	reasonExpired       reason = "expired"
	reasonRequired      reason = "required"
	reasonThrottled     reason = "throttled"
	reasonExposed       reason = "exposed"
	reasonIdentity      reason = "authzid"
	// These two are of the census alone.
	reasonInClear       reason = "cleartext"
	reasonDigestInClear reason = "digest-exposed"
)

// refusal is the cause of an AuthFailed.
type refusal struct {
	reason reason
	cause  error
	secret uint64 // tells the password from others; 0: it was none
}

func (r *refusal) Error() string {
	if r.cause != nil {
		return string(r.reason) + ": " + r.cause.Error()
	}
	return string(r.reason)
}

func (r *refusal) Unwrap() error { return r.cause }

// refuse makes the one refusal that strangers see.
func refuse(r reason, cause error) error {
	return mail.Wrap(mail.AuthFailed, &refusal{reason: r, cause: cause}, "Authentication failed")
}

// throttled is what a login is answered with, right or wrong, while those from its address are refused.
func throttled(cause error) error {
	return mail.Wrap(mail.TooMany, &refusal{reason: reasonThrottled, cause: cause}, "Too many failed logins").With(4, 7, 0)
}

// Reason tells why a login was refused, for the log and the census, never for the client:
//
//   - "unknown", "wrong", "disabled", "protocol";
//   - "no-verifier": the account has nothing to check this mechanism with;
//   - "scope", "expired": a right password that is not for this service, or not any more;
//   - "required": a right password by a mechanism that the account does not accept;
//   - "throttled": there were too many wrong ones from its address;
//   - "exposed": a right password that had crossed the network in clear and is not accepted any more;
//   - "not-offered": the mechanism is not offered to this peer;
//   - "legacy-expired": the rule has ended that offered it;
//   - "cb-mismatch": the client is bound to another channel, or its mechanism's name and flag do not agree;
//   - "cb-unsupported-type": it would bind by a type that this connection does not have;
//   - "scram-downgrade-suspected": it could bind, but did not see that we can (specification, section 3.4);
//   - "authzid": a right password, token or certificate, but the client asked for another account than its own;
//   - "token", "token-expired", "token-audience", "token-scope", "token-claim": a bearer token is none of an issuer that
//     we know, is out of date, is for another service, has too few scopes, or names no account that it may name.
//
// It is "" for an error that is no refusal.
func Reason(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return string(r.reason)
	}
	return ""
}

// bindingReasons are those of SCRAM's refusals that concern the channel.
var bindingReasons = map[sasl.ServerError]reason{
	sasl.ErrChannelBindingsMismatch: reasonBinding,
	sasl.ErrChannelBindingType:      reasonType,
	sasl.ErrChannelBindingSupported: reasonDowngrade,
}

// reasonOf finds the reason of a refusal that a mechanism made by itself.
func reasonOf(err error) reason {
	told, _ := errors.AsType[sasl.ServerError](err)
	return cmp.Or(bindingReasons[told], reasonProtocol)
}

// The least time of a refusal, and what chance adds to it (specification, section 3.7).
const (
	refusalTime   = 300 * time.Millisecond
	refusalJitter = 100 * time.Millisecond
)

// delay waits until a refusal of what began at started may be told. It ends with ctx: nobody is
// there any more to be told.
func delay(ctx context.Context, started time.Time) {
	t := time.NewTimer(max(0, time.Until(started.Add(refusalTime))) + rand.N(refusalJitter))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
