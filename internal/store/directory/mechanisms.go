package directory

import (
	"context"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// mechanisms are those that we know, in the order in which they are advertised: programs choose the first that they
// know, or the strongest. CRAM-MD5 is last, so that only what cannot do better takes it.
var mechanisms = []string{
	sasl.ScramSHA256Plus, sasl.ScramSHA256, sasl.ScramSHA1Plus, sasl.ScramSHA1, sasl.External, sasl.OAuthBearer, sasl.XOAuth2,
	sasl.Plain, sasl.Login, sasl.CramMD5,
}

// Mechanisms returns the SASL mechanisms to advertise to who makes an attempt, strongest first. SCRAM is
// among them only while every password for the service, of an enabled account, has SCRAM keys (specification,
// section 3.2: A-1): a program that sees it does not come back to PLAIN. Its -PLUS needs a TLS connection that it can
// be bound to.
func (d *Directory) Mechanisms(a Attempt) []string {
	var offered []string
	d.view(func(s *state) {
		for _, m := range mechanisms {
			if !d.hides(s, m, a) && d.offers(s, m, a) {
				offered = append(offered, m)
			}
		}
	})
	return offered
}

// hides reports whether a method, a mechanism or a command, is kept from who makes attempt a: by the operator, for want of
// use or by a trial.
func (d *Directory) hides(s *state, method string, a Attempt) bool {
	return d.Withheld(method) || d.census.isRetired(method) || s.trialOf(method, a, d.now()) != nil
}

// Hidden reports whether the command of attempt a, IMAPLogin or POP3User, is neither to be announced nor taken.
func (d *Directory) Hidden(a Attempt) (hidden bool) {
	d.view(func(s *state) { hidden = d.hides(s, a.Mechanism, a) })
	return hidden
}

// offers reports whether a mechanism is offered to who makes attempt a.
func (d *Directory) offers(s *state, mechanism string, a Attempt) bool {
	switch mechanism {
	case sasl.Plain, sasl.Login:
		return true
	case sasl.OAuthBearer, sasl.XOAuth2:
		// No exception from encryption is one for tokens (RFC 7628, section 3).
		return d.tokens.Load() != nil && a.Peer.Transport.State != mail.Clear
	case sasl.ScramSHA256:
		return s.lackScram[a.Service.scope()] == 0
	case sasl.ScramSHA256Plus:
		return s.lackScram[a.Service.scope()] == 0 && channel(a) != nil
	case sasl.ScramSHA1, sasl.CramMD5:
		return holds(d.legacyRules(mechanism, a), d.now())
	case sasl.ScramSHA1Plus:
		return holds(d.legacyRules(mechanism, a), d.now()) && channel(a) != nil
	case sasl.External:
		owner, _ := s.certified(a)
		return owner != nil
	}
	return false
}

// channel is what a login can be bound to, or nil. Behind a proxy that ends TLS there is none.
func channel(a Attempt) *sasl.Channel { return sasl.NewChannel(a.Peer.TLS, a.Peer.Certificate) }

// NotOffered ends an attempt by a mechanism that is not offered to its peer, known or not, and returns the error to
// answer it with. login is the name, if one was sent. Its reason is "not-offered", or "legacy-expired" where a rule has ended that offered it.
//
// Errors: Unsupported.
func (d *Directory) NotOffered(ctx context.Context, a Attempt, login string) error {
	r := reasonNotOffered
	if len(d.legacyRules(a.Mechanism, a)) > 0 {
		r = reasonLegacyExpired
	}
	err := mail.Wrap(mail.Unsupported, &refusal{reason: r}, "that authentication mechanism is not offered").With(5, 5, 4)
	return d.settle(ctx, time.Now(), outcome{attempt: a, login: login, err: err})
}
