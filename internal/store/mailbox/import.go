package mailbox

import (
	"context"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// ImportKey names a message that another program kept, such that it is the same whenever that program's mail is
// read again.
type ImportKey [16]byte

// Import is a message of another program's mail.
type Import struct {
	Key     ImportKey
	Message Prepared
}

// Imported is what became of an Import.
type Imported struct {
	UID UID // 0: the mailbox has had the message before, and was left as it is
	// KeywordsLost tells that the mailbox has no room for some of the message's keywords.
	KeywordsLost bool
}

// Import stores messages at the end of mailbox id, all or none, and returns once they are durable. It
// notes their keys in the same transaction: what the mailbox has got once, also if it was expunged since, is not
// stored again. The account's quota does not hold: who moves an account in knows what is in it.
// Errors: NotFound, TooMany (the mailbox's UIDs are used up).
func (a *Account) Import(ctx context.Context, id ID, messages []Import) ([]Imported, error) {
	octets := 0
	for i := range messages {
		octets += messages[i].Message.Octets()
	}
	done := make([]Imported, len(messages))
	err := a.submit(ctx, &operation{octets: octets, exempt: true, run: func(c *change) error {
		b, err := c.box(id)
		if err != nil {
			return err
		}
		for i := range messages {
			if done[i], err = b.take(&messages[i]); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		return nil, err
	}
	for i := range done {
		if done[i].UID != 0 {
			a.store.stats.appended.Add(1)
		}
	}
	return done, nil
}

// take stores a message that the mailbox has not had.
func (b *box) take(m *Import) (Imported, error) {
	k := importKey(b.change.account.id, b.id, m.Key)
	if had, err := exists(b.change.tx, k); err != nil || had {
		return Imported{}, err
	}
	f, err := b.bits(m.Message.flags)
	lost := mail.IsKind(err, mail.TooMany)
	if lost {
		f = b.known(m.Message.flags)
	} else if err != nil {
		return Imported{}, err
	}
	uid, err := b.add(m.Message.record, m.Message.blob, m.Message.size, f)
	if err != nil {
		return Imported{}, err
	}
	b.change.tx.Set(k, nil)
	return Imported{UID: uid, KeywordsLost: lost}, nil
}

// HasImported reports for each of the keys whether mailbox id has had the message.
func (a *Account) HasImported(ctx context.Context, id ID, keys []ImportKey) ([]bool, error) {
	had := make([]bool, len(keys))
	err := a.store.db.View(ctx, func(r kv.Reader) (err error) {
		for i, k := range keys {
			if had[i], err = exists(r, importKey(a.id, id, k)); err != nil {
				return err
			}
		}
		return nil
	})
	return had, err
}

// ForgetImports lets messages that mailbox id has had be imported again.
func (a *Account) ForgetImports(ctx context.Context, id ID) error {
	return a.update(ctx, func(c *change) error {
		prefix := mailboxKey(a.id, kindImport, id)
		c.tx.DeleteRange(prefix, kv.PrefixEnd(prefix))
		return nil
	})
}

func importKey(account mail.AccountID, id ID, k ImportKey) []byte {
	return append(mailboxKey(account, kindImport, id), k[:]...)
}
