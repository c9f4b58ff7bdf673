package directory

import (
	"context"
	"time"

	"candor/internal/mail"
)

// Service names the door of an attempt.
type Service string

// The services.
const (
	Submission Service = "submission"
	IMAP       Service = "imap"
	POP3       Service = "pop3"
)

// Attempt describes a login for the verifier, its caches and all that keep account of logins.
type Attempt struct {
	Service   Service
	Mechanism string // SASL name, or "IMAP-LOGIN", "POP3-USER"; "" when it is only asked what to offer
	Initial   bool   // the client sent its first response with the command
	Peer      mail.Peer
	Program   string // as the client calls itself, by ID or EHLO
}

// verified is an account with the credential that proved it.
type verified struct {
	account    *account
	credential *credential
}

// outcome is an attempt that has ended.
type outcome struct {
	attempt  Attempt
	login    string // as sent; empty if none was
	binding  string // how a SCRAM client stood to channel binding: "n", "y" or the type; "" of other mechanisms
	verified verified
	err      error
}

// settle ends an attempt: everything that keeps account of logins learns of it here, and a refusal is held back.
// Whether logins from there are refused shows here and not before, so that a right password takes no other way than a
// wrong one.
func (d *Directory) settle(ctx context.Context, started time.Time, o outcome) error {
	now, from := d.now(), o.attempt.Peer.Remote.Addr()
	if o.secret() && d.throttle.refuses(now, from) {
		o.verified, o.err = verified{}, throttled(o.err)
	}
	d.noteCensus(o)
	switch {
	case o.err == nil:
		d.counters.logins.Add(1)
		d.uses.note(credentialKey{o.verified.account.id, o.verified.credential.id}, now, o.attempt)
		d.throttle.homes.note(o.verified.account.id, from, now)
	case mail.IsKind(o.err, mail.AuthFailed):
		d.counters.refused(Reason(o.err))
		d.noteDowngrade(o, from)
		delay(ctx, started.Add(d.throttle.failed(now, from, d.named(o.login), o.err)))
	case mail.IsKind(o.err, mail.TooMany):
		d.counters.refused(Reason(o.err))
		delay(ctx, started)
	case mail.IsKind(o.err, mail.Unsupported):
		d.counters.refused(Reason(o.err))
	case mail.IsKind(o.err, mail.Unavailable):
		d.counters.busy.Add(1)
	}
	return o.err
}

// secret reports whether a secret was looked at.
func (o *outcome) secret() bool { return o.err == nil || mail.IsKind(o.err, mail.AuthFailed) }

// named returns the address that a login name stands for, whether there is such an account or not.
func (d *Directory) named(login string) (a mail.Address) {
	d.view(func(s *state) { a = s.principal(login).name })
	return a
}
