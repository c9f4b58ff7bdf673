package internal_test

import (
	"strings"
	"testing"

	"candor/internal/mail"
	"candor/internal/mailtest"
)

// TestErrorTable: docs/errors.md has the usual status of each kind, and says that the queue does what the status does.
// The columns of the doors are their own tests' matter.
func TestErrorTable(t *testing.T) {
	for k, row := range mailtest.ErrorTable(t) {
		status := mail.Errorf(k, "text").Status
		if row.Status != status.String() {
			t.Errorf("%s: status %s; docs/errors.md says %s", k, status, row.Status)
		}
		if retry := strings.HasPrefix(row.Queue, "retry"); retry != status.Temporary() && k != mail.Expired {
			t.Errorf("%s: status %s; docs/errors.md says that the queue makes it %q", k, status, row.Queue)
		}
	}
}
