package web

import (
	"context"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

// certificateRequest is a client certificate of an account, to be added or, with nothing but its name, removed.
type certificateRequest struct {
	Address mail.Address `json:"address"`
	directory.NewCertificate
}

// AddCertificate lets an account log in with a client certificate.
func (o *Operations) AddCertificate(ctx context.Context, a mail.Address, n directory.NewCertificate) error {
	return o.Directory.AddCertificate(ctx, a, n)
}

// RemoveCertificate takes a client certificate from an account.
func (o *Operations) RemoveCertificate(ctx context.Context, a mail.Address, name string) error {
	return o.Directory.RemoveCertificate(ctx, a, name)
}

// AddCertificate is Operations.AddCertificate; and so on for the other.
func (c *Client) AddCertificate(ctx context.Context, a mail.Address, n directory.NewCertificate) error {
	return c.call(ctx, "certificate/add", certificateRequest{a, n}, nil)
}

// RemoveCertificate takes a client certificate from an account.
func (c *Client) RemoveCertificate(ctx context.Context, a mail.Address, name string) error {
	return c.call(ctx, "certificate/remove", certificateRequest{a, directory.NewCertificate{Name: name}}, nil)
}
