// Package tool finds the programs of others that tests drive. It imports nothing, so that every package's
// own tests may use it.
package tool

import (
	"os"
	"os/exec"
	"testing"
)

// Need returns the path of a program. Where it is absent the test is skipped; in CI it fails.
func Need(t testing.TB, program string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Lacking(t, program+" is not installed (see test/install.sh)")
	return ""
}

// Lacking skips a test that cannot run here, loudly; in CI, where everything is at hand, it fails.
func Lacking(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip("SKIPPED: " + what)
}
