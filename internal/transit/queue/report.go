package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
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
			if err := errors.Join(r.write(tx), r.m.recording()(tx)); err != nil {
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
	q.counts.reports.Add(int64(len(reports)))
	q.counts.recipients.Add(int64(len(reports)))
	q.reported(e, dead, late, last)
	for i, r := range reports {
		q.logReport(e, r)
		q.launch(r, held[i])
	}
	return nil
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
		action message.Action
		rs     []*recipient
	}{{message.Failed, dead}, {message.Delayed, late}} {
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

func (q *Queue) composeOne(ctx context.Context, e *entry, action message.Action, rs []*recipient) (*entry, error) {
	w, err := q.db.CreateBlob(ctx)
	if err != nil {
		return nil, err
	}
	defer w.Discard()
	report := message.Report{
		By: q.ends.Load().Hostname, To: e.m.Envelope.ReversePath.Address, QueueID: string(e.m.ID), Arrival: e.created, Date: q.o.Now(),
		Header: q.header(ctx, e.m),
	}
	for _, r := range rs {
		report.Recipients = append(report.Recipients, q.recipientReport(e, r, action))
	}
	size, err := w.Write(report.Append(nil))
	if err != nil {
		return nil, err
	}
	blob, err := w.Finish()
	if err != nil {
		return nil, err
	}
	return q.newEntry(&Message{
		ID: q.NewID(),
		Envelope: mail.Envelope{
			// deliver sends it on where the sender is not ours.
			Recipients: []mail.Recipient{{Address: e.m.Envelope.ReversePath.Address, Route: mail.Local}},
			Received:   report.Date,
			SMTPUTF8:   report.SMTPUTF8(),
		},
		Blob: blob, BlobSize: int64(size),
		Inbound: mail.Transport{State: mail.LocalState, Floor: mail.LocalState, Mode: mail.NoTLS},
	}, report.Date)
}

// maxHeader is how much of a message is searched for the end of its header.
const maxHeader = 256 << 10

// header reads the header of a message. A report goes out without it rather than not at all.
func (q *Queue) header(ctx context.Context, m *Message) message.Header {
	blob, err := q.db.OpenBlob(ctx, m.Blob)
	if err != nil {
		q.o.Log.Error("reading a header for a delivery report failed", "id", string(m.ID), "err", err)
		return nil
	}
	defer blob.Close()
	h, _, err := message.ReadHeader(io.NewSectionReader(blob, 0, blob.Size()), maxHeader)
	if err != nil {
		q.o.Log.Error("reading a header for a delivery report failed", "id", string(m.ID), "err", err)
		return nil
	}
	return h
}

// recipientReport tells what became of a recipient.
func (q *Queue) recipientReport(e *entry, r *recipient, action message.Action) message.RecipientReport {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := mail.AsError(r.last.Err)
	host, _, _ := strings.Cut(r.last.RemoteMTA, "[")
	p := message.RecipientReport{
		Address: r.to.Address, Action: action, Status: err.Status, RemoteMTA: host,
		Reply: r.last.Reply, Transport: r.last.Transport, Text: err.Text, LastAttempt: r.last.At,
	}
	if !transportIsReason(err.Status, r.last.Transport.Fail) {
		p.Transport.Fail = ""
	}
	if action == message.Delayed {
		p.NextAttempt, p.RetryUntil = r.due, e.created.Add(q.o.Expire)
	}
	return p
}

// transportIsReason tells a failed check from one that was merely noted on the way to another
// failure: the status of the former is about security or about routing by the DNS (RFC 3463).
func transportIsReason(s mail.Status, fail string) bool {
	return s.Subject == 7 || (s.Subject == 4 && s.Detail == 3) || strings.HasPrefix(fail, "dns-")
}
