package main

import (
	"context"
	"fmt"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

// onAccount runs f with the operator and the address of an account.
func onAccount(ctx context.Context, c *cli, text string, f func(operator, mail.Address) error) error {
	address, err := mail.ParseAddress(text)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error { return f(o, address) })
}

type accountRequireCmd struct {
	Address string `arg:"" help:"Address of the account."`
	What    string `arg:"" help:"plain-ok: any mechanism; scram: the password stays in the program; scram-plus: and nobody sits between; cert: a client certificate."`
}

// Run sets what logins of the account must be.
func (a *accountRequireCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	r, err := directory.ParseRequirement(a.What)
	if err != nil {
		return err
	}
	return onAccount(ctx, c, a.Address, func(o operator, address mail.Address) error {
		if err := o.SetRequirement(ctx, address, r); err != nil {
			return err
		}
		return said(c, std, "Logins of %s must be: %s.\n", address, a.What)
	})
}

type accountMainPasswordCmd struct {
	Address string   `arg:"" help:"Address of the account."`
	Scope   []string `required:"" help:"What the main password may be used for: smtp, imap, pop3, sieve, web, or all. With web alone, programs need app passwords." placeholder:"SCOPE"`
}

// Run binds the main password to scopes.
func (a *accountMainPasswordCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	var scopes []directory.Scope
	if len(a.Scope) != 1 || a.Scope[0] != "all" {
		var err error
		if scopes, err = directory.ParseScopes(a.Scope); err != nil {
			return fmt.Errorf("--scope: %w", err)
		}
	}
	return onAccount(ctx, c, a.Address, func(o operator, address mail.Address) error {
		if err := o.SetPasswordScopes(ctx, address, scopes); err != nil {
			return err
		}
		return said(c, std, "The main password of %s can be used for: %s.\n", address, scopeWords(scopes))
	})
}
