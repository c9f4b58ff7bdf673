package mailbox

import (
	"context"
	"encoding/binary"
	"fmt"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

const (
	// renewMargin is how many mailboxes may have been made in an account within the second of its Renew and in
	// bursts before, each of which took a UIDVALIDITY.
	renewMargin = 1 << 16
	// renewIDs is more mailboxes than an account can have made and lost.
	renewIDs = 1 << 32
)

// Renew gives every mailbox of every account a UIDVALIDITY greater than any that it, or another one of its name, has
// had, and returns how many there are. It is for a store that has gone back to an earlier state: since then clients
// may have seen UIDs that will now be given to other messages, and they must forget what they know (RFC 9051,
// section 2.3.1.1); MODSEQs and the UIDLs of POP3 are only good together with a UIDVALIDITY. It also passes over the
// ids of mailboxes that may have been lost, which RFC 8474 wants never to be used again.
func (s *Store) Renew(ctx context.Context) (mailboxes int, err error) {
	accounts, err := s.accountIDs(ctx)
	if err != nil {
		return 0, err
	}
	for _, id := range accounts {
		a, err := s.Account(ctx, id)
		if err != nil {
			return mailboxes, err
		}
		renewed := 0
		err = a.update(ctx, func(c *change) (err error) {
			renewed, err = c.renew()
			return err
		})
		if err != nil {
			return mailboxes, fmt.Errorf("renewing the UIDVALIDITY of account %d: %w", id, err)
		}
		mailboxes += renewed
	}
	return mailboxes, nil
}

func (c *change) renew() (renewed int, err error) {
	all, err := mailboxes(c.tx, c.account.id)
	if err != nil {
		return 0, err
	}
	c.modSeq()
	c.row.lastID += renewIDs
	c.row.uidValidity = max(c.row.uidValidity, UIDValidity(c.account.store.now().Unix())) + renewMargin
	for _, m := range all {
		if m.NoSelect {
			continue
		}
		row, err := readMailboxRow(c.tx, c.account.id, m.ID)
		if err != nil {
			return 0, err
		}
		c.row.uidValidity++
		row.uidValidity = c.row.uidValidity
		c.describe(m.ID, row)
		if err := c.tell(m.ID, row); err != nil {
			return 0, err
		}
		renewed++
	}
	return renewed, nil
}

// accountIDs returns the accounts that there are, in order.
func (s *Store) accountIDs(ctx context.Context) ([]mail.AccountID, error) {
	var ids []mail.AccountID
	err := s.db.View(ctx, func(r kv.Reader) error {
		for id := mail.AccountID(1); ; id++ {
			var next []byte
			for p, err := range r.Scan(key(id, 0, 0)[:9], []byte{keySpace + 1}) {
				if err != nil {
					return err
				}
				next = append(next, p.Key...)
				break
			}
			if len(next) < 9 {
				return nil
			}
			id = mail.AccountID(binary.BigEndian.Uint64(next[1:]))
			found, err := exists(r, key(id, kindAccount, 0))
			if err != nil {
				return err
			}
			if found {
				ids = append(ids, id)
			}
		}
	})
	return ids, err
}
