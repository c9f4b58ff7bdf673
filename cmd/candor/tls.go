package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"candor/internal/mail"
)

type tlsCmd struct {
	Explain explainCmd `cmd:"" help:"Say what a transport state means."`
}

type explainCmd struct {
	Token string `arg:"" help:"Token of a state, such as encrypted-unauthenticated."`
}

// vague are words that stand for a state nowhere in Candor (specification, guiding rule 1).
var vague = map[string]bool{"secure": true, "insecure": true, "safe": true, "unsafe": true, "tls": true, "ssl": true, "encrypted": true}

// Run prints the state's row of the table of states.
func (e *explainCmd) Run(c *cli, std *stdio) error {
	s, ok := mail.ParseState(e.Token)
	if !ok {
		var tokens []string
		for _, r := range mail.States() {
			tokens = append(tokens, r.Token)
		}
		why := ""
		if vague[strings.ToLower(e.Token)] {
			why = ": the word does not say against whom, and Candor never uses it"
		}
		return fmt.Errorf("%q is not a transport state%s; the states are %s", e.Token, why, strings.Join(tokens, ", "))
	}
	r := s.Row()
	if c.JSON {
		return json.NewEncoder(std.out).Encode(r)
	}
	fmt.Fprintf(std.out, "%s (rank %d)\n  In words:              %s\n  Meaning:               %s\n  Protects against:      %s\n  Does not protect from: %s\n",
		r.Token, r.Rank, r.Words, r.Meaning, r.Protects, r.DoesNot)
	return nil
}
