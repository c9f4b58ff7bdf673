package smtpd

import (
	"testing"

	"candor/internal/mailtest"
)

// TestEveryCommandIsShown: each row of the table has a transcript.
func TestEveryCommandIsShown(t *testing.T) {
	var names []string
	for _, c := range order {
		names = append(names, c.verb)
	}
	mailtest.Shown(t, names, "testdata/*/*.txt")
}
