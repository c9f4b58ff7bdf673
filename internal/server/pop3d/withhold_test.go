package pop3d_test

import (
	"testing"

	"candor/internal/mailtest"
	"candor/internal/server/listen"
	"candor/internal/store/directory"
)

// TestWithheld: USER that the operator removed is neither announced nor taken; AUTH goes on.
func TestWithheld(t *testing.T) {
	mailtest.RunTranscripts(t, "testdata/withheld/*.txt", mailtest.Door{Service: listen.POP3, Mode: listen.Implicit, Handler: func(t *testing.T, w *mailtest.World) listen.Handler {
		w.Directory.Withhold([]string{directory.POP3User})
		return handler(t, w)
	}})
}
