package mailbox

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"

	"candor/internal/mail"
)

// Rename renames a mailbox with its children; renaming INBOX moves its messages to a new mailbox
// (RFC 9051, section 6.3.6). Errors: NotFound, Exists, Syntax, Forbidden, TooMany.
func (a *Account) Rename(ctx context.Context, from, to string) error {
	from, err := parseName(from)
	if err != nil {
		return noSuchMailbox()
	}
	to, err = parseName(strings.TrimSuffix(to, separator))
	if err != nil {
		return err
	}
	if isBelow(to, from) && from != inbox {
		return mail.Errorf(mail.Forbidden, "a mailbox cannot be moved below itself")
	}
	if from == inbox {
		return a.renameInbox(ctx, to)
	}
	return a.update(ctx, func(c *change) error { return c.rename(from, to) })
}

func (c *change) rename(from, to string) error {
	m, err := lookup(c.tx, c.account.id, from)
	if err != nil {
		return err
	}
	if err := c.nameFree(to); err != nil {
		return err
	}
	children, err := c.children(from)
	if err != nil {
		return err
	}
	if err := c.makeParents(to); err != nil {
		return err
	}
	if err := c.move(m.ID, from, to); err != nil {
		return err
	}
	for _, child := range children {
		if err := c.move(child.ID, child.Name, to+child.Name[len(from):]); err != nil {
			return err
		}
	}
	return c.prune(from)
}

func (c *change) nameFree(name string) error {
	taken, err := exists(c.tx, nameKey(c.account.id, kindName, name))
	if err == nil && taken {
		return mail.Errorf(mail.Exists, "mailbox %q exists", name)
	}
	return err
}

// children returns ID and name of every mailbox below name.
func (c *change) children(name string) ([]Info, error) {
	var found []Info
	prefix := key(c.account.id, kindName, 0)
	from, to := c.below(name)
	for p, err := range c.tx.Scan(from, to) {
		if err != nil {
			return nil, err
		}
		found = append(found, Info{ID: idOf(p.Value), Name: string(p.Key[len(prefix):])})
	}
	return found, nil
}

// move gives one mailbox another name.
func (c *change) move(id ID, from, to string) error {
	if _, err := parseName(to); err != nil {
		return err
	}
	row, err := readMailboxRow(c.tx, c.account.id, id)
	if err != nil {
		return err
	}
	row.name = to
	c.describe(id, row)
	c.tx.Delete(nameKey(c.account.id, kindName, from))
	c.tx.Set(nameKey(c.account.id, kindName, to), binary.BigEndian.AppendUint64(nil, uint64(id)))
	return c.tell(id, row)
}

// tell has the mailbox's table learn its row.
func (c *change) tell(id ID, row mailboxRow) (err error) {
	info := row.info(id)
	info.Subscribed, err = exists(c.tx, nameKey(c.account.id, kindSubscription, row.name))
	c.events = append(c.events, event{id: id, info: &info})
	return err
}

// inboxBatch is how many messages of INBOX are moved in one transaction.
const inboxBatch = 1000

// renameInbox makes a mailbox and moves all messages of INBOX into it, some at a time, so that the
// largest INBOX does not make a transaction that memory cannot hold.
func (a *Account) renameInbox(ctx context.Context, to string) error {
	var source, target Info
	var end UID
	err := a.update(ctx, func(c *change) (err error) {
		if source, err = lookup(c.tx, a.id, inbox); err != nil {
			return err
		}
		if target, err = c.create(to, ""); err != nil {
			return err
		}
		b, err := c.box(source.ID)
		if err == nil {
			end = b.counters.uidNext
		}
		return err
	})
	for more := true; more && err == nil; {
		err = a.update(ctx, func(c *change) (err error) {
			more, err = c.moveBefore(source.ID, end, target.ID)
			return err
		})
	}
	return err
}

// moveBefore moves messages with UIDs before end, and reports whether there may be more.
func (c *change) moveBefore(from ID, end UID, to ID) (more bool, err error) {
	source, err := c.box(from)
	if err != nil {
		return false, err
	}
	target, err := c.box(to)
	if err != nil {
		return false, err
	}
	entries, err := source.first(min(source.counters.messages, inboxBatch), func(Flags) bool { return true })
	if err != nil {
		return false, err
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.UID >= end })
	if len(entries) == 0 {
		return false, nil
	}
	copies, err := target.copyFrom(source, entries)
	if err != nil {
		return false, err
	}
	return true, source.remove(entries[:len(copies)])
}
