package directory

import (
	"context"

	"candor/internal/mail"
)

// Unlimited, as a bound of a Quota, is none, whatever the default is.
const Unlimited = -1

// Quota bounds what an account may hold. For a bound that is 0 the default holds.
type Quota struct {
	Storage  int64 `json:"storage,omitempty"` // octets
	Messages int64 `json:"messages,omitempty"`
}

// Quota returns what an account may hold; a bound that is 0 is none.
func (d *Directory) Quota(id mail.AccountID) Quota {
	var own Quota
	d.view(func(s *state) {
		if a := s.accounts[id]; a != nil {
			own = a.Quota
		}
	})
	standard, _ := d.quota.Load().(Quota)
	return Quota{Storage: bound(own.Storage, standard.Storage), Messages: bound(own.Messages, standard.Messages)}
}

func bound(own, standard int64) int64 {
	if own == 0 {
		own = standard
	}
	return max(own, 0)
}

// SetQuota replaces an account's own quota. What it holds already stays.
//
// Errors: NotFound, Syntax.
func (d *Directory) SetQuota(ctx context.Context, a mail.Address, q Quota) error {
	if q.Storage < Unlimited || q.Messages < Unlimited {
		return mail.Errorf(mail.Syntax, "a quota cannot be negative")
	}
	return d.edit(ctx, a, func(a *account) (*account, error) {
		next := *a
		next.Quota = q
		return &next, nil
	})
}
