package main

import (
	"context"

	"candor/internal/mail"
	"candor/internal/server/web"
	"candor/internal/store/directory"
)

// authority is what commands ask for that concerns who may log in, and how.
type authority interface {
	ImportAccounts(context.Context, []directory.ImportedAccount) (web.AccountImport, error)
	SetRequirement(context.Context, mail.Address, directory.Requirement) error
	SetPasswordScopes(context.Context, mail.Address, []directory.Scope) error
	Credentials(context.Context, mail.Address) ([]directory.Credential, error)
	AddAppPassword(context.Context, mail.Address, directory.NewAppPassword) (web.AppPassword, error)
	RevokeAppPassword(ctx context.Context, a mail.Address, name string) error
	OldPasswords(context.Context) ([]directory.OldPassword, error)
	CachedLogins(context.Context, mail.Address) ([]directory.CachedLogin, error)
	ForgetCached(context.Context, mail.Address) ([]directory.CachedLogin, error)
}
