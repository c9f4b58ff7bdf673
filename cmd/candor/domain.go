package main

import (
	"context"
	"fmt"

	"candor/internal/mail"
)

type domainCmd struct {
	Add    domainAddCmd    `cmd:"" help:"Add a domain."`
	List   domainListCmd   `cmd:"" help:"List the domains."`
	Remove domainRemoveCmd `cmd:"" help:"Remove a domain without accounts and aliases."`
}

type domainAddCmd struct {
	Domain string `arg:"" help:"Name of the domain."`
}

// Run adds the domain.
func (d *domainAddCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	name, err := mail.ParseDomain(d.Domain)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		if err := o.AddDomain(ctx, name); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "%s is added.\n", name)
		return nil
	})
}

type domainListCmd struct{}

// Run lists the domains.
func (*domainListCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	type row struct {
		Domain mail.Domain `json:"domain"`
	}
	return operate(ctx, c, func(o operator) error {
		domains, err := o.Domains(ctx)
		if err != nil {
			return err
		}
		var rows []row
		for _, d := range domains {
			rows = append(rows, row{d})
		}
		return list(std.out, c.JSON, rows, func(r row) string { return r.Domain.String() })
	})
}

type domainRemoveCmd struct {
	Domain string `arg:"" help:"Name of the domain."`
}

// Run removes the domain.
func (d *domainRemoveCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	name, err := mail.ParseDomain(d.Domain)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		if err := o.RemoveDomain(ctx, name); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "%s is removed.\n", name)
		return nil
	})
}
