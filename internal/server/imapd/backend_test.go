package imapd

import (
	"errors"
	"testing"

	"candor/internal/mail"
	"candor/internal/proto/imap"
)

// TestBackendReply: R-25, when passwords cannot be checked.
func TestBackendReply(t *testing.T) {
	err := mail.Wrap(mail.Unavailable, errors.New("secret"), "too many logins at once; try again later")
	refusal := mail.Wrap(mail.Unavailable, err, "Temporary authentication failure")
	if got := string(imap.CodeFor(refusal).Append(nil, "a")); got != "a NO [UNAVAILABLE] Temporary authentication failure\r\n" {
		t.Errorf("got %q", got)
	}
}
