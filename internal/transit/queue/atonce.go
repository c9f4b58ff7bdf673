package queue

import (
	"context"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// AtOnce is a Transport for local recipients that can store a message which is not in the queue: the
// commit that makes it durable then delivers it as well.
type AtOnce interface {
	// DeliverAtOnce stores the message for its one recipient durably, in a transaction of which also is a step,
	// and returns the result. When that cannot be done now, for whatever reason, it stores nothing and returns
	// false.
	DeliverAtOnce(ctx context.Context, m *Message, to mail.Recipient, also func(kv.Tx) error) (Result, bool)
}

// atOncePatience is how long a message that comes in waits for its mailbox before it goes through the
// queue.
const atOncePatience = time.Second

// deliverAtOnce delivers a message that has just come in without putting it into the queue. It returns
// false, with nothing stored, for one that must go through the queue.
func (q *Queue) deliverAtOnce(ctx context.Context, e *entry, record func(kv.Tx) error) bool {
	local, ok := q.ends.Load().Local.(AtOnce)
	if !ok || len(e.recipients) > 1 || e.recipients[0].to.Route != mail.Local || !q.delivers() {
		return false
	}
	if q.local.has(localLane(e.recipients[0])) {
		return false // behind those that came before it
	}
	ctx, cancel := context.WithTimeout(ctx, atOncePatience)
	defer cancel()
	result, ok := local.DeliverAtOnce(ctx, e.m, e.recipients[0].to, record)
	if !ok {
		return false
	}
	q.counts.accepted.Add(1)
	q.counts.delivered.Add(1)
	q.logDelivery(e, &verdict{r: e.recipients[0], result: result, fate: settled})
	return true
}

// delivers reports whether the queue makes attempts.
func (q *Queue) delivers() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.started && !q.closed
}
