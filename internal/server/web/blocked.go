package web

import (
	"context"
	"net/netip"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

// unblockRequest names a network or an account.
type unblockRequest struct {
	Network netip.Prefix `json:"network"`
	Account mail.Address `json:"account,omitzero"`
}

// unblocked says whether there was anything to forget.
type unblocked struct {
	Found bool `json:"found"`
}

// Blocked returns what wrong logins have led to.
//
// Errors: Unavailable where no server runs.
func (o *Operations) Blocked(ctx context.Context) ([]directory.Blocked, error) {
	if err := o.counting(); err != nil {
		return nil, err
	}
	return o.Directory.Blocked(ctx)
}

// Unblock forgets the wrong logins from a network, and returns whether there were any. Errors: as Blocked.
func (o *Operations) Unblock(ctx context.Context, n netip.Prefix) (bool, error) {
	if err := o.counting(); err != nil {
		return false, err
	}
	return o.Directory.Unblock(ctx, n)
}

// UnblockAccount forgets the wrong logins for an account, and returns whether there were any. Errors: as Blocked, NotFound.
func (o *Operations) UnblockAccount(ctx context.Context, a mail.Address) (bool, error) {
	if err := o.counting(); err != nil {
		return false, err
	}
	return o.Directory.UnblockAccount(ctx, a)
}

func (o *Operations) counting() error {
	if o.Reconfigure == nil {
		return mail.Errorf(mail.Unavailable, "the server is not running; it counts wrong logins in its memory, and forgets them when it ends")
	}
	return nil
}

// Blocked is Operations.Blocked; and so on for the others.
func (c *Client) Blocked(ctx context.Context) ([]directory.Blocked, error) {
	return ask[[]directory.Blocked](ctx, c, "blocked", none{})
}

// Unblock forgets the wrong logins from a network.
func (c *Client) Unblock(ctx context.Context, n netip.Prefix) (bool, error) {
	answer, err := ask[unblocked](ctx, c, "unblock", unblockRequest{Network: n})
	return answer.Found, err
}

// UnblockAccount forgets the wrong logins for an account.
func (c *Client) UnblockAccount(ctx context.Context, a mail.Address) (bool, error) {
	answer, err := ask[unblocked](ctx, c, "unblock/account", unblockRequest{Account: a})
	return answer.Found, err
}
