package directory

import (
	"bytes"
	"context"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"candor/internal/proto/sasl"
)

// The bounds of looking at secrets that came in clear (specification, section 2.6). Whatever exceeds them is counted
// and not looked at.
const (
	maxSightings   = 64 // waiting
	sightingsRate  = 2  // a second from one /24 or /48
	sightingRest   = 3  // the looking takes one part of the time, and rests so many
	sightingAtMost = 10 * time.Second
)

// sighting is a secret that came in clear.
type sighting struct {
	attempt Attempt
	login   string
	secret  []byte
}

// sightings are those that wait to be looked at, with what was counted.
type sightings struct {
	waiting        chan sighting
	found, dropped atomic.Uint64

	mu     sync.Mutex
	second int64
	from   map[netip.Prefix]int // in this second
	counts map[string]uint64    // of credentials in clear, by service and whether the account is known
}

func newSightings() *sightings {
	s := &sightings{waiting: make(chan sighting, maxSightings), from: map[netip.Prefix]int{}, counts: map[string]uint64{}}
	for _, service := range []Service{Submission, IMAP, POP3} {
		s.counts[clearKind(service, true)], s.counts[clearKind(service, false)] = 0, 0
	}
	return s
}

// InClear notes a login that a client tried on a connection without encryption, after it was refused. login and
// secret are what it sent; either may be empty. The secret stays the caller's. Nobody is logged in by it, and the
// connection must not and cannot learn what comes of it: a right secret marks exactly its credential as exposed, in the
// background and with what Policy.OnExposure says; a wrong one is counted and nothing else, so that strangers cannot
// alarm others.
func (d *Directory) InClear(a Attempt, login string, secret []byte) {
	id, hash := d.whoseName(login)
	s := d.sightings
	s.count(a.Service, id != 0)
	d.census.note(id, d.fieldsOf(a, "", inClearReason(a.Mechanism)), d.now(), hash)
	if id == 0 || len(secret) == 0 || len(secret) > maxPassword {
		return
	}
	if !s.admit(network(a.Peer.Remote.Addr()), d.now()) {
		s.dropped.Add(1)
		return
	}
	copied := bytes.Clone(secret)
	select {
	case s.waiting <- sighting{a, login, copied}:
	default:
		clear(copied)
		s.dropped.Add(1)
	}
}

// InClearSASL is InClear for a SASL mechanism with its initial response, which is wiped; nil: it had none.
func (d *Directory) InClearSASL(a Attempt, initial []byte) {
	defer clear(initial)
	switch parts := bytes.Split(initial, []byte{0}); {
	case strings.EqualFold(a.Mechanism, sasl.Plain) && len(parts) == 3: // RFC 4616, section 2
		d.InClear(a, string(parts[1]), parts[2])
	case strings.EqualFold(a.Mechanism, sasl.Login):
		d.InClear(a, string(initial), nil)
	default:
		d.InClear(a, "", nil)
	}
}

// inClearReason tells mechanisms that send no secret from those that do.
func inClearReason(mechanism string) reason {
	switch m := Method(mechanism); {
	case strings.HasPrefix(m, "SCRAM-"), m == "CRAM-MD5", m == "DIGEST-MD5", m == "APOP", m == "NTLM":
		return reasonDigestInClear
	}
	return reasonInClear
}

func (s *sightings) count(service Service, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[clearKind(service, known)]++
}

func clearKind(service Service, known bool) string {
	if known {
		return string(service) + "-known"
	}
	return string(service) + "-unknown"
}

// admit reports whether another secret from a network may be looked at.
func (s *sightings) admit(n netip.Prefix, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if second := now.Unix(); second != s.second {
		s.second = second
		clear(s.from)
	}
	if s.from[n] >= sightingsRate || len(s.from) >= maxSightings && s.from[n] == 0 {
		return false
	}
	s.from[n]++
	return true
}

// watchSightings looks at what came in clear, until ctx ends.
func (d *Directory) watchSightings(ctx context.Context) {
	for {
		select {
		case s := <-d.sightings.waiting:
			started := time.Now()
			d.examine(ctx, s)
			pause(ctx, sightingRest*time.Since(started))
		case <-d.tightening:
			d.tighten(ctx)
		case <-ctx.Done():
			for {
				select {
				case s := <-d.sightings.waiting:
					clear(s.secret)
				default:
					return
				}
			}
		}
	}
}

func pause(ctx context.Context, long time.Duration) {
	t := time.NewTimer(long)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// examine finds the credential that was exposed, if one was.
func (d *Directory) examine(ctx context.Context, s sighting) {
	defer clear(s.secret)
	ctx, cancel := context.WithTimeout(ctx, sightingAtMost)
	defer cancel()
	var a *account
	d.view(func(now *state) { a = now.principal(s.login).account })
	if a == nil {
		return
	}
	c, err := d.whose(ctx, a, s.secret)
	if err != nil {
		d.sightings.dropped.Add(1)
		return
	}
	if c == nil || c.Exposed != nil && !c.Exposed.Effect.weaker(d.policy().OnExposure.orNotify()) {
		return
	}
	if err := d.expose(ctx, s, a, c); err != nil {
		d.log.Error("could not note that a password was exposed", "user", a.Address.String(), "err", err)
	}
}

func (e Exposure) orNotify() Exposure {
	if e == "" {
		return Notify
	}
	return e
}

// whose returns the credential that a secret is, or nil. It logs nobody in, and takes a worker only while no login
// wants one.
func (d *Directory) whose(ctx context.Context, a *account, secret []byte) (*credential, error) {
	if c := a.generatedAs(secret); c != nil {
		return c, nil
	}
	c := a.main()
	if c == nil || !c.Verifiers.checkable() {
		return nil, nil
	}
	p := receive(secret)
	defer p.wipe()
	right := false
	err := d.hasher.doIdle(ctx, func() { right = d.match(&c.Verifiers, &p) })
	if !right || err != nil {
		return nil, err
	}
	return c, nil
}

// expose marks a credential as exposed, durably, and has its owner told.
func (d *Directory) expose(ctx context.Context, s sighting, a *account, c *credential) error {
	now := d.now().UTC()
	e := exposureRecord{
		At: now, From: network(s.attempt.Peer.Remote.Addr()), Service: s.attempt.Service, Port: s.attempt.Peer.Local.Port(),
		Program: clientOf(s.attempt),
	}
	e.impose(d.policy().OnExposure.orNotify(), now)
	var told Exposed
	changed := false
	err := d.edit(ctx, a.Address, func(at *account) (*account, error) {
		found := at.credential(c.id)
		if changed = at.id == a.id && found != nil && found.Generation == c.Generation; !changed {
			return at, nil // it was changed meanwhile
		}
		next := *found
		next.Generation++
		next.Exposed = &e
		told = at.exposed(&next)
		return at.with(next), nil
	})
	if err != nil || !changed {
		return err
	}
	d.sightings.found.Add(1)
	rip := s.attempt.Peer.Remote.Addr().Unmap().String()
	d.log.Warn("password exposed", "user", a.Address.String(), "credential", uint64(c.id), "kind", string(c.Kind), "svc", string(e.Service),
		"rip", rip, "effect", string(e.Effect))
	if tell := d.onExposed.Load(); tell != nil {
		(*tell)(ctx, told, rip)
	}
	return nil
}

// OnExposed sets what is called when a credential was marked as exposed, or meets a stricter policy since: with the
// client's address, or its network if no more is known, one call at a time.
func (d *Directory) OnExposed(tell func(ctx context.Context, e Exposed, rip string)) {
	d.onExposed.Store(&tell)
	d.wakeTighten()
}

func (s *sightings) stats(to *Stats) {
	to.Exposed, to.ClearNotChecked = s.found.Load(), s.dropped.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	to.ClearCredentials = maps.Clone(s.counts)
}
