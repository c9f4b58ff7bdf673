package queue

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// recoverTime bounds Recover.
const recoverTime = 10 * time.Second

// Recover makes the local deliveries that were waiting, regardless of retry times, until done or
// 10 s. It comes before Start; what it does not get done goes on then.
func (q *Queue) Recover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	began := q.o.Now()
	n, err := q.hasten(ctx, mail.Local, began)
	if err != nil && ctx.Err() == nil {
		return err
	}
	q.setRecovering(true)
	defer q.setRecovering(false)
	q.local.start()
	for {
		q.takeDue(ctx, mail.Local, began)
		if q.idle() || !q.await(ctx) {
			break
		}
	}
	q.o.Log.LogAttrs(ctx, slog.LevelInfo, "queue recovered", slog.Int("hastened", n),
		slog.Int64("recipients_left", q.counts.recipients.Load()), slog.Duration("took", q.o.Now().Sub(began)))
	return nil
}

func (q *Queue) setRecovering(on bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.recovering = on
}

// idle reports whether no local recipient is under way.
func (q *Queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.locals.held == 0
}

// await waits until the scheduler is to look again. It returns false when the time is over.
func (q *Queue) await(ctx context.Context) bool {
	select {
	case <-q.wake:
		return true
	case <-ctx.Done():
	case <-q.done:
	}
	return false
}

// hasten makes every waiting recipient of a route due now, and returns how many it were.
func (q *Queue) hasten(ctx context.Context, r mail.Route, now time.Time) (int, error) {
	from, total := indexFrom(r, now.Add(time.Millisecond)), 0
	for {
		n, err := q.hastenPage(ctx, r, from, now)
		total += n
		if err != nil || n == 0 {
			return total, err
		}
	}
}

func (q *Queue) hastenPage(ctx context.Context, r mail.Route, from []byte, now time.Time) (n int, err error) {
	q.operating.Lock()
	defer q.operating.Unlock()
	var moved []indexed
	err = q.db.Update(ctx, func(tx kv.Tx) error {
		moved = moved[:0]
		for p, err := range tx.Scan(from, indexEnd(r)) {
			if err != nil {
				return err
			}
			k, err := parseIndexKey(p.Key)
			if err != nil {
				return err
			}
			if moved = append(moved, k); len(moved) == page {
				break
			}
		}
		for _, k := range moved {
			if err := moveDue(tx, r, k, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	q.moved(moved, now)
	return len(moved), nil
}

// moveDue gives a recipient another time.
func moveDue(tx kv.Tx, route mail.Route, k indexed, due time.Time) error {
	tx.Delete(indexKey(route, k.due, k.id, k.n))
	value, err := tx.Get(recipientKey(k.id, k.n))
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := decodeRecipient(k.n, value)
	if err != nil {
		return err
	}
	r.due = due
	tx.Set(recipientKey(k.id, k.n), encodeRecipient(r))
	tx.Set(indexKey(route, due, k.id, k.n), nil)
	return nil
}

// moved tells items in memory of the new time.
func (q *Queue) moved(ks []indexed, due time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, k := range ks {
		e := q.items[k.id]
		if e == nil {
			continue
		}
		for _, r := range e.recipients {
			if r.n == k.n {
				r.due = due
			}
		}
	}
}
