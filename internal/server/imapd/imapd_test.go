package imapd

import (
	"testing"

	"candor/internal/mailtest"
	"candor/internal/server/listen"
)

// door makes the IMAP server on a world.
func door(limits Limits) mailtest.Door {
	return mailtest.Door{
		Service: listen.IMAP,
		Mode:    listen.Implicit,
		Handler: func(_ *testing.T, w *mailtest.World) listen.Handler {
			return New(Options{Directory: w.Directory, Mailboxes: w.Mailboxes, Limits: limits, Log: w.Log}).Handle
		},
	}
}

func TestTranscripts(t *testing.T) {
	mailtest.RunTranscripts(t, "testdata/*.txt", door(Limits{}))
}
