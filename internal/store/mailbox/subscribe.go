package mailbox

import (
	"context"

	"candor/internal/mail"
)

// Subscribe and Unsubscribe change the subscription to a name, which need not exist.
// Errors: Syntax, TooMany.
func (a *Account) Subscribe(ctx context.Context, name string) error {
	return a.subscription(ctx, name, (*change).subscribe)
}

// Unsubscribe takes a subscription back; without one it does nothing.
func (a *Account) Unsubscribe(ctx context.Context, name string) error {
	return a.subscription(ctx, name, (*change).unsubscribe)
}

func (a *Account) subscription(ctx context.Context, name string, set func(c *change, k []byte, subscribed bool) error) error {
	name, err := parseName(name)
	if err != nil {
		return err
	}
	return a.update(ctx, func(c *change) error {
		k := nameKey(a.id, kindSubscription, name)
		subscribed, err := exists(c.tx, k)
		if err != nil {
			return err
		}
		if err := set(c, k, subscribed); err != nil {
			return err
		}
		return c.tellName(name)
	})
}

func (c *change) subscribe(k []byte, subscribed bool) error {
	if subscribed {
		return nil
	}
	if c.row.subscriptions >= maxSubscriptions {
		return mail.Errorf(mail.TooMany, "an account can have %d subscriptions", maxSubscriptions)
	}
	c.row.subscriptions++
	c.relayout()
	c.tx.Set(k, nil)
	return nil
}

func (c *change) unsubscribe(k []byte, subscribed bool) error {
	if !subscribed {
		return nil
	}
	c.row.subscriptions--
	c.relayout()
	c.tx.Delete(k)
	return nil
}

// tellName has the table of the mailbox of that name, if there is one, learn its row.
func (c *change) tellName(name string) error {
	m, err := lookup(c.tx, c.account.id, name)
	if mail.IsKind(err, mail.NotFound) {
		return nil
	}
	if err == nil {
		c.events = append(c.events, event{id: m.ID, info: &m})
	}
	return err
}
