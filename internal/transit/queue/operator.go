package queue

import (
	"context"
	"errors"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Item is a queued message as the operator sees it.
type Item struct {
	Message
	Recipients []RecipientState
	Created    time.Time
}

// RecipientState is a recipient that is not done yet. A zero Next: an attempt is under way.
type RecipientState struct {
	Recipient mail.Recipient `json:"recipient"`
	Attempts  int            `json:"attempts"`
	Next      time.Time      `json:"next"`
	Last      *Result        `json:"last,omitempty"`
}

// List returns the items, oldest first. Each is the one to use where there may be many.
func (q *Queue) List(ctx context.Context) ([]Item, error) {
	var items []Item
	err := q.Each(ctx, func(i Item) error {
		items = append(items, i)
		return nil
	})
	return items, err
}

// Each calls f for each item, oldest first, holding few in memory. An error of f ends it.
func (q *Queue) Each(ctx context.Context, f func(Item) error) error {
	return q.eachID(ctx, func(id ID) error {
		item, err := q.Show(ctx, id)
		if mail.IsKind(err, mail.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return f(item)
	})
}

// eachID calls f for each item, page by page, so that f may write.
func (q *Queue) eachID(ctx context.Context, f func(ID) error) error {
	from, end := []byte{prefix, itemTag}, []byte{prefix, itemTag + 1}
	for from != nil {
		var ids []ID
		err := q.db.View(ctx, func(tx kv.Reader) error {
			ids = nil
			for p, err := range tx.Scan(from, end) {
				if err != nil {
					return err
				}
				if ids = append(ids, ID(p.Key[2:])); len(ids) == page {
					break
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := f(id); err != nil {
				return err
			}
		}
		from = nil
		if len(ids) == page {
			from = append(itemKey(ids[page-1]), 0)
		}
	}
	return nil
}

// Show returns one item. Errors: NotFound.
func (q *Queue) Show(ctx context.Context, id ID) (Item, error) {
	e, err := q.load(ctx, id)
	if errors.Is(err, kv.ErrNotFound) {
		return Item{}, notQueued(id)
	}
	if err != nil {
		return Item{}, err
	}
	e.m.entry = nil
	item := Item{Message: *e.m, Created: e.created}
	for _, r := range e.recipients {
		s := RecipientState{Recipient: r.to, Attempts: r.attempts, Next: r.due, Last: r.last}
		if q.underWay(indexed{id: id, n: r.n}) {
			s.Next = time.Time{}
		}
		item.Recipients = append(item.Recipients, s)
	}
	return item, nil
}

func notQueued(id ID) error {
	return mail.Errorf(mail.NotFound, "%.40s is not in the queue", string(id))
}

// Retry makes the waiting recipients of an item, or with "" of all items, due now, and returns of how
// many recipients. Errors: NotFound.
func (q *Queue) Retry(ctx context.Context, id ID) (int, error) {
	now := q.o.Now()
	defer func() {
		q.noteIndexed(mail.Local, now)
		q.noteIndexed(mail.Remote, now)
	}()
	if id != "" {
		return q.retryOne(ctx, id, now)
	}
	total := 0
	for _, r := range []mail.Route{mail.Local, mail.Remote} {
		n, err := q.hasten(ctx, r, now)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (q *Queue) retryOne(ctx context.Context, id ID, now time.Time) (int, error) {
	q.operating.Lock()
	defer q.operating.Unlock()
	var ks []indexed
	err := q.db.Update(ctx, func(tx kv.Tx) error {
		ks = ks[:0]
		e, err := q.read(tx, id)
		if err != nil {
			return err
		}
		for _, r := range e.recipients {
			k := indexed{r.due, id, r.n}
			if r.due.IsZero() || q.underWay(k) {
				continue
			}
			if err := moveDue(tx, r.to.Route, k, now); err != nil {
				return err
			}
			ks = append(ks, k)
		}
		return nil
	})
	if errors.Is(err, kv.ErrNotFound) {
		return 0, notQueued(id)
	}
	if err != nil {
		return 0, err
	}
	q.moved(ks, now)
	return len(ks), nil
}

// Remove removes an item, or with "" all items, without a report, and returns how many. What is under
// way to another host may still arrive. Errors: NotFound.
func (q *Queue) Remove(ctx context.Context, id ID) (int, error) {
	if id != "" {
		return 1, q.removeOne(ctx, id)
	}
	total := 0
	err := q.eachID(ctx, func(id ID) error {
		err := q.removeOne(ctx, id)
		if mail.IsKind(err, mail.NotFound) {
			return nil
		}
		total++
		return err
	})
	return total, err
}

func (q *Queue) removeOne(ctx context.Context, id ID) error {
	q.operating.Lock()
	defer q.operating.Unlock()
	recipients := 0
	err := q.db.Update(ctx, func(tx kv.Tx) error {
		e, err := q.read(tx, id)
		if err != nil {
			return err
		}
		recipients = len(e.recipients)
		for _, r := range e.recipients {
			e.deleteRecipient(tx, r)
		}
		e.deleteItem(tx)
		return nil
	})
	if errors.Is(err, kv.ErrNotFound) {
		return notQueued(id)
	}
	if err != nil {
		return err
	}
	q.removed(id)
	q.counts.recipients.Add(-int64(recipients))
	q.o.Log.Info("message removed from the queue by an operator", "id", string(id))
	return nil
}

// removed brings memory up to a removal.
func (q *Queue) removed(id ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.items[id]
	if e == nil {
		return
	}
	e.removed = true
	for _, r := range e.recipients {
		r.phase = gone
	}
	delete(q.items, id)
}
