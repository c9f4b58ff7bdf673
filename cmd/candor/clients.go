package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"candor/internal/mail"
	"candor/internal/server/listen"
	"candor/internal/server/web"
	"candor/internal/store/directory"
)

type clientsCmd struct {
	Account string `help:"Of this account alone." placeholder:"ADDRESS"`
}

// clientLists are both lists in one JSON object.
type clientLists struct {
	WrongSettings []web.ClientHint       `json:"wrong_settings"`
	Programs      []directory.ProgramUse `json:"programs"`
}

// Run lists the programs with wrong settings, and those of accounts.
func (cmd *clientsCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	of, err := optionalAddress(cmd.Account)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		programs, err := o.ProgramHints(ctx, of)
		if err != nil {
			return err
		}
		hints, err := o.ClientHints(ctx)
		if err != nil {
			return err
		}
		if of != (mail.Address{}) {
			hints = slices.DeleteFunc(hints, func(h web.ClientHint) bool { return !slices.Contains(h.Accounts, of) })
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(clientLists{append([]web.ClientHint{}, hints...), append([]directory.ProgramUse{}, programs...)})
		}
		if err := writeHints(std.out, hints); err != nil {
			return err
		}
		return writePrograms(std.out, programs)
	})
}

func writeHints(w io.Writer, hints []web.ClientHint) error {
	if len(hints) == 0 {
		fmt.Fprintln(w, "No program with a wrong setting was seen within 30 days.")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LAST\tTIMES\tFROM\tACCOUNT\tTELL THEM")
	for _, h := range hints {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", h.Last.Format(time.RFC3339), h.Times, h.Remote, hintAccounts(h), h.Words)
	}
	return t.Flush()
}

// writePrograms prints the programs of accounts, each with what to tell its user below it.
func writePrograms(w io.Writer, programs []directory.ProgramUse) error {
	if len(programs) == 0 {
		fmt.Fprintln(w, "Nobody has logged in within 30 days.")
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ACCOUNT\tSERVICE\tPROGRAM\tLAST LOGIN\tBY\tSTATE")
	for _, p := range programs {
		last := "none"
		if !p.LastUse.IsZero() {
			last = p.LastUse.Format(time.RFC3339)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Account, p.Service, cmp.Or(p.Program, p.Client, "-"), last, cmp.Or(p.Mechanism, "-"), p.State)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range programs {
		for _, h := range p.Hints {
			fmt.Fprintf(w, "%s: %s\n", p.Account, h)
		}
	}
	return nil
}

// hintAccounts says whose program it may be.
func hintAccounts(h web.ClientHint) string {
	const shown = 3
	switch n := len(h.Accounts); {
	case n == 0:
		return cmp.Or(h.User, "-")
	case n > shown:
		return fmt.Sprintf("%s or one of %d others", h.Accounts[0], n-1)
	}
	text := h.Accounts[0].String()
	for _, a := range h.Accounts[1:] {
		text += " or " + a.String()
	}
	return text
}

// hintMemory is how long ago a login still tells who is behind an address.
const hintMemory = 30 * 24 * time.Hour

// clientHints links the wrong settings that were seen to accounts.
func (p *parts) clientHints(ctx context.Context) ([]web.ClientHint, error) {
	now := time.Now()
	seen := p.directory.SeenFrom(now.Add(-hintMemory))
	var all []web.ClientHint
	for _, s := range p.wrongSettings.List(now) {
		all = append(all, web.ClientHint{
			Remote: s.Remote, Service: string(s.Service), Port: s.Port, Seen: s.Seen, Name: s.Name, User: s.User,
			Accounts: p.behind(ctx, s, seen[directory.Network(s.Remote)]),
			Times:    s.Times, First: s.First, Last: s.Last, Words: s.Words(""),
		})
	}
	return all, nil
}

// behind returns the account that a program named, or else neighbours.
func (p *parts) behind(ctx context.Context, s listen.WrongSetting, neighbours []mail.Address) []mail.Address {
	if a, known := p.named(ctx, s.User); known {
		return []mail.Address{a}
	}
	return neighbours
}
