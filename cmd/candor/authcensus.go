package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"candor/internal/store/directory"
)

type authCensusCmd struct {
	Verifiers bool `help:"List the accounts with a password that has no SCRAM keys: one that came as a hash of another server and was not used since, for the most part."`
}

// oldPasswords is what --json prints.
type oldPasswords struct {
	Old []directory.OldPassword `json:"old"`
}

// Run lists old hashes.
func (a *authCensusCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	if !a.Verifiers {
		return errors.New("say what of: --verifiers")
	}
	return operate(ctx, c, func(o operator) error {
		all, err := o.OldPasswords(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(oldPasswords{append([]directory.OldPassword{}, all...)})
		}
		if len(all) == 0 {
			fmt.Fprintln(std.out, "Every password has SCRAM keys.")
		}
		return list(std.out, false, all, func(p directory.OldPassword) string {
			words := []string{p.Address.String(), strings.Join(p.Verifiers, " "), useWords(p.LastUsed)}
			if p.Disabled {
				words = append(words, "disabled")
			}
			return strings.Join(words, "\t")
		})
	})
}
