package queue

import (
	"context"
	"errors"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// defaultRetry is the schedule of the specification, section 4.4; the last interval repeats.
var defaultRetry = []time.Duration{
	5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
}

// retryAt says when a recipient that has just failed for a while is tried again: at the latest when
// the item expires, which is its last chance.
func (q *Queue) retryAt(e *entry, r *recipient, now time.Time) time.Time {
	wait := q.o.Retry[min(max(r.attempts, 1), len(q.o.Retry))-1]
	if r.to.Route == mail.Local && q.o.Redelivery > 0 {
		wait = q.o.Redelivery
	}
	at, last := now.Add(wait), e.created.Add(q.o.Expire)
	if at.After(last) {
		at = last
	}
	return at
}

// expired reports whether an item is too old for a further attempt.
func (q *Queue) expired(e *entry, now time.Time) bool { return !now.Before(e.created.Add(q.o.Expire)) }

// urgentWarning is the age at which a sender hears of a delay that a person must mend.
const urgentWarning = time.Hour

// late reports whether the sender of an item should hear that r is delayed.
func (q *Queue) late(e *entry, r *recipient, now time.Time) bool {
	if r.warned || e.m.Envelope.Account == 0 || e.m.Envelope.ReversePath.Null() {
		return false
	}
	limit := q.o.DelayWarning
	fail := r.last.Transport.Fail
	if strings.HasPrefix(fail, "pkix-") || strings.HasPrefix(fail, "sts-") || fail == "tlsa-mismatch" {
		limit = min(limit, urgentWarning)
	}
	return !now.Before(e.created.Add(limit))
}

// page is how many index keys are read in one snapshot.
const page = 256

// schedule takes up recipients whose time has come, until the queue closes. It is the one goroutine
// that waits for times.
func (q *Queue) schedule() {
	for {
		next := time.Time{}
		for _, r := range []mail.Route{mail.Local, mail.Remote} {
			if at := q.takeDue(q.ctx, r, q.o.Now()); !at.IsZero() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		if !q.sleep(next) {
			return
		}
	}
}

// sleep waits until next (zero: for ever) or a wake-up. It returns false when the queue closes.
func (q *Queue) sleep(next time.Time) bool {
	var expires <-chan time.Time
	if !next.IsZero() {
		t := time.NewTimer(max(next.Sub(q.o.Now()), 0))
		defer t.Stop()
		expires = t.C
	}
	select {
	case <-q.done:
		return false
	case <-q.wake:
	case <-expires:
	}
	return true
}

func (q *Queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *Queue) route(r mail.Route) *route {
	if r == mail.Local {
		return &q.locals
	}
	return &q.remotes
}

// noteIndexed tells the scheduler of a new index key.
func (q *Queue) noteIndexed(r mail.Route, due time.Time) {
	q.mu.Lock()
	if s := q.route(r); due.Before(s.cursor) {
		s.cursor = due
	}
	q.mu.Unlock()
	q.nudge()
}

// retryStore is how long the scheduler waits after the store failed.
const retryStore = 5 * time.Second

// takeDue takes up all recipients of a route due until now for which there is room, and returns when
// to look again; zero: when woken.
func (q *Queue) takeDue(ctx context.Context, r mail.Route, until time.Time) time.Time {
	began, from := q.position(r)
	for {
		room := q.room(r)
		if room == 0 || q.closing() {
			return time.Time{}
		}
		due, next, err := q.readDue(ctx, r, from, until, min(room, page))
		if err != nil {
			if ctx.Err() == nil {
				q.o.Log.Error("reading the queue's schedule failed", "err", err)
			}
			return q.o.Now().Add(retryStore)
		}
		if len(due) == 0 {
			return next
		}
		q.takeAll(ctx, due)
		last := due[len(due)-1]
		q.advance(r, began, last.due)
		began = last.due
		from = append(indexKey(r, last.due, last.id, last.n), 0)
	}
}

// position is where the search for due recipients begins.
func (q *Queue) position(r mail.Route) (cursor time.Time, from []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	cursor = q.route(r).cursor
	return cursor, indexFrom(r, cursor)
}

// room is how many more recipients of a route may be under way. When there is none, the scheduler is
// woken once half of them are done.
func (q *Queue) room(r mail.Route) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.route(r)
	s.starved = s.held >= q.o.Memory
	return max(q.o.Memory-s.held, 0)
}

func (q *Queue) closing() bool {
	select {
	case <-q.done:
		return true
	default:
		return false
	}
}

// advance moves the cursor behind what has been taken, unless something earlier came meanwhile. Keys
// of the very same time may be left, so the cursor stays on it; those under way are skipped.
func (q *Queue) advance(r mail.Route, from, to time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := q.route(r); s.cursor.Equal(from) {
		s.cursor = to
	}
}

// readDue returns at most limit index entries whose recipients are not under way, and the time of
// the first one after until.
func (q *Queue) readDue(ctx context.Context, r mail.Route, from []byte, until time.Time, limit int) (due []indexed, next time.Time, err error) {
	err = q.db.View(ctx, func(tx kv.Reader) error {
		due, next = nil, time.Time{}
		for p, err := range tx.Scan(from, indexEnd(r)) {
			if err != nil {
				return err
			}
			k, err := parseIndexKey(p.Key)
			if err != nil {
				return err
			}
			if k.due.After(until) {
				next = k.due
				return nil
			}
			if len(due) == limit {
				return nil
			}
			if !q.underWay(k) {
				due = append(due, k)
			}
		}
		return nil
	})
	return due, next, err
}

// underWay reports whether an index key belongs to a recipient that is being dealt with already.
func (q *Queue) underWay(k indexed) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.items[k.id]
	if e == nil {
		return false
	}
	for _, r := range e.recipients {
		if r.n == k.n {
			return r.phase != waiting
		}
	}
	return false
}

// takeAll takes up recipients, those of one item together.
func (q *Queue) takeAll(ctx context.Context, due []indexed) {
	for len(due) > 0 {
		n := 1
		for n < len(due) && due[n].id == due[0].id {
			n++
		}
		if err := q.take(ctx, due[0].id, due[:n]); err != nil && ctx.Err() == nil {
			q.o.Log.Error("reading a queued message failed", "id", string(due[0].id), "err", err)
		}
		due = due[n:]
	}
}

// take begins attempts for recipients of one item.
func (q *Queue) take(ctx context.Context, id ID, due []indexed) error {
	q.operating.Lock()
	defer q.operating.Unlock()
	q.mu.Lock()
	e := q.items[id]
	q.mu.Unlock()
	if e == nil {
		var err error
		if e, err = q.load(ctx, id); errors.Is(err, kv.ErrNotFound) {
			return q.dropIndex(ctx, due)
		} else if err != nil {
			return err
		}
	}
	if rs := q.activate(e, due); len(rs) > 0 {
		q.dispatch(e, rs)
	}
	return nil
}

// dropIndex removes index keys whose item has gone. There are none as long as every transaction
// does its work; a damaged one must not be met again at every turn.
func (q *Queue) dropIndex(ctx context.Context, due []indexed) error {
	return q.db.Update(ctx, func(tx kv.Tx) error {
		for _, k := range due {
			if _, err := tx.Get(recipientKey(k.id, k.n)); !errors.Is(err, kv.ErrNotFound) {
				continue
			}
			tx.Delete(indexKey(mail.Local, k.due, k.id, k.n))
			tx.Delete(indexKey(mail.Remote, k.due, k.id, k.n))
		}
		return nil
	})
}

// activate marks the recipients that still wait as under way.
func (q *Queue) activate(e *entry, due []indexed) []*recipient {
	q.mu.Lock()
	defer q.mu.Unlock()
	if known := q.items[e.m.ID]; known != nil && known != e {
		// A message that went out of memory and came back in between; its own keys tell of it.
		return nil
	}
	var rs []*recipient
	for _, k := range due {
		for _, r := range e.recipients {
			if r.n == k.n && r.phase == waiting && r.due.UnixMilli() == k.due.UnixMilli() {
				r.phase = active
				e.active++
				q.route(r.to.Route).held++
				rs = append(rs, r)
			}
		}
	}
	if len(rs) > 0 {
		q.items[e.m.ID] = e
	}
	return rs
}

// indexAll gives an index key to every recipient without one: their attempts were under way when the
// program ended.
func (q *Queue) indexAll(ctx context.Context) error {
	from, end := []byte{prefix, recipientTag}, []byte{prefix, recipientTag + 1}
	for from != nil {
		bare, next, err := q.readBare(ctx, from, end)
		if err != nil {
			return err
		}
		if err := q.index(ctx, bare); err != nil {
			return err
		}
		from = next
	}
	return nil
}

type bare struct {
	id ID
	r  *recipient
}

// readBare reads a page of recipient keys and returns those without an index key.
func (q *Queue) readBare(ctx context.Context, from, end []byte) (found []bare, next []byte, err error) {
	err = q.db.View(ctx, func(tx kv.Reader) error {
		found, next = nil, nil
		n := 0
		for p, err := range tx.Scan(from, end) {
			if err != nil {
				return err
			}
			if n++; n > 4*page || len(found) == page {
				next = append([]byte(nil), p.Key...)
				return nil
			}
			id, number, err := parseRecipientKey(p.Key)
			if err != nil {
				return err
			}
			r, err := decodeRecipient(number, p.Value)
			if err != nil {
				q.o.Log.Error("a queued recipient cannot be read", "id", string(id), "err", err)
				continue
			}
			if r.due.IsZero() {
				found = append(found, bare{id, r})
			}
			q.counts.recipients.Add(1)
		}
		return nil
	})
	return found, next, err
}

func (q *Queue) index(ctx context.Context, found []bare) error {
	if len(found) == 0 {
		return nil
	}
	now := q.o.Now()
	return q.db.Update(ctx, func(tx kv.Tx) error {
		for _, b := range found {
			b.r.due = now
			tx.Set(recipientKey(b.id, b.r.n), encodeRecipient(b.r))
			tx.Set(indexKey(b.r.to.Route, now, b.id, b.r.n), nil)
		}
		return nil
	})
}
