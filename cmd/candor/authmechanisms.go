package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"candor/internal/store/directory"
)

type authMechanismsCmd struct{}

// Run tells of each mechanism whether it is offered, and if not, why.
func (*authMechanismsCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		all, err := o.Offers(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(map[string][]directory.Offer{"mechanisms": all})
		}
		t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		for _, line := range offerLines(all) {
			fmt.Fprintln(t, line)
		}
		return t.Flush()
	})
}

// offerLines has a line for each mechanism, or one for each way in which its services differ.
func offerLines(all []directory.Offer) (lines []string) {
	var order []string
	services := map[string][]string{} // by mechanism and words
	ways := map[string][]string{}     // by mechanism
	for _, o := range all {
		if !slices.Contains(order, o.Mechanism) {
			order = append(order, o.Mechanism)
		}
		words := offerWords(o)
		if !slices.Contains(ways[o.Mechanism], words) {
			ways[o.Mechanism] = append(ways[o.Mechanism], words)
		}
		services[o.Mechanism+" "+words] = append(services[o.Mechanism+" "+words], string(o.Service))
	}
	for _, m := range order {
		for _, words := range ways[m] {
			if len(ways[m]) > 1 {
				words = strings.Join(services[m+" "+words], ", ") + ": " + words
			}
			lines = append(lines, m+"\t"+words)
		}
	}
	return lines
}

// namedAccounts is how many accounts a line names; --json has all.
const namedAccounts = 10

func offerWords(o directory.Offer) string {
	if len(o.Lacking) == 0 {
		return o.Words()
	}
	var names []string
	for _, a := range o.Lacking[:min(len(o.Lacking), namedAccounts)] {
		names = append(names, a.String())
	}
	if more := len(o.Lacking) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return o.Words() + ": " + strings.Join(names, ", ")
}
