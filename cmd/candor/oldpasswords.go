package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"candor/internal/store/directory"
)

// oldPasswords is what --json prints.
type oldPasswords struct {
	Old []directory.OldPassword `json:"old"`
}

// listOldPasswords lists old hashes.
func listOldPasswords(ctx context.Context, c *cli, std *stdio) error {
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
