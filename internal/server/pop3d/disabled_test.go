package pop3d_test

import (
	"testing"

	"candor/internal/mail"
)

// TestDisabledSessionEnds: an account that is disabled does nothing more in a session that is open; what it has marked is
// not deleted.
func TestDisabledSessionEnds(t *testing.T) {
	w := world(t)
	w.Append(t, account, "INBOX", "Subject: kept\n\n")
	c := login(t, w, serve(t, w))
	c.do("DELE 1", "+OK")
	if err := w.Directory.SetDisabled(t.Context(), mail.Address{Local: "ann", Domain: "example.org"}, true); err != nil {
		t.Fatal(err)
	}
	c.do("QUIT", "-ERR [SYS/PERM] This account cannot be used any more")
	if line, err := c.r.ReadString('\n'); err == nil {
		t.Errorf("the session went on: %q", line)
	}
	if got := w.Messages(t, account, "INBOX"); len(got) != 1 {
		t.Errorf("%d messages are left", len(got))
	}
}
