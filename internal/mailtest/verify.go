package mailtest

import (
	"testing"

	"candor/internal/message"
	"candor/internal/server/web"
	"candor/internal/store/kv"
)

// Verify fails the test for each thing that is wrong in a store.
func Verify(t testing.TB, db *kv.Engine) {
	t.Helper()
	_, err := web.VerifyStore(t.Context(), db, message.Limits{}, kv.VerifyOptions{Report: func(f kv.Finding) {
		t.Helper()
		if f.Severity != kv.SeverityNote {
			t.Error(f)
		}
	}})
	if err != nil {
		t.Error(err)
	}
}
