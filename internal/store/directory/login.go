package directory

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// Login verifies a plain password, which stays the caller's and is not kept. A refusal takes at
// least 300 ms plus 0 to 100 ms, whatever its cause; a success is quick.
//
// Errors: AuthFailed (whatever the cause; see Reason), Unavailable (too busy), NeedTLS (e is no
// proof of encryption: a bug of the caller).
func (d *Directory) Login(ctx context.Context, e mail.Encrypted, a Attempt, login string, password []byte) (Account, error) {
	if err := d.demand(e, a); err != nil {
		return Account{}, err
	}
	if d.Hidden(a) {
		return Account{}, d.NotOffered(ctx, a, login)
	}
	started := time.Now()
	found, err := d.checkPassword(ctx, e, a, login, password)
	if err := d.settle(ctx, started, outcome{a, login, "", found, err}); err != nil {
		return Account{}, err
	}
	return found.account.public(), nil
}

// demand is the last gate before a secret is looked at. A door that comes here without a proof of
// encryption has already let the secret cross the network in clear.
func (d *Directory) demand(e mail.Encrypted, a Attempt) error {
	if e.Valid() {
		d.counters.asked.Add(1)
		return nil
	}
	d.counters.unencrypted.Add(1)
	d.log.Error("a password was to be verified on a connection without encryption; this is a bug in Candor",
		"svc", string(a.Service), "method", a.Mechanism, "rip", a.Peer.Remote.Addr().String())
	return mail.Errorf(mail.NeedTLS, "encryption required")
}

// maxTries bounds how often a verification is made again because the account was changed meanwhile.
const maxTries = 3

// errChanging is the cause of a refusal of an account that is changed all the time.
var errChanging = errors.New("the account was changed during each of several verifications")

// checkPassword verifies a plain password, without settling.
func (d *Directory) checkPassword(ctx context.Context, e mail.Encrypted, a Attempt, login string, password []byte) (verified, error) {
	for range maxTries {
		var p principal
		d.view(func(s *state) { p = s.principal(login) })
		ranked := withRank(ctx, func() rank { return d.throttle.rank(d.now(), a.Peer.Remote.Addr(), &p) })
		v, err := d.decide(ranked, e, a, p, password)
		if err != nil || d.current(v) {
			return v, d.throttle.mark(err, password)
		}
	}
	return verified{}, refuse(reasonWrong, errChanging)
}

// current reports whether the directory still says what v was decided by.
func (d *Directory) current(v verified) (same bool) {
	d.view(func(s *state) {
		a := s.accounts[v.account.id]
		if a == nil || a.Generation != v.account.Generation {
			return
		}
		c := a.credential(v.credential.id)
		same = c != nil && c.Generation == v.credential.Generation
	})
	return same
}

// decide checks the password of a principal. It costs one argon2id, whatever comes out, but for an app password
// that is right and one that the cache knows; also for these where they will be refused for their address.
func (d *Directory) decide(ctx context.Context, e mail.Encrypted, a Attempt, p principal, password []byte) (verified, error) {
	if p.account == nil {
		return verified{}, d.pretend(ctx, reasonUnknown, password)
	}
	blocked := d.throttle.willRefuse(d.now(), a.Peer.Remote.Addr())
	if c := p.account.generatedAs(password); c != nil {
		if r := p.account.admits(c, a, d.now()); r != "" || blocked {
			return verified{}, d.pretend(ctx, cmp.Or(r, reasonThrottled), password)
		}
		return verified{p.account, c}, nil
	}
	c := p.account.main()
	switch {
	case c == nil && slices.ContainsFunc(p.account.credentials, credential.isPassword):
		return verified{}, d.pretend(ctx, reasonWrong, password)
	case c == nil || !c.Verifiers.checkable():
		return verified{}, d.pretend(ctx, reasonNoVerifier, password)
	}
	v := verified{p.account, c}
	in := newDecision(e, a, p, c, password)
	refused := p.account.admits(c, a, d.now())
	if refused == "" && !blocked && d.cache.holds(in) {
		return v, nil
	}
	right, err := d.matches(ctx, v, password)
	switch {
	case err != nil:
		return verified{}, err
	case !right:
		return verified{}, refuse(reasonWrong, nil)
	case refused != "":
		return verified{}, refuse(refused, nil)
	}
	d.cache.add(in)
	return v, nil
}

func newDecision(e mail.Encrypted, a Attempt, p principal, c *credential, password []byte) *decision {
	in := &decision{
		Realm: p.account.Address.Domain, Login: p.login, Account: p.account.id, Service: a.Service, Family: plainFamily,
		Credential: c.id, Generation: c.Generation, Policy: p.account.Generation, Epoch: p.epoch, Secret: password,
	}
	if by := e.String(); by != "tls" {
		in.Rule = by
	}
	return in
}

// matches checks the password; verifiers that are out of date are made anew of a right one.
func (d *Directory) matches(ctx context.Context, v verified, password []byte) (right bool, err error) {
	p := receive(password)
	defer p.wipe()
	check := &v.credential.Verifiers
	if err := d.hasher.do(ctx, func() { right = d.match(check, &p) }); err != nil {
		return false, err
	}
	if right && check.outdated(d.cost) {
		d.renew(ctx, v, &p)
	}
	return right, nil
}

// pretend does the work of a check that cannot succeed, and refuses.
func (d *Directory) pretend(ctx context.Context, r reason, password []byte) error {
	p := receive(password)
	defer p.wipe()
	if err := d.hasher.do(ctx, func() { newArgon2id(d.cost, p.prepared) }); err != nil {
		return err
	}
	return refuse(r, nil)
}

// received is a password that a client sent.
type received struct {
	given    []byte // as sent; the caller's
	prepared []byte // what cannot be a password gives something else to hash, for the same work
	ok       bool   // it is prepared
}

func receive(password []byte) received {
	if len(password) > maxPassword {
		return received{prepared: []byte{0}}
	}
	if prepared, err := sasl.Prepare(password); err == nil {
		return received{password, prepared, true}
	}
	return received{given: password, prepared: []byte{0}}
}

func (p *received) wipe() { clear(p.prepared) }

// renew replaces the verifiers of a password that was just right, unless it was changed meanwhile.
// A failure is not the client's concern: the old ones still hold, and the next login tries again.
func (d *Directory) renew(ctx context.Context, v verified, p *received) {
	var fresh verifiers
	err := d.hasher.do(ctx, func() { fresh = d.adopt(v.account.Salt, p) })
	if err == nil {
		err = d.edit(ctx, v.account.Address, func(a *account) (*account, error) {
			c := a.credential(v.credential.id)
			if a.id != v.account.id || c == nil || c.Generation != v.credential.Generation {
				return a, nil
			}
			next := *c
			next.Generation++
			next.Verifiers = fresh
			return a.with(next), nil
		})
	}
	if err != nil {
		d.log.Warn("could not renew the verifiers of a password", "user", v.account.Address.String(), "err", err)
	}
}
