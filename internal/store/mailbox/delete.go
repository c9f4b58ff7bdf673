package mailbox

import (
	"context"
	"encoding/binary"

	"candor/internal/mail"
)

// Delete removes a mailbox and its messages. One with children becomes NoSelect, and vanishes with
// the last of them; INBOX cannot be deleted. Errors: NotFound, Forbidden. RFC 9051, section 6.3.5.
func (a *Account) Delete(ctx context.Context, name string) error {
	name, err := parseName(name)
	if err != nil {
		return noSuchMailbox()
	}
	if name == inbox {
		return mail.Errorf(mail.Forbidden, "INBOX cannot be deleted")
	}
	if err := a.update(ctx, func(c *change) error { return c.delete(name) }); err != nil {
		return err
	}
	a.store.wakeSweeper()
	return nil
}

func (c *change) delete(name string) error {
	m, err := lookup(c.tx, c.account.id, name)
	if err != nil {
		return err
	}
	parent, err := c.hasChildren(name)
	if err != nil {
		return err
	}
	if parent && m.NoSelect {
		return mail.Errorf(mail.Forbidden, "mailbox %q has children", name)
	}
	if !m.NoSelect {
		if err := c.release(m.ID); err != nil {
			return err
		}
	}
	c.discard(m)
	if parent {
		c.makeNoSelect(name)
		return nil
	}
	return c.prune(name)
}

// makeNoSelect makes a name that holds no messages.
func (c *change) makeNoSelect(name string) {
	c.row.lastID++
	c.row.mailboxes++
	id := c.row.lastID
	c.tx.Set(nameKey(c.account.id, kindName, name), binary.BigEndian.AppendUint64(nil, uint64(id)))
	c.describe(id, mailboxRow{name: name, noSelect: true})
}
