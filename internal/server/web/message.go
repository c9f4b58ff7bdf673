package web

import (
	"context"

	"candor/internal/mail"
	"candor/internal/transit/queue"
)

// MessagePath is how a message travelled, as far as this server knows.
type MessagePath struct {
	queue.Record
	Words string `json:"words"` // what protected the hop that brought it
	// User is who submitted it, if it was an account that is still there.
	User *mail.Address `json:"user,omitempty"`
	// Recipients are those that the queue has still to deliver to.
	Recipients []QueueRecipient `json:"recipients,omitempty"`
}

// MessagePath returns how a message travelled. Errors: NotFound.
func (o *Operations) MessagePath(ctx context.Context, id queue.ID) (MessagePath, error) {
	r, err := o.Queue.Record(ctx, id)
	if err != nil {
		return MessagePath{}, err
	}
	p := MessagePath{Record: r, Words: r.Words("", "")}
	item, err := o.QueueShow(ctx, id)
	if err != nil && !mail.IsKind(err, mail.NotFound) {
		return p, err
	}
	p.Recipients = item.Recipients
	if r.Account == 0 {
		return p, nil
	}
	accounts, err := o.Directory.Accounts(ctx)
	for _, a := range accounts {
		if a.ID == r.Account {
			p.User = &a.Address
		}
	}
	return p, err
}

// MessageRecords returns the records of what an account sent, oldest first.
func (o *Operations) MessageRecords(ctx context.Context, a mail.Address) (all []queue.Record, err error) {
	account, err := o.Directory.Account(ctx, a)
	if err != nil {
		return nil, err
	}
	err = o.Queue.EachRecord(ctx, account.ID, func(r queue.Record) error {
		all = append(all, r)
		return nil
	})
	return all, err
}

// MessageCounts returns what is left of records that were too old.
func (o *Operations) MessageCounts(ctx context.Context) (all []queue.DayCount, err error) {
	err = o.Queue.EachDay(ctx, func(c queue.DayCount) error {
		all = append(all, c)
		return nil
	})
	return all, err
}

// MessagePath is Operations.MessagePath; and so on for the others.
func (c *Client) MessagePath(ctx context.Context, id queue.ID) (MessagePath, error) {
	return ask[MessagePath](ctx, c, "message/path", queueRequest{id})
}

// MessageRecords returns the records of what an account sent.
func (c *Client) MessageRecords(ctx context.Context, a mail.Address) ([]queue.Record, error) {
	return ask[[]queue.Record](ctx, c, "message/records", accountRequest{Address: a})
}

// MessageCounts returns the daily counts.
func (c *Client) MessageCounts(ctx context.Context) ([]queue.DayCount, error) {
	return ask[[]queue.DayCount](ctx, c, "message/counts", none{})
}
