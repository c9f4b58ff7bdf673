package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"candor/internal/mail"
)

// TestExplain: each state is explained, as text and as one JSON object; a word that is no state is
// refused with the states there are.
func TestExplain(t *testing.T) {
	for _, s := range mail.States() {
		var text, object, errs bytes.Buffer
		if run(t.Context(), []string{"tls", "explain", s.Token}, nil, &text, &errs) != 0 || !strings.Contains(text.String(), s.DoesNot) {
			t.Errorf("%s: %s%s", s.Token, &text, &errs)
		}
		var row map[string]any
		if run(t.Context(), []string{"tls", "explain", s.Token, "--json"}, nil, &object, &errs) != 0 || json.Unmarshal(object.Bytes(), &row) != nil {
			t.Errorf("%s as JSON: %s%s", s.Token, &object, &errs)
		}
	}
	for word, want := range map[string]string{
		"secure":   `"secure" is not a transport state: the word does not say against whom`,
		"insecure": `"insecure" is not a transport state: the word does not say against whom`,
		"x":        `"x" is not a transport state; the states are unknown, clear, `,
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"tls", "explain", word}, nil, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: exit %d: %s", word, code, &errs)
		}
	}
}
