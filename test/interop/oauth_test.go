package interop

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest"
	"candor/internal/mailtest/tool"
)

// curlBearer logs in with curl and a token.
func (s *server) curlBearer(curl, scheme string, port int, user, token string) (string, error) {
	s.t.Helper()
	return output(s.t, "", curl,
		"--silent", "--show-error", "--verbose", "--max-time", "20", "--cacert", s.cert, "--ssl-reqd",
		"--resolve", fmt.Sprintf("%s:%d:127.0.0.1", hostname, port), "--user", user+":", "--oauth2-bearer", token,
		fmt.Sprintf("%s://%s:%d/", scheme, hostname, port),
	)
}

// TestOAuth logs in with curl and tokens of an issuer over every protocol, by both mechanisms.
func TestOAuth(t *testing.T) {
	t.Parallel()
	curl := tool.Need(t, "curl")
	issuer := mailtest.NewIssuer(t)
	s := prepare(t, fmt.Sprintf("[limits]\nexempt = [\"127.0.0.0/8\"]\n[oauth.staff]\nissuer = %q\naudience = [\"candor\"]\nscopes = [\"mail\"]\nroots = %q\n",
		issuer.URL(), write(t, "issuer.pem", string(issuer.Roots()))))
	s.account("ann@example.org", "secret")
	s.run()
	claims := issuer.Claims("ann@example.org", time.Now())
	good := issuer.Token(claims)
	claims["groups"] = strings.Repeat("g", 3000) // as long as those of large organisations
	long := issuer.Token(claims)
	claims["exp"] = time.Now().Add(-time.Hour).Unix()
	old := issuer.Token(claims)
	for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} { // curl takes the first that it knows
		for _, c := range []struct {
			scheme, service string
			port            int
		}{
			{"imaps", "imap", s.imaps},
			{"imap", "imap", s.imap},
			{"smtps", "submission", s.submissions},
			{"smtp", "submission", s.submission},
			{"pop3s", "pop3", s.pop3s},
			{"pop3", "pop3", s.pop3},
		} {
			for name, token := range map[string]string{"short": good, "long": long} {
				if out, err := s.curlBearer(curl, c.scheme, c.port, "ann@example.org", token); err != nil {
					t.Errorf("%s by %s with a %s token: %v\n%s", c.scheme, mechanism, name, err, out)
				}
			}
			s.awaitLine("login ok", "method="+mechanism, "svc="+c.service, "user=ann@example.org", "cb=none")
		}
		for service, c := range map[string]struct {
			scheme string
			port   int
		}{"imap": {"imaps", s.imaps}, "submission": {"smtps", s.submissions}, "pop3": {"pop3s", s.pop3s}} {
			if out, err := s.curlBearer(curl, c.scheme, c.port, "ann@example.org", old); err == nil || !strings.Contains(out, "(67)") {
				t.Errorf("%s by %s with an old token: %v, want curl's 67, login denied\n%s", c.scheme, mechanism, err, out)
			}
			s.awaitLine("login deny", "method="+mechanism, "svc="+service, "reason=token-expired")
		}
		if mechanism == "OAUTHBEARER" {
			text, err := os.ReadFile(s.config)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.config, append(text, "[auth]\nremove = [\"OAUTHBEARER\"]\n"...), 0o600); err != nil {
				t.Fatal(err)
			}
			s.candor("", "--config", s.config, "reload")
		}
	}
	if out, err := s.curlBearer(curl, "imaps", s.imaps, "postmaster@example.org", good); err == nil {
		t.Errorf("logged in as another\n%s", out)
	}
	s.awaitLine("login deny", "user=postmaster@example.org", "reason=authzid")
	issuer.Server.Close()
	if out, err := s.curlBearer(curl, "imaps", s.imaps, "ann@example.org", good); err != nil {
		t.Errorf("with keys that are known, the issuer being down: %v\n%s", err, out)
	}
	if strings.Contains(s.log.String(), good[:40]) {
		t.Error("the log has a token")
	}
}

// TestOAuthIssuerDown: nobody is told that a token is wrong which could not be looked at.
func TestOAuthIssuerDown(t *testing.T) {
	t.Parallel()
	curl := tool.Need(t, "curl")
	issuer := mailtest.NewIssuer(t)
	s := prepare(t, fmt.Sprintf("[oauth.staff]\nissuer = %q\naudience = [\"candor\"]\nroots = %q\n", issuer.URL(), write(t, "issuer.pem", string(issuer.Roots()))))
	s.account("ann@example.org", "secret")
	s.run()
	token := issuer.Token(issuer.Claims("ann@example.org", time.Now()))
	issuer.Server.Close()
	for scheme, c := range map[string]struct {
		port int
		want string
	}{
		"smtps": {s.submissions, "454 4.7.0 Temporary authentication failure"},
		"imaps": {s.imaps, "NO [UNAVAILABLE] Temporary authentication failure"},
		"pop3s": {s.pop3s, "-ERR [SYS/TEMP] Temporary authentication failure"},
	} {
		if out, err := s.curlBearer(curl, scheme, c.port, "ann@example.org", token); err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v, want %q\n%s", scheme, err, c.want, out)
		}
	}
}
