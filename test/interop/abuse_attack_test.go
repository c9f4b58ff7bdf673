package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"candor/internal/mailtest"
)

// attackVariable has, in a process that attacks, the target.
const attackVariable = "CANDOR_TEST_ATTACK"

// target is a server under attack, as the attacking process is told of it.
type target struct {
	Cert  string
	Ports [7]int
}

func attacking() bool { return os.Getenv(attackVariable) != "" }

// abuse watches other people's use of a server while it is attacked, and judges it. prepare may be nil.
func abuse(t *testing.T, name string, prepare func(t *testing.T, s *server), attack func(t *testing.T, s *server)) {
	t.Helper()
	if attacking() {
		attack(t, attacked(t))
		return
	}
	s := startBounded(t)
	if prepare != nil {
		prepare(t, s)
	}
	w := s.watch(t)
	s.attack(t)
	w.judge(t, name)
}

// attack runs the attack of this test in a process of its own. Attackers have computers of their own: here, where
// they share one with the server, they get the time that it leaves, and what is measured is the server. It has more to do
// than it can all the same.
func (s *server) attack(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nice", "-n", "19", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.timeout", "30m")
	cmd.Env = append(os.Environ(), attackVariable+"="+s.target(t))
	began, before := time.Now(), s.processorTime(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the attack failed: %v\n%s", err, out)
	}
	t.Logf("in %s the server used %s of processor time, the attackers %s", time.Since(began).Round(time.Millisecond),
		s.processorTime(t)-before, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Round(10*time.Millisecond))
}

// target is the server as an attacking process is told of it.
func (s *server) target(t *testing.T) string {
	t.Helper()
	p := s.ports
	text, err := json.Marshal(target{s.cert, [7]int{p.smtp, p.submission, p.submissions, p.imap, p.imaps, p.pop3, p.pop3s}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// attacked is the server that this process attacks.
func attacked(t *testing.T) *server {
	t.Helper()
	var it target
	if err := json.Unmarshal([]byte(os.Getenv(attackVariable)), &it); err != nil {
		t.Fatal(err)
	}
	p := it.Ports
	return &server{t: t, cert: it.Cert, ports: ports{p[0], p[1], p[2], p[3], p[4], p[5], p[6]}, log: &mailtest.Buffer{}}
}
