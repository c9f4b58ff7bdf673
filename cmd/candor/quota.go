package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"candor/internal/mail"
	"candor/internal/server/web"
	"candor/internal/store/directory"
	"candor/internal/store/mailbox"
)

// quotaConfig is what holds for accounts without a quota of their own, and what happens to mail for a full one.
type quotaConfig struct {
	Storage  any    `toml:"storage"`
	Messages int64  `toml:"messages"`
	WhenFull string `toml:"when_full"`

	standard directory.Quota
}

// The values of when_full.
const (
	fullRetry  = "retry"
	fullRefuse = "refuse"
)

func (c *config) checkQuota() error {
	q := &c.Quota
	switch v := q.Storage.(type) {
	case nil:
	case int64:
		q.standard.Storage = v
	case string:
		octets, err := parseOctets(v)
		if err != nil {
			return c.refuse("quota.storage", "", "storage: %v", err)
		}
		q.standard.Storage = octets
	default:
		return c.refuse("quota.storage", "", "storage must be octets, or text such as \"512MiB\"")
	}
	q.standard.Messages = q.Messages
	if q.standard.Storage < 0 || q.Messages < 0 {
		return c.refuse("quota", "", "storage and messages cannot be negative: leave them out for no quota")
	}
	switch q.WhenFull {
	case "", fullRetry, fullRefuse:
		return nil
	}
	return c.refuse("quota.when_full", "", "when_full is %q: write %q (mail is tried again) or %q (it is returned at once)", q.WhenFull, fullRetry, fullRefuse)
}

// setQuota puts [quota] into force.
func (p *parts) setQuota(c *config) {
	p.directory.SetDefaultQuota(c.Quota.standard)
	p.local.RefuseOverQuota(c.Quota.WhenFull == fullRefuse)
}

// accountQuota is what the store asks for.
func (p *parts) accountQuota(id mail.AccountID) mailbox.Quota {
	return mailbox.Quota(p.directory.Quota(id))
}

type accountQuotaCmd struct {
	Address  string `arg:"" help:"Address of the account."`
	Storage  string `help:"What its mail may take: octets, or text such as 1GiB; none; or default, for what the configuration says." placeholder:"SIZE"`
	Messages string `help:"How many messages it may have; none; or default." placeholder:"N"`
}

// Run sets the bounds that are given, and shows the quota with what is used of it.
func (a *accountQuotaCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	address, err := mail.ParseAddress(a.Address)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		q, err := o.AccountQuota(ctx, address)
		if err == nil && (a.Storage != "" || a.Messages != "") {
			if q, err = a.set(ctx, o, q); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(q)
		}
		fmt.Fprintf(std.out, "storage:  %s\nmessages: %s\n",
			usedOf(octets.text(q.Used.Storage), q.Limit.Storage, octets.text), usedOf(decimal(q.Used.Messages), q.Limit.Messages, decimal))
		return nil
	})
}

// set changes the account's own quota where a flag is given.
func (a *accountQuotaCmd) set(ctx context.Context, o operator, now web.AccountQuota) (web.AccountQuota, error) {
	own := now.Own
	var err error
	if own.Storage, err = quotaBound(a.Storage, own.Storage, parseSize); err != nil {
		return now, fmt.Errorf("--storage: %w", err)
	}
	if own.Messages, err = quotaBound(a.Messages, own.Messages, parseCount); err != nil {
		return now, fmt.Errorf("--messages: %w", err)
	}
	if err := o.SetQuota(ctx, now.Address, own); err != nil {
		return now, err
	}
	return o.AccountQuota(ctx, now.Address)
}

// quotaBound reads a bound; without text it stays.
func quotaBound(text string, now int64, parse func(string) (int64, error)) (int64, error) {
	switch text {
	case "":
		return now, nil
	case "none":
		return directory.Unlimited, nil
	case "default":
		return 0, nil
	}
	n, err := parse(text)
	if err == nil && n <= 0 {
		err = errors.New("use a number above 0, none, or default")
	}
	return n, err
}

func parseSize(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	return parseOctets(s)
}

func parseCount(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return n, nil
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

func usedOf(used string, limit int64, show func(int64) string) string {
	if limit == 0 {
		return used + ", no quota"
	}
	return used + " of " + show(limit)
}

// quotaWords is an account's own quota.
func quotaWords(q directory.Quota) string {
	var words []string
	if q.Storage != 0 {
		words = append(words, boundWords(q.Storage, octets.text))
	}
	if q.Messages != 0 {
		words = append(words, boundWords(q.Messages, decimal)+" messages")
	}
	return strings.Join(words, ", ")
}

func boundWords(bound int64, show func(int64) string) string {
	if bound == directory.Unlimited {
		return "unlimited"
	}
	return show(bound)
}
