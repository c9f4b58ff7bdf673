package web

import (
	"context"

	"golang.org/x/sync/errgroup"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

// MaxAccounts is how many accounts can be imported at a time.
const MaxAccounts = 500

// atOnce is how many accounts get their mailboxes at a time; their transactions become durable together.
const atOnce = 64

// AccountImport is what became of each account that was to be imported: why it was left out, or "".
type AccountImport []string

// ImportAccounts makes accounts with their mailboxes, at most MaxAccounts. Errors: TooMany, the store's.
func (o *Operations) ImportAccounts(ctx context.Context, all []directory.ImportedAccount) (AccountImport, error) {
	if len(all) > MaxAccounts {
		return nil, mail.Errorf(mail.TooMany, "more than %d accounts at a time", MaxAccounts)
	}
	outcomes, err := o.Directory.ImportAccounts(ctx, all)
	if err != nil {
		return nil, err
	}
	refused := make(AccountImport, len(outcomes))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(atOnce)
	for i, done := range outcomes {
		if done.Err != nil {
			refused[i] = mail.AsError(done.Err).Text
			continue
		}
		work.Go(func() error { return o.Mailboxes.CreateAccount(ctx, done.Account.ID) })
	}
	return refused, work.Wait()
}

// OldPasswords returns the passwords that have no SCRAM keys.
func (o *Operations) OldPasswords(ctx context.Context) ([]directory.OldPassword, error) {
	return o.Directory.OldPasswords(ctx)
}

// ImportAccounts makes accounts with their mailboxes.
func (c *Client) ImportAccounts(ctx context.Context, all []directory.ImportedAccount) (AccountImport, error) {
	return ask[AccountImport](ctx, c, "account/import", all)
}

// OldPasswords returns the passwords that have no SCRAM keys.
func (c *Client) OldPasswords(ctx context.Context) ([]directory.OldPassword, error) {
	return ask[[]directory.OldPassword](ctx, c, "old-passwords", none{})
}
