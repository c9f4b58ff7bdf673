package interop

import (
	"fmt"
	"net"
	"net/smtp"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// memoryCeiling is what the server is told to keep to, in octets.
const memoryCeiling = 512 << 20

// soak tells the long form of a test from the short one.
func soak() bool { return os.Getenv("CANDOR_SOAK") != "" }

// scale is a number of the long form, or a smaller one.
func scale(short, long int) int {
	if soak() {
		return long
	}
	return short
}

// startBounded is start with the ceiling. Its tests run one after the other: they measure.
func startBounded(t *testing.T) *server {
	t.Helper()
	s := prepare(t, "[limits]\nexempt = [\"127.0.0.0/8\"]\nmemory = \"512MiB\"\n")
	s.account("ann@example.org", "secret")
	s.run()
	s.account("bob@example.org", "secret")
	return s
}

// resident is the server's memory now and at its highest, in octets (proc_pid_status(5)).
func (s *server) resident(t testing.TB) (now, highest int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatalf("the server is gone: %v\n%s", err, tail(s.log.String()))
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			now = n << 10
		case "VmHWM:":
			highest = n << 10
		}
	}
	return now, highest
}

// processorTime is what the server has used so far (proc_pid_stat(5), in ticks of 10 ms).
func (s *server) processorTime(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		t.Fatalf("the server is gone: %v\n%s", err, tail(s.log.String()))
	}
	_, fields, _ := strings.Cut(string(text), ") ")
	var ticks int
	for _, f := range strings.Fields(fields)[11:13] {
		n, _ := strconv.Atoi(f)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// witness is somebody else's use of the server during an attack.
type witness struct {
	s       *server
	stop    chan struct{}
	done    sync.WaitGroup
	mu      sync.Mutex
	reading []time.Duration // login, NOOP, SELECT, FETCH
	sending []time.Duration // a delivery
	failed  error
}

// watch begins to use the server as others do.
func (s *server) watch(t *testing.T) *witness {
	t.Helper()
	s.sendPlain(t, "bob@example.org", "for the witness")
	s.waitFor(t, "bob@example.org", "for the witness")
	w := &witness{s: s, stop: make(chan struct{})}
	w.repeat(w.read, &w.reading)
	w.repeat(w.send, &w.sending)
	return w
}

func (w *witness) repeat(f func() error, times *[]time.Duration) {
	w.done.Go(func() {
		for {
			began := time.Now()
			err := f()
			w.mu.Lock()
			*times = append(*times, time.Since(began))
			if err != nil && w.failed == nil {
				w.failed = err
			}
			w.mu.Unlock()
			select {
			case <-w.stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
}

func (w *witness) read() error {
	c, err := w.s.tryLogin("bob@example.org")
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	defer c.conn.Close()
	for _, command := range []string{"NOOP", "EXAMINE INBOX", "FETCH 1 BODY.PEEK[]"} {
		if _, err := c.do(command); err != nil {
			return err
		}
	}
	return nil
}

func (w *witness) send() error {
	c, err := smtp.Dial(fmt.Sprintf("127.0.0.1:%d", w.s.smtp))
	if err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	defer c.Close()
	if err := sendOver(c, "bob@example.org", "Subject: meanwhile\r\n\r\nHello\r\n"); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	return nil
}

// judge ends the watching: nothing has failed, the median of both was in time, and the memory has
// stayed under the ceiling.
func (w *witness) judge(t *testing.T, attack string) {
	t.Helper()
	close(w.stop)
	w.done.Wait()
	if w.failed != nil {
		t.Errorf("%s: somebody else's use failed: %v\n%s", attack, w.failed, tail(w.s.log.String()))
	}
	limit := time.Second // a machine that runs other tests as well
	if soak() {
		limit = 100 * time.Millisecond
	}
	reading, sending := median(w.reading), median(w.sending)
	if reading > limit || sending > limit {
		t.Errorf("%s: reading takes %s and sending %s at the median, want less than %s", attack, reading, sending, limit)
	}
	now, highest := w.s.resident(t)
	if highest > memoryCeiling {
		t.Errorf("%s: %d MiB of memory, more than %d MiB", attack, highest>>20, memoryCeiling>>20)
	}
	t.Logf("%s: memory %d MiB at most, %d MiB now; reading %s and sending %s at the median of %d and %d",
		attack, highest>>20, now>>20, reading.Round(time.Millisecond), sending.Round(time.Millisecond), len(w.reading), len(w.sending))
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// crowd runs f so many times at once.
func crowd(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// hold opens n connections with f, a few at a time, and closes them at the end of the test.
func hold(t *testing.T, n int, f func() (net.Conn, error)) []net.Conn {
	t.Helper()
	var mu sync.Mutex
	var all []net.Conn
	slots := make(chan struct{}, 16)
	crowd(n, func(int) {
		slots <- struct{}{}
		defer func() { <-slots }()
		c, err := f()
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Errorf("connection %d: %v", len(all), err)
			return
		}
		all = append(all, c)
	})
	t.Cleanup(func() { closeAll(all) })
	return all
}

func closeAll(all []net.Conn) {
	for _, c := range all {
		c.Close()
	}
}
