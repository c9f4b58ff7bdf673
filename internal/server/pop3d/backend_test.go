package pop3d

import (
	"errors"
	"testing"

	"candor/internal/mail"
)

// TestBackendReply: R-33, when passwords cannot be checked, and when too many were wrong.
func TestBackendReply(t *testing.T) {
	cause := errors.New("secret")
	for want, err := range map[string]*mail.Error{
		"[SYS/TEMP] Temporary authentication failure": mail.Wrap(mail.Unavailable, cause, "Temporary authentication failure"),
		"[SYS/TEMP] Too many failed logins":           mail.Wrap(mail.TooMany, cause, "Too many failed logins"),
		"[AUTH] Authentication failed":                mail.Errorf(mail.AuthFailed, "Authentication failed"),
	} {
		if got := textFor(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
