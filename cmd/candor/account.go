package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

type accountCmd struct {
	Add          accountAddCmd          `cmd:"" help:"Add an account with its mailboxes."`
	Import       accountImportCmd       `cmd:"" help:"Add the accounts of another server with their password hashes."`
	List         accountListCmd         `cmd:"" help:"List the accounts."`
	Remove       accountRemoveCmd       `cmd:"" help:"Remove an account with all its mail."`
	Password     accountPasswordCmd     `cmd:"" help:"Set an account's password."`
	AppPassword  appPasswordCmd         `cmd:"" help:"Passwords for single programs."`
	MainPassword accountMainPasswordCmd `cmd:"" help:"Say what an account's main password may be used for."`
	Require      accountRequireCmd      `cmd:"" help:"Say what logins of an account must be."`
	Disable      accountDisableCmd      `cmd:"" help:"Refuse an account's logins. It still receives mail; sessions that are open end with their next command."`
	Enable       accountEnableCmd       `cmd:"" help:"Let a disabled account log in again."`
	Certificate  certificateCmd         `cmd:"" help:"Client certificates that an account logs in with."`
	Quota        accountQuotaCmd        `cmd:"" help:"Show or set what an account may hold."`
}

// passwordFlag is shared by the commands that set a password, which is never an argument.
type passwordFlag struct {
	Stdin bool `name:"password-stdin" help:"Read the password from the first line of standard input."`
}

// read returns the password from standard input, or asks for it twice at a terminal.
func (p passwordFlag) read(std *stdio) (string, error) {
	if p.Stdin {
		line, err := bufio.NewReader(std.in).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", errors.New("standard input holds no password")
		}
		return line, nil
	}
	tty, ok := std.in.(*os.File)
	if !ok || !term.IsTerminal(int(tty.Fd())) {
		return "", errors.New("no terminal to ask for the password: use --password-stdin")
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(std.err, prompt)
		defer fmt.Fprintln(std.err)
		b, err := term.ReadPassword(int(tty.Fd()))
		return string(b), err
	}
	first, err := ask("Password: ")
	if err != nil {
		return "", err
	}
	second, err := ask("Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ")
	}
	return first, nil
}

// newPassword is the address of an account with its password to come.
type newPassword struct {
	Address string `arg:"" help:"Address of the account."`
	passwordFlag
}

// run reads the password and carries out act with it.
func (n *newPassword) run(ctx context.Context, c *cli, std *stdio, act func(operator, mail.Address, string) error, done string) error {
	address, err := mail.ParseAddress(n.Address)
	if err != nil {
		return err
	}
	password, err := n.read(std)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		if err := act(o, address, password); err != nil {
			return err
		}
		fmt.Fprintf(std.out, done, address)
		return nil
	})
}

type accountAddCmd struct {
	newPassword
	Hash bool `name:"password-hash-stdin" help:"Read the password's hash, {SCHEME}HASH as in Dovecot, from the first line of standard input."`
}

// Run adds the account.
func (a *accountAddCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	if a.Hash {
		return a.withHash(ctx, c, std)
	}
	add := func(o operator, address mail.Address, password string) error {
		return o.AddAccount(ctx, address, password)
	}
	return a.run(ctx, c, std, add, "%s is added.\n")
}

// withHash adds the account with a hash in the place of a password.
func (a *accountAddCmd) withHash(ctx context.Context, c *cli, std *stdio) error {
	a.Stdin = true
	add := func(o operator, address mail.Address, hash string) error {
		refused, err := o.ImportAccounts(ctx, []directory.ImportedAccount{{Address: address, Hash: hash}})
		if err == nil && refused[0] != "" {
			err = errors.New(refused[0])
		}
		return err
	}
	return a.run(ctx, c, std, add, "%s is added.\n")
}

type accountListCmd struct{}

// Run lists the accounts.
func (*accountListCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		accounts, err := o.Accounts(ctx)
		if err != nil {
			return err
		}
		return list(std.out, c.JSON, accounts, func(a directory.Account) string {
			var notes []string
			switch {
			case a.Disabled:
				notes = append(notes, "disabled")
			case !a.HasPassword && a.AppPasswords == 0:
				notes = append(notes, "cannot log in: no password")
			}
			if len(a.PasswordScopes) > 0 {
				notes = append(notes, "main password for "+scopeWords(a.PasswordScopes)+" alone")
			}
			if a.Require != directory.RequirePlainOK {
				notes = append(notes, "requires "+string(a.Require))
			}
			if a.Quota != (directory.Quota{}) {
				notes = append(notes, "quota of its own: "+quotaWords(a.Quota))
			}
			if len(notes) == 0 {
				return a.Address.String()
			}
			return a.Address.String() + "\t" + strings.Join(notes, "; ")
		})
	})
}

// list prints items: as JSON, one object a line; else in columns.
func list[T any](w io.Writer, asJSON bool, items []T, line func(T) string) error {
	if asJSON {
		enc := json.NewEncoder(w)
		for _, i := range items {
			if err := enc.Encode(i); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, i := range items {
		fmt.Fprintln(t, line(i))
	}
	return t.Flush()
}

// oneAccount is the address of an account with which something is done.
type oneAccount struct {
	Address string `arg:"" help:"Address of the account."`
}

// run carries out act.
func (n *oneAccount) run(ctx context.Context, c *cli, std *stdio, act func(operator, context.Context, mail.Address) error, done string) error {
	address, err := mail.ParseAddress(n.Address)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		if err := act(o, ctx, address); err != nil {
			return err
		}
		fmt.Fprintf(std.out, done, address)
		return nil
	})
}

type accountRemoveCmd struct{ oneAccount }

// Run removes the account.
func (a *accountRemoveCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return a.run(ctx, c, std, operator.RemoveAccount, "%s is removed.\n")
}

type accountDisableCmd struct{ oneAccount }

// Run refuses the account's logins.
func (a *accountDisableCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return a.run(ctx, c, std, operator.DisableAccount, "%s cannot log in any more.\n")
}

type accountEnableCmd struct{ oneAccount }

// Run lets the account log in again.
func (a *accountEnableCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return a.run(ctx, c, std, operator.EnableAccount, "%s can log in again.\n")
}

type accountPasswordCmd struct{ newPassword }

// Run sets the password.
func (a *accountPasswordCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	set := func(o operator, address mail.Address, password string) error {
		return o.SetPassword(ctx, address, password)
	}
	return a.run(ctx, c, std, set, "The password of %s is set.\n")
}

// said prints what was done, for people alone.
func said(c *cli, std *stdio, format string, args ...any) error {
	if c.JSON {
		return nil
	}
	_, err := fmt.Fprintf(std.out, format, args...)
	return err
}
