package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

type authCacheCmd struct {
	Show authCacheShowCmd `cmd:"" help:"Show what is remembered of an account, by hashed keys, with ages and generations."`
	Drop authCacheDropCmd `cmd:"" help:"Forget what is remembered of an account. If a login works only after it, that is a bug: please report it with the log."`
}

type authCacheShowCmd struct {
	Address string `arg:"" help:"Address of the account."`
}

// Run shows the cache.
func (a *authCacheShowCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return onAccount(ctx, c, a.Address, func(o operator, address mail.Address) error {
		all, err := o.CachedLogins(ctx, address)
		if err != nil {
			return err
		}
		return listCached(c, std, all)
	})
}

type authCacheDropCmd struct {
	Address string `arg:"" help:"Address of the account."`
}

// Run drops what is cached of an account.
func (a *authCacheDropCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return onAccount(ctx, c, a.Address, func(o operator, address mail.Address) error {
		all, err := o.ForgetCached(ctx, address)
		if err != nil {
			return err
		}
		return errors.Join(listCached(c, std, all), said(c, std, "%d entries of %s are dropped; the server's log has them.\n", len(all), address))
	})
}

// listCached prints entries of the cache.
func listCached(c *cli, std *stdio, all []directory.CachedLogin) error {
	if len(all) == 0 {
		return said(c, std, "Nothing is remembered.\n")
	}
	return list(std.out, c.JSON, all, func(l directory.CachedLogin) string {
		now := "current"
		if l.Now != l.Read {
			now = "now " + l.Now.String() + ": found by nobody"
		}
		return fmt.Sprintf("%s\t%s old\tcredential %d\tgenerations %s\t%s", l.Key, time.Since(l.Added).Round(time.Second), l.Credential, l.Read, now)
	})
}
