package main

import (
	"os"
	"testing"
)

// TestSandboxCheck: a reload may name files where the process may read, however the configuration was named.
func TestSandboxCheck(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll("tls", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		readable []string
		cert     string
		allowed  bool
	}{
		"in the folder of a relative file":    {[]string{"."}, "tls/next.pem", true},
		"named from the root":                 {[]string{"."}, dir + "/tls/next.pem", true},
		"below a folder named from the root":  {[]string{dir}, "tls/next.pem", true},
		"elsewhere":                           {[]string{".", "/etc"}, "/var/tmp/next.pem", false},
		"beside a folder with the same start": {[]string{dir + "/t"}, "tls/next.pem", false},
		"not confined":                        {nil, "/var/tmp/next.pem", true},
	} {
		s := sandbox{readable: c.readable}
		if err := s.check(&config{TLS: tlsConfig{Cert: c.cert, Key: c.cert}}); (err == nil) != c.allowed {
			t.Errorf("%s: %v", name, err)
		}
	}
}
