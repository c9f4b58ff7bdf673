package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// maxDepth is how many aliases may lead to one another (RFC 5321, section 6.3).
const maxDepth = 10

// verdict is what a result means for its recipient.
type verdict struct {
	r        *recipient
	result   Result
	fate     fate
	changed  recipient // deferred: what is written
	expanded []*recipient
}

type fate uint8

const (
	settled   fate = iota // its keys went with the transport's own transaction
	delivered             // its keys are to go
	replaced              // by the recipients it stands for
	deferred
	refused // for good: the sender hears of it when the round ends
	broken  // broken off because the queue closes: all stays as it was
)

// finish records what became of an attempt: in the log, in the store, then in memory. At the end of
// an item's round it sees to the reports.
func (q *Queue) finish(t task, results []Result) {
	now := q.o.Now()
	vs := q.judge(t, results, now)
	for i := range vs {
		q.logDelivery(t.entry, &vs[i])
	}
	q.record(t.entry, vs)
	if q.absorb(t.entry, vs) {
		q.endRound(t.entry)
	}
}

// judge finds each recipient's fate.
func (q *Queue) judge(t task, results []Result, now time.Time) []verdict {
	vs := make([]verdict, 0, len(t.recipients))
	for i, r := range t.recipients {
		result := resultFor(r.to, i, results)
		if result.At.IsZero() {
			result.At = now
		}
		v := verdict{r: r, result: result}
		v.fate = q.fate(t.entry, &v, now)
		vs = append(vs, v)
	}
	return vs
}

// resultFor picks the result for a recipient. A transport that has none for it has a bug; trying
// again is the safe reading.
func resultFor(to mail.Recipient, i int, results []Result) Result {
	if i < len(results) && results[i].Recipient == to {
		return results[i]
	}
	for _, r := range results {
		if r.Recipient == to {
			return r
		}
	}
	return Result{Recipient: to, Err: errors.New("the transport returned no result")}
}

func (q *Queue) fate(e *entry, v *verdict, now time.Time) fate {
	switch {
	case v.result.Settled:
		return settled
	case len(v.result.Expanded) > 0:
		if v.r.depth < maxDepth {
			return replaced
		}
		v.result.Err = mail.Errorf(mail.Loop, "aliases lead in a circle")
		return refused
	case v.result.Err == nil:
		return delivered
	case errors.Is(v.result.Err, ErrSettled), q.isRemoved(e):
		// An operator removed it during the attempt: nothing was stored, nothing is to be done.
		v.result.Err = ErrSettled
		return delivered
	case q.ctx.Err() != nil && mail.AsError(v.result.Err).Status.Temporary():
		return broken
	case !mail.AsError(v.result.Err).Status.Temporary():
		return refused
	case q.expired(e, now):
		v.result.Err = expiredError(v.result.Err, q.o.Expire)
		return refused
	}
	q.deferRecipient(e, v, now)
	return deferred
}

// expiredError says that time is over, and what stood in the way last.
func expiredError(last error, after time.Duration) error {
	text := fmt.Sprintf("not delivered within %s; last reason: %s", duration(after), mail.AsError(last).Text)
	return mail.Wrap(mail.Expired, last, text)
}

// deferRecipient prepares what is written for a recipient that has to wait.
func (q *Queue) deferRecipient(e *entry, v *verdict, now time.Time) {
	c := *v.r
	c.attempts++
	c.last = &v.result
	c.due = q.retryAt(e, &c, now)
	c.delayed = q.late(e, &c, now)
	v.changed = c
}

// record makes the fates durable. It does not give up while the queue is open: a delivery that is
// forgotten would be made again.
func (q *Queue) record(e *entry, vs []verdict) {
	var writes int
	for i := range vs {
		switch vs[i].fate {
		case replaced:
			q.expand(e, &vs[i])
			writes++
		case delivered, deferred:
			writes++
		}
	}
	if writes == 0 {
		return
	}
	last := false
	q.persist("recording a delivery failed", e, func(tx kv.Tx) error {
		last = q.leavesNone(e, vs)
		for i := range vs {
			e.writeFate(tx, &vs[i])
		}
		if last {
			e.deleteItem(tx)
		}
		return nil
	})
	for i := range vs {
		vs[i].r.final = last
	}
}

func (e *entry) writeFate(tx kv.Tx, v *verdict) {
	switch v.fate {
	case delivered:
		e.deleteRecipient(tx, v.r)
	case deferred:
		e.deleteIndex(tx, v.r)
		e.writeRecipient(tx, &v.changed)
	case replaced:
		e.deleteRecipient(tx, v.r)
		for _, r := range v.expanded {
			e.writeRecipient(tx, r)
		}
	}
}

// expand makes the recipients that take the place of an alias, but for those that the item has
// already.
func (q *Queue) expand(e *entry, v *verdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, to := range v.result.Expanded {
		if e.has(to) {
			continue
		}
		r := e.add(to, v.r.depth+1)
		e.active++
		q.route(to.Route).held++
		v.expanded = append(v.expanded, r)
	}
}

func (e *entry) has(to mail.Recipient) bool {
	for _, r := range e.recipients {
		if r.to == to && r.phase != gone {
			return true
		}
	}
	return false
}

// leavesNone reports whether nothing is left of the item once the fates are recorded.
func (q *Queue) leavesNone(e *entry, vs []verdict) bool {
	var done []*recipient
	for i := range vs {
		switch vs[i].fate {
		case settled, delivered, replaced:
			done = append(done, vs[i].r)
		}
	}
	return q.leaves(e, done) == 0
}

// leaves counts the recipients of an item without those that are done.
func (q *Queue) leaves(e *entry, done []*recipient) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := 0
	for _, r := range e.recipients {
		if !slices.Contains(done, r) {
			left++
		}
	}
	return left
}

// persist runs a transaction on an item until it is durable or the queue is closed. An item that an
// operator has removed stays removed.
func (q *Queue) persist(what string, e *entry, f func(kv.Tx) error) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		// What an attempt achieved is written even when the queue has begun to close.
		err := q.db.Update(context.WithoutCancel(q.ctx), func(tx kv.Tx) error {
			if _, err := tx.Get(itemKey(e.m.ID)); errors.Is(err, kv.ErrNotFound) {
				return nil
			} else if err != nil {
				return err
			}
			return f(tx)
		})
		if err == nil {
			return
		}
		q.o.Log.Error(what, "id", string(e.m.ID), "err", err)
		select {
		case <-time.After(wait):
		case <-q.ctx.Done():
			return
		}
	}
}

// absorb brings memory up to what was recorded, and reports whether the item's round has ended.
func (q *Queue) absorb(e *entry, vs []verdict) (ended bool) {
	var fresh []*recipient
	q.mu.Lock()
	for i := range vs {
		v := &vs[i]
		q.tally(v)
		q.release(e, v)
		fresh = append(fresh, v.expanded...)
	}
	e.forget()
	if ended = e.active == 0 && !e.reporting; ended {
		e.reporting = true
	}
	q.mu.Unlock()
	for i := range vs {
		if vs[i].fate == deferred {
			q.noteIndexed(vs[i].r.to.Route, vs[i].r.due)
		}
	}
	if len(fresh) > 0 {
		q.dispatch(e, fresh)
	}
	return ended
}

// release ends a recipient's attempt. mu is held.
func (q *Queue) release(e *entry, v *verdict) {
	r, s := v.r, q.route(v.r.to.Route)
	e.active--
	s.held--
	if (s.starved && s.held <= q.o.Memory/2) || (q.recovering && s.held == 0) {
		s.starved = false
		q.nudge()
	}
	if r.phase == gone { // removed by an operator meanwhile
		return
	}
	switch v.fate {
	case settled, delivered, replaced:
		r.phase = gone
		e.removed = e.removed || r.final
	case deferred:
		*r = v.changed
		r.phase = waiting
	case refused:
		r.last = &v.result
		r.attempts++
		r.phase = failed
	case broken:
		r.phase = waiting
	}
}

// tally counts. mu is held.
func (q *Queue) tally(v *verdict) {
	c := &q.counts
	if v.r.phase == gone { // removed by an operator, and counted
		return
	}
	switch v.fate {
	case settled, delivered:
		c.delivered.Add(1)
		c.recipients.Add(-1)
	case replaced:
		c.recipients.Add(int64(len(v.expanded)) - 1)
	case deferred:
		c.deferred.Add(1)
	case refused:
		c.failed.Add(1)
	}
}

// endRound reports what failed for good and what is late, until nothing more came meanwhile, and
// then lets the item go from memory. Only one goroutine is in it for an item.
func (q *Queue) endRound(e *entry) {
	for {
		dead, late, orphan := q.toReport(e)
		switch {
		case len(dead)+len(late) > 0:
			q.report(e, dead, late)
		case orphan:
			q.persist("removing a finished item failed", e, func(tx kv.Tx) error { e.deleteItem(tx); return nil })
			return
		default:
			return
		}
	}
}

// toReport returns the recipients that failed and those that are late. Without any, the round is
// over. orphan: all recipients are gone, but not yet the item, since the last ones went at the same
// time and each transaction left the item to the other.
func (q *Queue) toReport(e *entry) (dead, late []*recipient, orphan bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range e.recipients {
		switch {
		case q.ctx.Err() != nil: // they fail again after the next start
		case r.phase == failed:
			dead = append(dead, r)
		case r.phase == waiting && r.delayed:
			late = append(late, r)
		}
	}
	if len(dead)+len(late) > 0 {
		return dead, late, false
	}
	e.reporting = false
	if e.active == 0 && q.items[e.m.ID] == e {
		delete(q.items, e.m.ID)
	}
	return nil, nil, len(e.recipients) == 0 && !e.removed
}
