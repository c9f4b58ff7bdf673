package pop3d_test

import (
	"testing"

	"candor/internal/mailtest"
	"candor/internal/server/listen"
	"candor/internal/server/pop3d"
)

func handler(_ *testing.T, w *mailtest.World) listen.Handler {
	return pop3d.New(pop3d.Options{
		Directory: w.Directory, Mailboxes: w.Mailboxes, Log: w.Log,
	}).Handler()
}

func TestTranscripts(t *testing.T) {
	t.Parallel()
	mailtest.RunTranscripts(t, "testdata/*.txt", mailtest.Door{Service: listen.POP3, Mode: listen.Required, Handler: handler})
}
