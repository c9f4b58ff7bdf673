package directory

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"candor/internal/mail"
)

// The measures against guessing (specification, section 3.7).
const (
	slowFrom   = 5  // wrong logins of one network for one name: refusals take longer from here on
	refuseFrom = 20 // different wrong logins of one address: logins from it are refused from here on
	refuseTime = 15 * time.Minute
	// suspectFrom is how many wrong logins make a name, or a network, go behind others when there is much to hash.
	suspectFrom = 20
)

// slower is what each wrong login from slowFrom on adds to its refusal.
var slower = [...]time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second}

// defaultTallies is how many addresses, networks, names and pairs of them are counted, of each kind.
const defaultTallies = 10_000

// throttle counts wrong logins, by keyed hashes and in memory alone: a start forgives all. It is not the cache: what is
// refused by it was not looked up there, and is shown apart. All methods may be called concurrently.
type throttle struct {
	names maphash.Seed
	key   [sha256.Size]byte
	log   *slog.Logger
	homes *homes

	mu        sync.Mutex
	exempt    []netip.Prefix
	addresses *tallies // by /32 or /64
	networks  *tallies // by /24 or /48
	accounts  *tallies // by name
	pairs     *tallies // by network and name
	all       tally
	begun     uint64 // refusals of addresses, ever
	refused   uint64 // connections and logins, ever
}

func newThrottle(log *slog.Logger, h *homes) *throttle {
	t := &throttle{
		names: maphash.MakeSeed(), log: log, homes: h, addresses: newTallies(defaultTallies),
		networks: newTallies(defaultTallies), accounts: newTallies(defaultTallies), pairs: newTallies(defaultTallies),
	}
	_, _ = rand.Read(t.key[:]) // never fails
	return t
}

// change puts other exempt networks and another bound in force.
func (t *throttle) change(exempt []netip.Prefix, most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.exempt = exempt
	for _, all := range []*tallies{t.addresses, t.networks, t.accounts, t.pairs} {
		all.most = most
		all.shrink()
	}
}

// counts reports whether logins from an address are counted. mu is held.
func (t *throttle) counts(a netip.Addr) bool {
	for _, p := range t.exempt {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}

// host is an address as logins are counted by it: /32 or /64.
func host(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // the number of bits fits
	return p
}

func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// nameOf hides whom a login named.
func (t *throttle) nameOf(a mail.Address) uint64 { return maphash.Comparable(t.names, a) }

// secretOf hides a password, so that it can be told from others while the server runs.
func (t *throttle) secretOf(password []byte) uint64 {
	h := hmac.New(sha256.New, t.key[:])
	h.Write(password)
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// mark notes in a refusal which password it was for.
func (t *throttle) mark(err error, password []byte) error {
	if r, ok := errors.AsType[*refusal](err); ok {
		r.secret = t.secretOf(password)
	}
	return err
}

// isGuess reports whether a refusal says something of a secret. One that concerns the channel was made before the
// proof was looked at.
func isGuess(err error) (secret uint64, is bool) {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		return 0, false
	}
	switch r.reason {
	case reasonProtocol, reasonBinding, reasonType, reasonDowngrade, reasonNotOffered:
		return 0, false
	}
	return r.secret, true
}

// failed counts a refusal of a login under a name, and returns how much longer than others it is to take.
func (t *throttle) failed(now time.Time, from netip.Addr, named mail.Address, err error) time.Duration {
	secret, is := isGuess(err)
	if !is {
		return 0
	}
	from = plain(from)
	wrong, tries, refused := t.count(now, from, guess{t.nameOf(named), secret, secret == 0})
	if refused {
		t.log.Warn("logins refused", "rip", from.String(), "tries", tries, "until", now.Add(refuseTime).UTC().Format(time.RFC3339))
	}
	return slowed(wrong)
}

// count returns how many wrong logins there are now of the network under the name, and of the address; refused says
// that this one was the last that the address had free.
func (t *throttle) count(now time.Time, from netip.Addr, g guess) (wrong, tries int, refused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.counts(from) {
		return 0, 0, false
	}
	pair := t.pairs.touch(origin{network(from), g.name})
	worth := pair.weigh(g, maxPairGuesses)
	pair.add(now, worth)
	t.accounts.touch(origin{name: g.name}).add(now, worth)
	address := t.addresses.touch(origin{network: host(from)})
	worth = address.weigh(g, maxGuesses)
	address.add(now, worth)
	t.networks.touch(origin{network: network(from)}).add(now, worth)
	t.all.add(now, worth)
	wrong, tries = pair.whole(now), address.whole(now)
	if worth == 0 || tries < refuseFrom || now.Before(address.until) || t.homes.shared(from, now) {
		return wrong, tries, false
	}
	address.until, address.refused = now.Add(refuseTime), 0
	t.begun++
	return wrong, tries, true
}

// slowed is what so many wrong logins add to a refusal.
func slowed(wrong int) time.Duration {
	if wrong < slowFrom {
		return 0
	}
	return slower[min(wrong-slowFrom, len(slower)-1)]
}

// refuses reports whether logins from an address are refused now, and counts one that is.
func (t *throttle) refuses(now time.Time, from netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.blocked(now, from)
	if a == nil {
		return false
	}
	a.refused++
	t.refused++
	return true
}

// willRefuse reports whether a login from an address would be refused now, right or wrong.
func (t *throttle) willRefuse(now time.Time, from netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.blocked(now, from) != nil
}

// blocked returns the tally of an address from which logins are refused now, or nil. mu is held.
func (t *throttle) blocked(now time.Time, from netip.Addr) *tally {
	from = plain(from)
	a := t.addresses.find(origin{network: host(from)})
	if a == nil || !now.Before(a.until) || !t.counts(from) {
		return nil
	}
	return a
}

// rank is that of a login from an address under a name that is of p, who may not exist.
func (t *throttle) rank(now time.Time, from netip.Addr, p *principal) rank {
	from = plain(from)
	if p.account != nil && t.homes.know(p.account, from, now) {
		return familiar
	}
	name := t.nameOf(p.name)
	t.mu.Lock()
	defer t.mu.Unlock()
	many := func(all *tallies, o origin, most int) bool {
		found := all.find(o)
		return found != nil && found.whole(now) >= most
	}
	if many(t.pairs, origin{network(from), name}, slowFrom) || many(t.addresses, origin{network: host(from)}, slowFrom) ||
		many(t.accounts, origin{name: name}, suspectFrom) || many(t.networks, origin{network: network(from)}, suspectFrom) {
		return suspect
	}
	return stranger
}
