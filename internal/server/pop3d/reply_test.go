package pop3d

import (
	"errors"
	"strings"
	"testing"

	"candor/internal/mail"
)

// TestTextFor asks for the reply to every kind of error.
func TestTextFor(t *testing.T) {
	t.Parallel()
	want := map[mail.Kind]string{
		mail.Internal: "[SYS/TEMP] Internal error", mail.Syntax: "text", mail.Sequence: "text", mail.Unsupported: "text",
		mail.NoAddress: "text", mail.NotFound: "text", mail.Exists: "text", mail.InUse: "[IN-USE] text", mail.Expunged: "text",
		mail.OverQuota: "text", mail.TooBig: "text", mail.TooMany: "[SYS/TEMP] text", mail.AuthFailed: "[AUTH] Authentication failed",
		mail.AuthNeeded: "text", mail.Forbidden: "[SYS/PERM] text", mail.NeedTLS: "text", mail.Refused: "text", mail.Loop: "text",
		mail.Expired: "text", mail.Unavailable: "[SYS/TEMP] text", mail.RemoteFailure: "text",
	}
	for _, k := range mail.Kinds() {
		w, known := want[k]
		if !known {
			t.Errorf("%s: POP3 has no reply yet", k)
			continue
		}
		got := textFor(mail.Wrap(k, errors.New("secret"), "text"))
		if got != w || strings.Contains(got, "secret") {
			t.Errorf("%s: got %q, want %q", k, got, w)
		}
	}
}
