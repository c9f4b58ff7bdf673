package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

// throttler is what commands ask for that concerns wrong logins.
type throttler interface {
	Blocked(context.Context) ([]directory.Blocked, error)
	Unblock(context.Context, netip.Prefix) (bool, error)
	UnblockAccount(context.Context, mail.Address) (bool, error)
}

type authBlockedCmd struct {
	List  authBlockedListCmd  `cmd:"" default:"1" help:"List the addresses whose logins are refused, and the networks whose wrong logins are answered late."`
	Clear authBlockedClearCmd `cmd:"" help:"Forget the wrong logins from an address or a network, or for an account."`
}

type authBlockedListCmd struct{}

// Run lists what is blocked.
func (*authBlockedListCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		all, err := o.Blocked(ctx)
		if err != nil {
			return err
		}
		if len(all) == 0 && !c.JSON {
			fmt.Fprintln(std.out, "Nobody is blocked.")
		}
		return list(std.out, c.JSON, all, func(b directory.Blocked) string {
			return fmt.Sprintf("%s\t%s\t%d wrong, last %s\tuntil %s", showNetwork(b.Network), blockedWords(b), b.Wrong,
				b.Last.Format(time.DateTime), b.Until.Format(time.DateTime))
		})
	})
}

func blockedWords(b directory.Blocked) string {
	if b.Reason == "refused" {
		return fmt.Sprintf("logins refused, %d times so far", b.Refused)
	}
	name := "a name that does not exist"
	if b.Account != (mail.Address{}) {
		name = b.Account.String()
	}
	return fmt.Sprintf("wrong logins for %s are answered %g s later", name, b.Delay)
}

// showNetwork writes a single address as such.
func showNetwork(n netip.Prefix) string {
	if n.IsSingleIP() {
		return n.Addr().String()
	}
	return n.String()
}

type authBlockedClearCmd struct {
	What string `arg:"" name:"address" help:"IP address, network such as 192.0.2.0/24, or address of an account."`
}

// Run forgets wrong logins.
func (a *authBlockedClearCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		found, err := a.unblock(ctx, o)
		if err != nil {
			return err
		}
		if !found {
			fmt.Fprintf(std.out, "There were no wrong logins of %s.\n", a.What)
			return nil
		}
		fmt.Fprintf(std.out, "The wrong logins of %s are forgotten.\n", a.What)
		return nil
	})
}

func (a *authBlockedClearCmd) unblock(ctx context.Context, o operator) (bool, error) {
	if strings.Contains(a.What, "@") {
		address, err := mail.ParseAddress(a.What)
		if err != nil {
			return false, err
		}
		return o.UnblockAccount(ctx, address)
	}
	network, err := parsePrefix(a.What)
	if err != nil {
		return false, fmt.Errorf("%w; or name an account by its address", err)
	}
	return o.Unblock(ctx, network)
}
