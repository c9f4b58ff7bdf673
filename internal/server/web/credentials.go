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

// policyRequest says what logins of an account must be. Of its fields, each operation looks at its own.
type policyRequest struct {
	Address mail.Address          `json:"address"`
	Require directory.Requirement `json:"require,omitempty"`
	Scopes  []directory.Scope     `json:"scopes,omitempty"`
}

// SetRequirement says what logins of an account must be.
func (o *Operations) SetRequirement(ctx context.Context, a mail.Address, r directory.Requirement) error {
	return o.Directory.SetRequirement(ctx, a, r)
}

// SetPasswordScopes says what the main password of an account may be used for.
func (o *Operations) SetPasswordScopes(ctx context.Context, a mail.Address, scopes []directory.Scope) error {
	return o.Directory.SetPasswordScopes(ctx, a, scopes)
}

// CachedLogins returns what the cache of right passwords remembers of an account.
func (o *Operations) CachedLogins(ctx context.Context, a mail.Address) ([]directory.CachedLogin, error) {
	return o.Directory.CachedLogins(ctx, a)
}

// ForgetCached makes the cache of right passwords forget an account.
func (o *Operations) ForgetCached(ctx context.Context, a mail.Address) ([]directory.CachedLogin, error) {
	return o.Directory.ForgetCached(ctx, a)
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

// SetRequirement says what logins of an account must be.
func (c *Client) SetRequirement(ctx context.Context, a mail.Address, r directory.Requirement) error {
	return c.call(ctx, "account/require", policyRequest{Address: a, Require: r}, nil)
}

// SetPasswordScopes says what the main password of an account may be used for.
func (c *Client) SetPasswordScopes(ctx context.Context, a mail.Address, scopes []directory.Scope) error {
	return c.call(ctx, "account/password/scopes", policyRequest{Address: a, Scopes: scopes}, nil)
}

// CachedLogins returns what the cache of right passwords remembers of an account.
func (c *Client) CachedLogins(ctx context.Context, a mail.Address) ([]directory.CachedLogin, error) {
	return ask[[]directory.CachedLogin](ctx, c, "auth/cache", accountRequest{Address: a})
}

// ForgetCached makes the cache of right passwords forget an account.
func (c *Client) ForgetCached(ctx context.Context, a mail.Address) ([]directory.CachedLogin, error) {
	return ask[[]directory.CachedLogin](ctx, c, "auth/cache/drop", accountRequest{Address: a})
}
