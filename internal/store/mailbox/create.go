package mailbox

import (
	"context"
	"strings"

	"candor/internal/mail"
)

// Create makes a mailbox and, as RFC 9051, section 6.3.4 says, the parents that are missing. A separator at
// the end of the name says that it will get children, and is dropped.
// Errors: Exists, Syntax, TooMany, Unsupported (a special use that cannot be had).
func (a *Account) Create(ctx context.Context, name string, use SpecialUse) (Info, error) {
	name, err := parseName(strings.TrimSuffix(name, separator))
	if err != nil {
		return Info{}, err
	}
	if use, err = parseUse(use); err != nil {
		return Info{}, err
	}
	var made Info
	err = a.update(ctx, func(c *change) (err error) {
		made, err = c.create(name, use)
		return err
	})
	return made, err
}

func (c *change) create(name string, use SpecialUse) (Info, error) {
	old, err := lookup(c.tx, c.account.id, name)
	switch {
	case err == nil && !old.NoSelect:
		return Info{}, mail.Errorf(mail.Exists, "mailbox %q exists", name)
	case err == nil:
		// A name kept for its children becomes a mailbox; it shares nothing with the one deleted before.
		c.discard(old)
	case !mail.IsKind(err, mail.NotFound):
		return Info{}, err
	}
	if err := c.useFree(use); err != nil {
		return Info{}, err
	}
	if err := c.makeParents(name); err != nil {
		return Info{}, err
	}
	if c.row.mailboxes >= maxMailboxes {
		return Info{}, tooManyMailboxes()
	}
	made := c.make(name, use)
	made.Subscribed, err = exists(c.tx, nameKey(c.account.id, kindSubscription, name))
	return made, err
}

// parseUse makes a special use canonical. Errors: Unsupported.
func parseUse(use SpecialUse) (SpecialUse, error) {
	for _, known := range []SpecialUse{"", UseArchive, UseDrafts, UseJunk, UseSent, UseTrash} {
		if strings.EqualFold(string(use), string(known)) {
			return known, nil
		}
	}
	return "", mail.Errorf(mail.Unsupported, "no mailbox can have the special use %.40s", use)
}

// useFree checks that no mailbox has the use yet: clients that find two do not agree on one.
func (c *change) useFree(use SpecialUse) error {
	if use == "" {
		return nil
	}
	all, err := mailboxes(c.tx, c.account.id)
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.SpecialUse == use {
			return mail.Errorf(mail.Unsupported, "mailbox %q has the special use %s", m.Name, use)
		}
	}
	return nil
}
