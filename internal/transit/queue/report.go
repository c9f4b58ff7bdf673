package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// report tells an item's sender of recipients that failed for good and of those that are late, and
// removes the former, all in one transaction: there is one report for each. It does not give up
// while the queue is open.
func (q *Queue) report(e *entry, dead, late []*recipient) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		err := q.tryReport(e, dead, late)
		if err == nil {
			return
		}
		q.o.Log.Error("making a delivery report failed", "id", string(e.m.ID), "err", err)
		select {
		case <-time.After(wait):
		case <-q.ctx.Done():
			return
		}
	}
}

func (q *Queue) tryReport(e *entry, dead, late []*recipient) error {
	ctx := context.WithoutCancel(q.ctx)
	reports, err := q.compose(ctx, e, dead, late)
	if err != nil {
		return err
	}
	held := make([]bool, len(reports))
	for i, r := range reports {
		held[i] = q.hold(r)
	}
	last := false
	err = q.db.Update(ctx, func(tx kv.Tx) error {
		if _, err := tx.Get(itemKey(e.m.ID)); err != nil {
			return err
		}
		for _, r := range reports {
			if err := r.write(tx); err != nil {
				return err
			}
		}
		last = q.leaves(e, dead) == 0
		return e.writeReported(tx, dead, late, last)
	})
	if err != nil {
		for i, r := range reports {
			q.drop(r, held[i])
		}
		if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		reports = nil // an operator removed the item, and nobody waits for a report
	}
	q.reported(e, dead, late, last)
	for i, r := range reports {
		q.counts.reports.Add(1)
		q.counts.recipients.Add(1)
		q.logReport(e, r)
		q.launch(r, held[i])
	}
	return nil
}

// leaves counts the recipients that are left without dead.
func (q *Queue) leaves(e *entry, dead []*recipient) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(e.recipients) - len(dead)
}

// writeReported removes the dead and marks the late as warned of. The latter may be under way again.
func (e *entry) writeReported(tx kv.Tx, dead, late []*recipient, last bool) error {
	for _, r := range dead {
		e.deleteRecipient(tx, r)
	}
	for _, r := range late {
		key := recipientKey(e.m.ID, r.n)
		value, err := tx.Get(key)
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		stored, err := decodeRecipient(r.n, value)
		if err != nil {
			return err
		}
		stored.warned = true
		tx.Set(key, encodeRecipient(stored))
	}
	if last {
		e.deleteItem(tx)
	}
	return nil
}

// reported brings memory up to what was written.
func (q *Queue) reported(e *entry, dead, late []*recipient, last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range dead {
		if r.phase != gone {
			r.phase = gone
			q.counts.recipients.Add(-1)
		}
	}
	for _, r := range late {
		r.warned, r.delayed = true, false
	}
	e.removed = e.removed || last
	e.forget()
}

// compose makes the reports as items of their own: at most one of failures and one of delays. A
// message with a null reverse-path gets none (RFC 5321, section 6.1).
func (q *Queue) compose(ctx context.Context, e *entry, dead, late []*recipient) ([]*entry, error) {
	if e.m.Envelope.ReversePath.Null() {
		for _, r := range dead {
			q.o.Log.Warn("undeliverable message without a sender dropped", "id", string(e.m.ID), "rcpt", r.to.Address.String())
		}
		return nil, nil
	}
	var reports []*entry
	for _, part := range []struct {
		action string
		rs     []*recipient
	}{{"failed", dead}, {"delayed", late}} {
		if len(part.rs) == 0 {
			continue
		}
		r, err := q.composeOne(ctx, e, part.action, part.rs)
		if err != nil {
			return nil, fmt.Errorf("composing a report of %s: %w", e.m.ID, err)
		}
		reports = append(reports, r)
	}
	return reports, nil
}

func (q *Queue) composeOne(ctx context.Context, e *entry, action string, rs []*recipient) (*entry, error) {
	w, err := q.db.CreateBlob(ctx)
	if err != nil {
		return nil, err
	}
	defer w.Discard()
	size, err := q.writeReport(ctx, w, e, action, rs)
	if err != nil {
		return nil, err
	}
	blob, err := w.Finish()
	if err != nil {
		return nil, err
	}
	now := q.o.Now()
	return q.newEntry(&Message{
		ID: q.NewID(),
		Envelope: mail.Envelope{
			// deliver sends it on where the sender is not ours.
			Recipients: []mail.Recipient{{Address: e.m.Envelope.ReversePath.Address, Route: mail.Local}},
			Received:   now,
			SMTPUTF8:   e.m.Envelope.SMTPUTF8,
		},
		Blob: blob, BlobSize: size,
		Inbound: mail.Transport{State: mail.LocalState, Floor: mail.LocalState, Mode: mail.NoTLS},
	}, now)
}
