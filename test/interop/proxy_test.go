package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest/tool"
)

// TestHAProxy: behind HAProxy, with TLS passed through and with TLS that ends there, the client's address and what is
// known of its TLS are in the log; nobody else is served at these ports.
func TestHAProxy(t *testing.T) {
	t.Parallel()
	haproxy, curl := tool.Need(t, "haproxy"), tool.Need(t, "curl")
	port := freePorts(t, 4)
	passing, ending, passed, ended := port[0], port[1], port[2], port[3]
	listener := func(port int, more string) string {
		return fmt.Sprintf("[[listener]]\nservice = \"imap\"\nname = \"imap:%d\"\naddress = \"127.0.0.1:%d\"\ntls = \"implicit\"\nproxy_from = [\"127.0.0.1\"]\n%s", port, port, more)
	}
	s := prepare(t, listener(passed, "")+listener(ended, "proxy_tls_trusted = \"HAProxy on this machine ends TLS\"\n"))
	s.account("bob@example.org", "secret")
	s.run()

	pair := filepath.Join(t.TempDir(), "pair.pem")
	cert, err := os.ReadFile(s.cert)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(s.dir, "tls", "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pair, append(cert, key...), 0o600); err != nil {
		t.Fatal(err)
	}
	config := write(t, "haproxy.cfg", fmt.Sprintf(`defaults
	mode tcp
	timeout connect 10s
	timeout client 1m
	timeout server 1m
listen passing
	bind 127.0.0.1:%d
	server candor 127.0.0.1:%d send-proxy-v2 check check-send-proxy inter 200ms
listen ending
	bind 127.0.0.1:%d ssl crt %s ssl-min-ver TLSv1.2
	server candor 127.0.0.1:%d send-proxy-v2-ssl
`, passing, passed, ending, pair, ended))
	proxy := exec.Command(haproxy, "-db", "-f", config)
	proxy.Stdout, proxy.Stderr = s.log, s.log
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Process.Kill(); proxy.Wait() })
	for _, p := range []int{passing, ending} {
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			c, err := dialPort(p)
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(end) {
				t.Fatalf("HAProxy does not listen: %v\n%s", err, s.log)
			}
		}
	}
	for port, want := range map[int]string{
		passing: "tls.floor_source=listener",
		ending:  "tls.floor_source=admin:proxy_tls_trusted",
	} {
		address := fmt.Sprintf("127.9.0.%d", port%200+1)
		s.must("", curl, "--silent", "--show-error", "--cacert", s.cert, "--interface", address, "--user", "bob@example.org:secret",
			"--connect-to", fmt.Sprintf("%s:%d:127.0.0.1:%d", hostname, port, port), fmt.Sprintf("imaps://%s:%d/", hostname, port))
		s.await("rip=" + address)
		found := false
		for line := range strings.Lines(s.log.String()) {
			found = found || strings.Contains(line, "login ok") && strings.Contains(line, "rip="+address) && strings.Contains(line, want) &&
				strings.Contains(line, "proxy=127.0.0.1") && strings.Contains(line, "tls.ver=TLS1.3") && strings.Contains(line, "tls.state=encrypted-unauthenticated")
		}
		if !found {
			t.Errorf("no login from %s with %s\n%s", address, want, s.log)
		}
	}
	for _, p := range []int{passed, ended} {
		if out, err := output(t, "", curl, "--silent", "--cacert", s.cert, "--user", "bob@example.org:secret", "--connect-to", fmt.Sprintf("%s:%d:127.0.0.1:%d", hostname, p, p), fmt.Sprintf("imaps://%s:%d/", hostname, p)); err == nil {
			t.Errorf("served without a header:\n%s", out)
		}
	}
	if strings.Contains(s.log.String(), "Server passing/candor is DOWN") {
		t.Errorf("HAProxy's own checks fail:\n%s", s.log)
	}
}
