package imapd

import (
	"testing"

	"candor/internal/mailtest"
	"candor/internal/server/listen"
	"candor/internal/store/directory"
)

// TestWithheld: LOGIN that the operator removed is announced as disabled and not taken; AUTHENTICATE goes on.
func TestWithheld(t *testing.T) {
	d := door(Limits{})
	made := d.Handler
	d.Handler = func(t *testing.T, w *mailtest.World) listen.Handler {
		w.Directory.Withhold([]string{directory.IMAPLogin})
		return made(t, w)
	}
	mailtest.RunTranscripts(t, "testdata/withheld/*.txt", d)
}
