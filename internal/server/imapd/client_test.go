package imapd

import (
	"net"
	"os/exec"
	"strings"
	"testing"

	"candor/internal/mailtest"
	"candor/internal/mailtest/tool"
	"candor/internal/server/listen"
)

// TestImaplib runs Python's imaplib, which was written by others, against the server.
func TestImaplib(t *testing.T) {
	python := tool.Need(t, "python3")
	w := mailtest.NewWorld(t, "account ann@example.org secret\n")
	d := door(Limits{})
	addr := w.Serve(t, listen.IMAP, listen.Required, d.Handler(t, w))
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/imaplib_client.py", port)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "done\n") {
		t.Fatalf("imaplib: %v\n%s\nlog:\n%s", err, out, w.Logged)
	}
}
