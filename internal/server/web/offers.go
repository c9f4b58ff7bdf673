package web

import (
	"context"

	"candor/internal/store/directory"
)

// Offers tells of every mechanism whether it is offered at each service.
func (o *Operations) Offers(context.Context) ([]directory.Offer, error) {
	var all []directory.Offer
	for _, s := range []directory.Service{directory.Submission, directory.IMAP, directory.POP3} {
		all = append(all, o.Directory.Offers(s)...)
	}
	return all, nil
}

// Offers is Operations.Offers.
func (c *Client) Offers(ctx context.Context) ([]directory.Offer, error) {
	return ask[[]directory.Offer](ctx, c, "offers", none{})
}
