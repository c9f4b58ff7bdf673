package pop3d

import (
	"errors"
	"strings"
	"testing"

	"candor/internal/mail"
	"candor/internal/mailtest"
)

// TestTextFor asks for the reply to every kind of error.
func TestTextFor(t *testing.T) {
	t.Parallel()
	for k, row := range mailtest.ErrorTable(t) {
		text := textFor(mail.Wrap(k, errors.New("secret"), "text"))
		got := "-ERR"
		if code, _, ok := strings.Cut(text, "] "); ok {
			got += " " + code + "]"
		}
		if got != row.POP3 || strings.Contains(text, "secret") {
			t.Errorf("%s: got -ERR %s; docs/errors.md says %q", k, text, row.POP3)
		}
	}
}
