package interop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// crashRounds is how often TestCrash kills: CANDOR_CRASH_ROUNDS, else by how much time there is.
func crashRounds() int {
	if n, err := strconv.Atoi(os.Getenv("CANDOR_CRASH_ROUNDS")); err == nil {
		return n
	}
	switch {
	case os.Getenv("CANDOR_SOAK") != "":
		return 500
	case os.Getenv("CI") != "":
		return 50
	}
	return 10
}

// TestCrash kills the server with SIGKILL under mixed load, again and again, also while it starts. What was
// acknowledged is there after each start: mail byte for byte and once, flags and UIDs as they were told, states of
// mailboxes not older than they were told, submitted mail in the queue or sent. What was asked for without an answer
// has happened wholly or not at all. `candor verify` finds no fault in the store.
func TestCrash(t *testing.T) {
	rounds := crashRounds()
	next := startNextHop(t)
	s := prepare(t, fmt.Sprintf("[limits]\nexempt = [\"127.0.0.0/8\"]\ncollector_interval = \"1s\"\n[outbound]\nsmarthost = %q\nprivate_targets = [\"127.0.0.0/8\"]\n", next.address))
	s.account("ann@example.org", "secret")
	s.account("bob@example.org", "secret")
	s.run()
	s.imapScript(t, "ann@example.org", "CREATE appended")
	load := &crashLoad{server: s, texts: &crashTexts{}, next: next}
	for i, user := range []string{"ann@example.org", "ann@example.org", "bob@example.org"} {
		load.clerks = append(load.clerks, newClerk(t, s, user, i, load.texts))
	}
	slowest := time.Duration(0)
	for round := range rounds {
		load.run(lifetime(round))
		if rand.IntN(4) == 0 {
			s.killWhileStarting(time.Duration(rand.IntN(120)) * time.Millisecond)
		}
		last := round == rounds-1
		begin := time.Now()
		s.run()
		slowest = max(slowest, time.Since(begin))
		if round%10 == 9 || last {
			s.verify(t)
		}
		if err := load.check(t, round%100 == 99 || last); err != nil {
			t.Fatalf("round %d: %v\n%s", round, err, tail(s.log.String()))
		}
		if round%50 == 49 {
			t.Logf("%d kills: %s", round+1, load)
		}
	}
	if err := load.drain(); err != nil {
		t.Fatalf("%v\n%s", err, tail(s.log.String()))
	}
	if n := load.texts.count(); n < 3*rounds {
		t.Fatalf("only %d messages in %d rounds: the test did not load the server", n, rounds)
	}
	t.Logf("%d kills, slowest start %v; %s", rounds, slowest.Round(time.Millisecond), load)
}

// lifetime is how long the server lives under load: a moment, and in the long form now and then as long as the
// collector needs before it removes anything.
func lifetime(round int) time.Duration {
	d := time.Duration(20+rand.IntN(400)) * time.Millisecond
	if os.Getenv("CANDOR_SOAK") != "" && round%25 == 24 {
		d += time.Minute + time.Duration(rand.IntN(10_000))*time.Millisecond
	}
	return d
}

// killWhileStarting starts the server and kills it before or shortly after it is ready.
func (s *server) killWhileStarting(after time.Duration) {
	s.t.Helper()
	cmd := exec.Command(binary, "serve", "--config", s.config)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(after)
	cmd.Process.Kill()
	cmd.Wait()
}

// verify has the running server's store checked.
func (s *server) verify(t *testing.T) {
	t.Helper()
	if out, err := s.tryFor(15*time.Minute, "", "verify", "--config", s.config); err != nil { // of gigabytes, after hundreds of rounds
		t.Fatalf("candor verify: %v\n%s", err, tail(out))
	}
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// crashTexts makes the messages of the test: each follows from its number, so that what is read back can be checked
// without being remembered.
type crashTexts struct {
	mu sync.Mutex
	n  int
}

func (c *crashTexts) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

func (c *crashTexts) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// crashText is message n. Every 7th streams into the segment, every 97th is of some MiB.
func crashText(n int) string {
	size := 200
	switch {
	case n%97 == 0:
		size = 3 << 20
	case n%7 == 0:
		size = 100_000
	}
	line := fmt.Sprintf("line of message %d\r\n", n)
	return fmt.Sprintf("From: ann@example.org\r\nTo: bob@example.org\r\nSubject: crash\r\nMessage-ID: <%d@crash.test>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\n\r\n%s", n, strings.Repeat(line, size/len(line)))
}

// crashNumber finds which message a stored text is and checks that it is whole: text may only have fields on top of what
// was sent.
func crashNumber(text string) (int, error) {
	_, rest, _ := strings.Cut(text, "Message-ID: <")
	digits, _, ok := strings.Cut(rest, "@crash.test>\r\n")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return 0, fmt.Errorf("a message that nobody sent: %.300q", text)
	}
	if want := crashText(n); !strings.HasSuffix(text, want) || strings.Contains(text[:len(text)-len(want)], "crash.test") {
		return 0, fmt.Errorf("message %d is not as it was sent: %d octets, sent %d: %.300q", n, len(text), len(want), text)
	}
	return n, nil
}
