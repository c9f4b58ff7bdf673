package listen

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// admission keeps strangers within the limits. A connection is a stranger until someone has logged
// in; on port 25 it stays one. The newest never pays for a limit that all share.
type admission struct {
	mu          sync.Mutex
	limits      *Limits
	login, mx   *list.List // strangers, oldest first
	counts      map[countKey]int
	handshaking *list.List                 // half-finished, oldest first
	paces       map[netip.Prefix]time.Time // when the handshakes so far are paid off
}

type countKey struct {
	prefix netip.Prefix
	mx     bool
}

// maxPaces bounds the memory for addresses that shake hands; beyond it, all is forgiven.
const maxPaces = 1 << 16

func newAdmission(l *Limits) *admission {
	return &admission{
		limits: l, login: list.New(), mx: list.New(), counts: map[countKey]int{},
		handshaking: list.New(), paces: map[netip.Prefix]time.Time{},
	}
}

func (a *admission) setLimits(l *Limits) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limits = l
}

func (l *Limits) exempt(a netip.Addr) bool {
	for _, p := range l.Exempt {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// prefixOf is the network whose strangers are counted together: /32, or /64 of IPv6.
func prefixOf(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the number of bits fits
	return p
}

func (a *admission) group(c *Conn) (strangers *list.List, most, mostPerPrefix int) {
	if c.listener.Service == SMTP {
		return a.mx, a.limits.Port25, a.limits.UnauthenticatedSMTP
	}
	return a.login, a.limits.LoginPorts, a.limits.Unauthenticated
}

func (c *Conn) countKey() countKey { return countKey{c.prefix, c.listener.Service == SMTP} }

// admit counts the connection in. It reports false when there are too many from its network; when
// there are too many in all, the one that matters least is aborted instead.
func (a *admission) admit(c *Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	strangers, most, mostPerPrefix := a.group(c)
	if !c.exempt && a.counts[c.countKey()] >= mostPerPrefix {
		return false
	}
	if strangers.Len() >= most {
		a.giveUp(leastMissed(strangers))
	}
	a.counts[c.countKey()]++
	c.place = strangers.PushBack(c)
	return true
}

// leastMissed is the oldest connection without a completed command, else the oldest.
func leastMissed(strangers *list.List) *Conn {
	for e := strangers.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*Conn); !c.completed.Load() {
			return c
		}
	}
	return strangers.Front().Value.(*Conn)
}

func (a *admission) giveUp(c *Conn) {
	a.forget(c)
	c.count().dropped.Add(1)
	c.abort()
}

// forget takes the connection from among the strangers.
func (a *admission) forget(c *Conn) {
	if c.place == nil {
		return
	}
	strangers, _, _ := a.group(c)
	strangers.Remove(c.place)
	c.place = nil
	if a.counts[c.countKey()]--; a.counts[c.countKey()] == 0 {
		delete(a.counts, c.countKey())
	}
}

// leave counts a connection out that has ended or logged in.
func (a *admission) leave(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(c)
}

// beginHandshake takes a slot among the half-finished handshakes; if all are taken, that of another.
func (a *admission) beginHandshake(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.handshaking.Len() >= a.limits.Handshakes {
		dropped := a.leastAdvanced()
		a.endSlot(dropped)
		dropped.count().dropped.Add(1)
		dropped.abort()
	}
	c.slot = a.handshaking.PushBack(c)
}

// leastAdvanced is the oldest handshake among those of which there are more: those of peers that have said nothing yet, or
// those of peers that have. Neither can take the slots of the other, so that who is far away, and waits for our answer, does
// not give way to any number of silent ones. mu is held.
func (a *admission) leastAdvanced() *Conn {
	var oldest [2]*Conn // silent, speaking
	speaking := 0
	for e := a.handshaking.Back(); e != nil; e = e.Prev() {
		c := e.Value.(*Conn)
		if !c.triedTLS && !c.wire.hello.Load() {
			oldest[0] = c
			continue
		}
		oldest[1] = c
		speaking++
	}
	if 2*speaking > a.handshaking.Len() {
		return oldest[1]
	}
	return oldest[0]
}

func (a *admission) endHandshake(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.endSlot(c)
}

func (a *admission) endSlot(c *Conn) {
	if c.slot != nil {
		a.handshaking.Remove(c.slot)
		c.slot = nil
	}
}

// handshakeDelay charges one handshake to the connection's network and returns how long it has to
// wait so that no more than the permitted number begin in a minute.
func (a *admission) handshakeDelay(c *Conn, now time.Time) time.Duration {
	if c.exempt {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	each := time.Minute / time.Duration(a.limits.HandshakesPerMinute)
	if len(a.paces) >= maxPaces {
		a.forgive(now)
	}
	paid := a.paces[c.prefix]
	if paid.Before(now) {
		paid = now
	}
	paid = paid.Add(each)
	a.paces[c.prefix] = paid
	return min(max(paid.Sub(now)-time.Minute, 0), a.limits.Handshake)
}

// forgive drops the networks that have paid, or all if that makes no room.
func (a *admission) forgive(now time.Time) {
	for p, paid := range a.paces {
		if paid.Before(now) {
			delete(a.paces, p)
		}
	}
	if len(a.paces) >= maxPaces {
		clear(a.paces)
	}
}
