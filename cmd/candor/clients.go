package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"candor/internal/mail"
	"candor/internal/server/listen"
	"candor/internal/server/web"
	"candor/internal/store/directory"
)

type clientsCmd struct{}

// Run lists the programs with wrong settings.
func (*clientsCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		hints, err := o.ClientHints(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			out := json.NewEncoder(std.out)
			for _, h := range hints {
				if err := out.Encode(h); err != nil {
					return err
				}
			}
			return nil
		}
		if len(hints) == 0 {
			fmt.Fprintln(std.out, "No program with a wrong setting was seen since the server started.")
			return nil
		}
		t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "LAST\tTIMES\tFROM\tACCOUNT\tTELL THEM")
		for _, h := range hints {
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", h.Last.Format(time.RFC3339), h.Times, h.Remote, hintAccounts(h), h.Words)
		}
		return t.Flush()
	})
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
	seen := p.directory.SeenFrom(time.Now().Add(-hintMemory))
	var all []web.ClientHint
	for _, s := range p.wrongSettings.List() {
		all = append(all, web.ClientHint{
			Remote: s.Remote, Service: string(s.Service), Port: s.Port, Seen: s.Seen, Name: s.Name, User: s.User,
			Accounts: p.behind(ctx, s, seen[directory.Network(s.Remote)]),
			Times:    s.Times, First: s.First, Last: s.Last, Words: s.Words(""),
		})
	}
	for _, r := range p.directory.Repeats() {
		all = append(all, web.ClientHint{
			Remote: r.Remote, Service: string(r.Service), Port: r.Port, Seen: "old-password", User: r.Account.String(),
			Accounts: []mail.Address{r.Account}, Times: r.Times, First: r.First, Last: r.Last, Words: r.Words(),
		})
	}
	slices.SortStableFunc(all, func(a, b web.ClientHint) int { return b.Last.Compare(a.Last) })
	return all, nil
}

// behind returns the account that a program named, or else neighbours.
func (p *parts) behind(ctx context.Context, s listen.WrongSetting, neighbours []mail.Address) []mail.Address {
	if a, err := mail.ParseAddress(s.User); err == nil {
		if account, err := p.directory.Account(ctx, a); err == nil {
			return []mail.Address{account.Address}
		}
	}
	return neighbours
}
