package web

import (
	"context"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

// appPasswordRequest is an app password of an account, to be made or, with nothing but its name, revoked.
type appPasswordRequest struct {
	Address mail.Address `json:"address"`
	directory.NewAppPassword
}

// AppPassword is a new app password. It can be read this once.
type AppPassword struct {
	Password string `json:"password"`
}

// Credentials returns the credentials of an account, without anything secret.
func (o *Operations) Credentials(ctx context.Context, a mail.Address) ([]directory.Credential, error) {
	return o.Directory.Credentials(ctx, a)
}

// AddAppPassword generates an app password.
func (o *Operations) AddAppPassword(ctx context.Context, a mail.Address, n directory.NewAppPassword) (AppPassword, error) {
	password, err := o.Directory.AddAppPassword(ctx, a, n)
	return AppPassword{password}, err
}

// RevokeAppPassword removes an app password.
func (o *Operations) RevokeAppPassword(ctx context.Context, a mail.Address, name string) error {
	return o.Directory.RevokeAppPassword(ctx, a, name)
}

// Credentials is Operations.Credentials; and so on for the others.
func (c *Client) Credentials(ctx context.Context, a mail.Address) ([]directory.Credential, error) {
	return ask[[]directory.Credential](ctx, c, "credentials", accountRequest{Address: a})
}

// AddAppPassword generates an app password.
func (c *Client) AddAppPassword(ctx context.Context, a mail.Address, n directory.NewAppPassword) (AppPassword, error) {
	return ask[AppPassword](ctx, c, "app-password/add", appPasswordRequest{a, n})
}

// RevokeAppPassword removes an app password.
func (c *Client) RevokeAppPassword(ctx context.Context, a mail.Address, name string) error {
	return c.call(ctx, "app-password/revoke", appPasswordRequest{a, directory.NewAppPassword{Name: name}}, nil)
}
