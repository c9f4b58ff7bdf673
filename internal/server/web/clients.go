package web

import (
	"context"
	"net/netip"
	"time"

	"candor/internal/mail"
)

// ClientHint is a program with a wrong setting, and the sentence for the person who uses it.
type ClientHint struct {
	Remote  netip.Addr `json:"rip"`
	Service string     `json:"svc"`
	Port    uint16     `json:"lport"`
	Seen    string     `json:"seen"`
	Name    string     `json:"sni,omitempty"`
	User    string     `json:"user,omitempty"` // as it was sent
	// Accounts are the one that was named, else those that logged in from the same network in the last 30 days.
	Accounts []mail.Address `json:"accounts,omitempty"`
	Times    int64          `json:"times"`
	First    time.Time      `json:"first"`
	Last     time.Time      `json:"last"`
	Words    string         `json:"words"`
}

// ClientHints returns the programs with wrong settings that were seen in the last 30 days, the newest first.
func (o *Operations) ClientHints(ctx context.Context) ([]ClientHint, error) { return o.Hints(ctx) }

// ClientHints returns the programs with wrong settings.
func (c *Client) ClientHints(ctx context.Context) ([]ClientHint, error) {
	return ask[[]ClientHint](ctx, c, "clients", none{})
}
