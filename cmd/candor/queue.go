package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"candor/internal/server/web"
	"candor/internal/transit/queue"
)

type queueCmd struct {
	List   queueListCmd   `cmd:"" help:"List what is queued."`
	Show   queueShowCmd   `cmd:"" help:"Show one message's recipients and their last attempts."`
	Retry  queueRetryCmd  `cmd:"" help:"Try again now."`
	Remove queueRemoveCmd `cmd:"" help:"Remove from the queue without a report to the sender."`
}

type queueListCmd struct{}

// Run lists the queue.
func (*queueListCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		items, err := o.QueueList(ctx)
		if err != nil {
			return err
		}
		return list(std.out, c.JSON, items, func(i web.QueueItem) string {
			to := ""
			if len(i.Recipients) > 0 {
				to = i.Recipients[0].Address.String()
			}
			if n := len(i.Recipients); n > 1 {
				to += fmt.Sprintf(" and %d more", n-1)
			}
			return fmt.Sprintf("%s\t%s\t%d octets\tfrom %s\tto %s", i.ID, i.Created.Format(time.RFC3339), i.Size, i.ReversePath, to)
		})
	})
}

type queueShowCmd struct {
	ID string `arg:"" help:"Id of the message."`
}

// Run shows one message.
func (q *queueShowCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		i, err := o.QueueShow(ctx, queue.ID(q.ID))
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(i)
		}
		fmt.Fprintf(std.out, "%s from %s, %d octets, accepted %s\n  came in: %s\n", i.ID, i.ReversePath, i.Size, i.Created.Format(time.RFC3339), i.Inbound.Words("", ""))
		t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		for _, r := range i.Recipients {
			next := "under way"
			if !r.Next.IsZero() {
				next = "next " + r.Next.Format(time.RFC3339)
			}
			fmt.Fprintf(t, "  %s\t%d attempts\t%s\t%s %s\n", r.Address, r.Attempts, next, r.RemoteMTA, r.Reply)
			if r.Transport != nil {
				fmt.Fprintf(t, "\tlast attempt: %s\n", r.Transport.Words(r.RemoteMTA, r.Address.Domain))
			}
		}
		return t.Flush()
	})
}

// oneOrAll names one message or all.
type oneOrAll struct {
	ID  string `arg:"" optional:"" help:"Id of the message."`
	All bool   `help:"All messages."`
}

func (s oneOrAll) id() (queue.ID, error) {
	if s.All == (s.ID != "") {
		return "", errors.New("name one id, or --all")
	}
	return queue.ID(s.ID), nil
}

type queueRetryCmd struct{ oneOrAll }

// Run makes recipients due now.
func (q *queueRetryCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	id, err := q.id()
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		n, err := o.QueueRetry(ctx, id)
		if err != nil {
			return err
		}
		fmt.Fprintf(std.out, "%d will be tried now.\n", n)
		return nil
	})
}

type queueRemoveCmd struct{ oneOrAll }

// Run takes messages out of the queue.
func (q *queueRemoveCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	id, err := q.id()
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		n, err := o.QueueRemove(ctx, id)
		if err != nil {
			return err
		}
		fmt.Fprintf(std.out, "%d removed.\n", n)
		return nil
	})
}
