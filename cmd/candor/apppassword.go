package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

type appPasswordCmd struct {
	Add    appPasswordAddCmd    `cmd:"" help:"Generate a password for one program and print it, this once."`
	List   appPasswordListCmd   `cmd:"" help:"List an account's app passwords with their last use."`
	Revoke appPasswordRevokeCmd `cmd:"" help:"Make an app password useless, at once."`
}

type appPasswordAddCmd struct {
	Address string   `arg:"" help:"Address of the account."`
	Name    string   `required:"" help:"What it is for, such as phone; no two of an account have the same." placeholder:"NAME"`
	Scope   []string `help:"What it may be used for: smtp, imap, pop3, sieve, web; all but web if none is given." placeholder:"SCOPE"`
	Until   string   `help:"The last day on which it can be used (UTC), as 2026-12-31." placeholder:"DATE"`
	Legacy  string   `help:"The mechanism of the legacy rule that it is for: CRAM-MD5 or SCRAM-SHA-1." placeholder:"MECHANISM"`
}

// Run makes the app password and prints it.
func (a *appPasswordAddCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	scopes, err := directory.ParseScopes(a.Scope)
	if err != nil {
		return fmt.Errorf("--scope: %w", err)
	}
	until, err := parseLastDay(a.Until)
	if err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	return onAccount(ctx, c, a.Address, func(o operator, address mail.Address) error {
		made, err := o.AddAppPassword(ctx, address, directory.NewAppPassword{Name: a.Name, Scopes: scopes, Until: until, Legacy: strings.ToUpper(a.Legacy)})
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(made)
		}
		fmt.Fprintln(std.out, made.Password)
		return nil
	})
}

// parseLastDay returns the end of a day, or nothing of nothing.
func parseLastDay(day string) (time.Time, error) {
	if day == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no date: write it like 2026-12-31", day)
	}
	return t.AddDate(0, 0, 1), nil
}

// lastDay undoes parseLastDay.
func lastDay(end time.Time) string { return end.Add(-1).UTC().Format(time.DateOnly) }

type appPasswordListCmd struct {
	Address string `arg:"" help:"Address of the account."`
}

// Run lists the app passwords of an account.
func (a *appPasswordListCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return onAccount(ctx, c, a.Address, func(o operator, address mail.Address) error {
		all, err := o.Credentials(ctx, address)
		if err != nil {
			return err
		}
		apps := slices.DeleteFunc(all, func(c directory.Credential) bool { return c.Kind != "app" })
		return list(std.out, c.JSON, apps, func(c directory.Credential) string {
			return strings.Join([]string{c.Name, scopeWords(c.Scopes), untilWords(c.Until), useWords(c.LastUsed)}, "\t")
		})
	})
}

func scopeWords(scopes []directory.Scope) string {
	if len(scopes) == 0 {
		return "everything"
	}
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ",")
}

func untilWords(end time.Time) string {
	switch {
	case end.IsZero():
		return "no end"
	case !time.Now().Before(end):
		return "ended " + lastDay(end)
	}
	return "until " + lastDay(end)
}

func useWords(u directory.LastUse) string {
	if u.Time.IsZero() {
		return "never used"
	}
	return fmt.Sprintf("last used %s from %s by %s %s", u.Time.Format("2006-01-02 15h"), u.Prefix, u.Service, u.Mechanism)
}

type appPasswordRevokeCmd struct {
	Address string `arg:"" help:"Address of the account."`
	Name    string `arg:"" help:"Name of the app password."`
}

// Run revokes the app password.
func (a *appPasswordRevokeCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return onAccount(ctx, c, a.Address, func(o operator, address mail.Address) error {
		if err := o.RevokeAppPassword(ctx, address, a.Name); err != nil {
			return err
		}
		return said(c, std, "The app password %q of %s is revoked.\n", a.Name, address)
	})
}
