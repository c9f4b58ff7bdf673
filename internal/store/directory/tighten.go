package directory

import (
	"context"
	"time"
)

// impose gives an exposure its effect.
func (e *exposureRecord) impose(effect Exposure, now time.Time) {
	e.Effect, e.Told = effect, false
	switch effect {
	case RequireChange:
		e.Ends = now.Add(changeTime)
	case Disable:
		e.Ends = now
	}
}

// wakeTighten has tighten run soon.
func (d *Directory) wakeTighten() {
	select {
	case d.tightening <- struct{}{}:
	default: // it will
	}
}

// tighten brings the policy's effect on credentials that were exposed under a milder one and not changed since, and has
// their owners told. Without somebody who tells them it leaves all as it is.
func (d *Directory) tighten(ctx context.Context) {
	tell := d.onExposed.Load()
	if tell == nil {
		return
	}
	effect := d.policy().OnExposure.orNotify()
	exposed, _ := d.ExposedCredentials(ctx) // from memory
	for _, e := range exposed {
		if !e.Effect.weaker(effect) {
			continue
		}
		now, err := d.tightenOne(ctx, e, effect)
		if err != nil {
			d.log.Error("could not tighten the effect of an exposure", "user", e.Account.String(), "err", err)
			continue
		}
		if now.Effect != effect {
			continue // it was changed meanwhile
		}
		from := e.From.String()
		d.log.Warn("password exposed", "user", e.Account.String(), "credential", e.Credential, "kind", e.Kind, "svc", string(e.Service), "rip", from, "effect", string(effect))
		(*tell)(ctx, now, from)
	}
}

// tightenOne returns the exposure as it is now; the zero value if it is none any more.
func (d *Directory) tightenOne(ctx context.Context, e Exposed, effect Exposure) (now Exposed, err error) {
	err = d.edit(ctx, e.Account, func(a *account) (*account, error) {
		now = Exposed{}
		c := a.credential(credentialID(e.Credential))
		if c == nil || c.Exposed == nil || !c.Exposed.Effect.weaker(effect) {
			return a, nil
		}
		next, exposure := *c, *c.Exposed
		exposure.impose(effect, d.now().UTC())
		next.Generation++
		next.Exposed = &exposure
		now = a.exposed(&next)
		return a.with(next), nil
	})
	return now, err
}
