package main

import (
	"context"
	"fmt"
	"strings"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

type aliasCmd struct {
	Add    aliasAddCmd    `cmd:"" help:"Add an alias; *@domain catches what no account or alias takes."`
	List   aliasListCmd   `cmd:"" help:"List the aliases."`
	Remove aliasRemoveCmd `cmd:"" help:"Remove an alias."`
}

type aliasAddCmd struct {
	Address string   `arg:"" help:"Address of the alias."`
	Targets []string `arg:"" help:"Addresses that get the mail."`
}

// Run adds the alias.
func (a *aliasAddCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	address, err := mail.ParseAddress(a.Address)
	if err != nil {
		return err
	}
	alias := directory.Alias{Address: address}
	for _, t := range a.Targets {
		target, err := mail.ParseAddress(t)
		if err != nil {
			return err
		}
		alias.Targets = append(alias.Targets, target)
	}
	return operate(ctx, c, func(o operator) error {
		if err := o.AddAlias(ctx, alias); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "%s is added.\n", address)
		return nil
	})
}

type aliasListCmd struct{}

// Run lists the aliases.
func (*aliasListCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		aliases, err := o.Aliases(ctx)
		if err != nil {
			return err
		}
		return list(std.out, c.JSON, aliases, func(a directory.Alias) string {
			var targets []string
			for _, t := range a.Targets {
				targets = append(targets, t.String())
			}
			return a.Address.String() + "\t" + strings.Join(targets, " ")
		})
	})
}

type aliasRemoveCmd struct {
	Address string `arg:"" help:"Address of the alias."`
}

// Run removes the alias.
func (a *aliasRemoveCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	address, err := mail.ParseAddress(a.Address)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		if err := o.RemoveAlias(ctx, address); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "%s is removed.\n", address)
		return nil
	})
}
