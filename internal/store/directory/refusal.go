package directory

import (
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
	reasonUnknown    reason = "unknown"
	reasonWrong      reason = "wrong"
	reasonDisabled   reason = "disabled"
	reasonNoVerifier reason = "no-verifier"
	reasonBinding    reason = "cb-mismatch"
	reasonProtocol   reason = "protocol"
	reasonScope      reason = "scope"
	reasonExpired    reason = "expired"
)

// refusal is the cause of an AuthFailed.
type refusal struct {
	reason reason
	cause  error
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
	return mail.Wrap(mail.AuthFailed, &refusal{r, cause}, "Authentication failed")
}

// Reason tells why a login was refused, for the log and the census, never for the client:
// "unknown", "wrong", "disabled", "no-verifier" (the account has nothing to check this mechanism
// with), "cb-mismatch", "protocol", or of a right password "scope" (it is not for this service) and
// "expired". It is "" for an error that is no refusal.
func Reason(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return string(r.reason)
	}
	return ""
}

// reasonOf finds the reason of a refusal that a mechanism made by itself.
func reasonOf(err error) reason {
	if told, ok := errors.AsType[sasl.ServerError](err); ok && told == sasl.ErrChannelBindingsMismatch {
		return reasonBinding
	}
	return reasonProtocol
}

// The least time of a refusal, and what chance adds to it (specification, section 3.7).
const (
	refusalTime   = 300 * time.Millisecond
	refusalJitter = 100 * time.Millisecond
)

// delay waits until a refusal of what began at started may be told. It ends with ctx: nobody is
// there any more to be told.
func delay(ctx context.Context, started time.Time) {
	t := time.NewTimer(time.Until(started.Add(refusalTime + rand.N(refusalJitter))))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
