package imapd

import (
	"testing"

	"candor/internal/mailtest"
)

// TestEveryCommandIsShown: each row of the table has a transcript.
func TestEveryCommandIsShown(t *testing.T) {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	mailtest.Shown(t, names, "testdata/*.txt")
}
