package interop

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"candor/internal/proto/sasl"
)

// dialect is how a protocol says what all say at a login.
type dialect struct {
	name             string
	port             func(*server) int
	hello            string // sent after the greeting; its answer ends in a line that begins with helloEnd
	helloEnd         string
	auth             string   // command, with %s for the mechanism
	challenge        string   // begins a line with a challenge
	ok, deny, absent string   // begin the line that ends the login: done, refused, mechanism not offered
	plain            []string // commands that hand over name and password, each answered
}

var dialects = []dialect{
	{"smtp", func(s *server) int { return s.submissions }, "EHLO x", "250 ", "AUTH %s", "334 ", "235", "535", "504", nil},
	{"imap", func(s *server) int { return s.imaps }, "", "", "a AUTHENTICATE %s", "+ ", "a OK", "a NO [AUTHENTICATIONFAILED]", "a NO [CANNOT]", []string{"a LOGIN %[1]s %[2]s"}},
	{"pop3", func(s *server) int { return s.pop3s }, "", "", "AUTH %s", "+ ", "+OK", "-ERR [AUTH]", "-ERR", []string{"USER %[1]s", "PASS %[2]s"}},
}

// saslClient is the client's end of a mechanism.
type saslClient interface {
	Start() []byte
	Next(challenge []byte) ([]byte, error)
	Finish() error
}

const commandLogin = "command"

// dialogue is a connection on which one login is tried.
type dialogue struct {
	net.Conn
	lines *bufio.Reader
}

func (c *dialogue) ask(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(c, format+"\r\n", args...); err != nil {
		return "", err
	}
	return c.line()
}

func (c *dialogue) line() (string, error) {
	line, err := c.lines.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// login tries one login on a new connection and returns "ok", "refused" or "not offered".
func (s *server) login(d dialect, mechanism, user, password string) (string, error) {
	tc, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", d.port(s)), s.clientTLS())
	if err != nil {
		return "", err
	}
	defer tc.Close()
	_ = tc.SetDeadline(time.Now().Add(time.Minute))
	c := &dialogue{tc, bufio.NewReader(tc)}
	if _, err := c.line(); err != nil {
		return "", err
	}
	if d.hello != "" {
		for line, err := c.ask(d.hello); !strings.HasPrefix(line, d.helloEnd); line, err = c.line() {
			if err != nil {
				return "", err
			}
		}
	}
	line := ""
	if mechanism == commandLogin {
		for _, command := range d.plain {
			line, err = c.ask(command, user, password)
		}
	} else {
		line, err = c.exchange(d, mechanism, newSASLClient(tc, mechanism, user, password))
	}
	for err == nil && strings.HasPrefix(line, "* ") { // untagged
		line, err = c.line()
	}
	switch {
	case err != nil:
		return "", err
	case strings.HasPrefix(line, d.ok), strings.HasPrefix(line, "-ERR [IN-USE]"): // another has the maildrop: the password was right
		return "ok", nil
	case strings.HasPrefix(line, d.deny):
		return "refused", nil
	case strings.HasPrefix(line, d.absent):
		return "not offered", nil
	}
	return "", fmt.Errorf("the answer is %q", line)
}

func newSASLClient(tc *tls.Conn, mechanism, user, password string) saslClient {
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainClient(user, []byte(password))
	case sasl.Login:
		return sasl.NewLoginClient(user, []byte(password))
	case sasl.ScramSHA256Plus:
		cs := tc.ConnectionState()
		return sasl.NewScramClient(mechanism, sasl.NewChannel(&cs, cs.PeerCertificates[0]), user, []byte(password))
	}
	return sasl.NewScramClient(mechanism, nil, user, []byte(password))
}

// exchange runs a mechanism and returns the line that ends it.
func (c *dialogue) exchange(d dialect, mechanism string, client saslClient) (string, error) {
	line, err := c.ask(d.auth, mechanism)
	for first := mechanism != sasl.Login; err == nil && strings.HasPrefix(line, d.challenge); first = false {
		challenge, bad := sasl.DecodeResponse([]byte(strings.TrimPrefix(line, d.challenge)))
		if bad != nil {
			return "", bad
		}
		response := client.Start()
		if !first {
			if response, err = client.Next(challenge); err != nil {
				return "", err
			}
		}
		line, err = c.ask("%s", sasl.Encode(response))
	}
	if err == nil && strings.HasPrefix(line, d.ok) {
		err = client.Finish()
	}
	return line, err
}

var (
	sendingMechanisms = []string{sasl.Plain, sasl.Login, commandLogin}
	provingMechanisms = []string{sasl.ScramSHA256, sasl.ScramSHA256Plus}
)

// TestLogins is the scenario T-CACHE (specification, section 3.5) over SMTP, IMAP and POP3, with changes made by
// commands while the server runs.
func TestLogins(t *testing.T) {
	t.Parallel()
	s := start(t)
	const user = "ann@example.org"
	all := append(provingMechanisms, sendingMechanisms...)
	// each logs in by mechanisms at all doors at once.
	each := func(step string, mechanisms []string, password, want string) {
		t.Helper()
		var work errgroup.Group
		work.SetLimit(8)
		for _, d := range dialects {
			for _, m := range mechanisms {
				if m == commandLogin && d.plain == nil {
					continue
				}
				work.Go(func() error {
					if got, err := s.login(d, m, user, password); got != want || err != nil {
						t.Errorf("%s: %s over %s: %q, %v; want %s", step, m, d.name, got, err, want)
					}
					return nil
				})
			}
		}
		_ = work.Wait()
	}
	command := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(s.candor("", append(args, "--config", s.config)...))
	}
	s.candor("secret\n", "account", "password", user, "--password-stdin", "--config", s.config)
	for range 2 {
		each("right", all, "secret", "ok")
		each("wrong", all, "wrong", "refused")
	}
	if got := command("auth", "cache", "show", user); strings.Count(got, "current") != len(dialects) {
		t.Errorf("the cache holds\n%s\nwant an entry for each of %d services", got, len(dialects))
	}
	s.candor("changed\n", "account", "password", user, "--password-stdin", "--config", s.config)
	each("the old password", all, "secret", "refused")
	each("the new password", all, "changed", "ok")

	app := command("account", "app-password", "add", user, "--name", "phone")
	each("an app password", all, app, "ok")
	command("account", "app-password", "revoke", user, "phone")
	each("a revoked one", all, app, "refused")
	each("the main one after it", all, "changed", "ok")

	command("account", "require", user, "scram")
	each("SCRAM is required", provingMechanisms, "changed", "ok")
	each("SCRAM is required", sendingMechanisms, "changed", "refused")
	command("account", "require", user, "plain-ok")
	command("account", "disable", user)
	each("disabled", all, "changed", "refused")
	command("account", "enable", user)
	each("enabled", all, "changed", "ok")

	s.candor("old@example.org:{SSHA}pyCe/6X2ihSvNRnT490IWy53XKBqVI5D\n", "account", "import", "-", "--config", s.config)
	each("while another has an old hash", provingMechanisms, "changed", "not offered")
	each("while another has an old hash", sendingMechanisms, "changed", "ok")
	if got, err := s.login(dialects[1], sasl.Plain, "old@example.org", "correct-horse"); got != "ok" {
		t.Errorf("by an old hash: %q, %v", got, err)
	}
	each("when that is replaced", all, "changed", "ok")
	if got, err := s.login(dialects[1], sasl.ScramSHA256Plus, "old@example.org", "correct-horse"); got != "ok" {
		t.Errorf("after an old hash: %q, %v", got, err)
	}
	if got := command("auth", "cache", "drop", user); !strings.Contains(got, "entries of ann@example.org are dropped") {
		t.Errorf("drop says %q", got)
	}
	each("after the drop", all, "changed", "ok")
	if strings.Contains(s.log.String(), app) {
		t.Error("the log holds an app password")
	}
}
