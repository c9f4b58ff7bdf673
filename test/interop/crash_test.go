package interop

import (
	"fmt"
	"math/rand/v2"
	"net/smtp"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// acknowledged is what the server has promised: message texts by their marks, and the flags last set.
type acknowledged struct {
	mu       sync.Mutex
	messages map[string]string // Message-ID → text without trace fields, delivered to INBOX or appended
	n        int
}

func (a *acknowledged) next() (mark, text string) {
	a.mu.Lock()
	a.n++
	n := a.n
	a.mu.Unlock()
	mark = fmt.Sprintf("<%d@crash.test>", n)
	size := 200
	if n%7 == 0 {
		size = 100_000 // streams into the segment
	}
	body := strings.Repeat(fmt.Sprintf("line of message %d\r\n", n), size/20)
	return mark, fmt.Sprintf("From: eve@elsewhere.example\r\nTo: ann@example.org\r\nSubject: crash\r\nMessage-ID: %s\r\n\r\n%s", mark, body)
}

func (a *acknowledged) add(mark, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.messages[mark] = text
}

// TestCrash kills the server with SIGKILL under load, again and again: every message that was acknowledged is there,
// once, unchanged, and the state of the mailbox never goes backwards. CANDOR_CRASH_ROUNDS sets the number of kills.
func TestCrash(t *testing.T) {
	rounds := 50
	if n, err := strconv.Atoi(os.Getenv("CANDOR_CRASH_ROUNDS")); err == nil {
		rounds = n
	}
	s := start(t)
	s.imapScript(t, "ann@example.org", "CREATE appended")
	acked := &acknowledged{messages: map[string]string{}}
	var last mailboxState
	for round := range rounds {
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { s.sendUntil(stop, acked) })
			wg.Go(func() { s.appendUntil(stop, acked) })
		}
		time.Sleep(time.Duration(20+rand.IntN(250)) * time.Millisecond)
		s.kill()
		close(stop)
		wg.Wait()
		s.run()
		now := s.mailboxState(t, "ann@example.org", "INBOX")
		if now.before(last) {
			t.Fatalf("round %d: the state of INBOX went from %+v to %+v", round, last, now)
		}
		last = now
		if round%10 == 9 || round == rounds-1 {
			s.compare(t, acked)
		}
	}
	if len(acked.messages) < rounds {
		t.Fatalf("only %d messages were acknowledged in %d rounds: the test did not load the server", len(acked.messages), rounds)
	}
	t.Logf("%d kills, %d messages acknowledged and found", rounds, len(acked.messages))
}

// mailboxState holds numbers that may only rise.
type mailboxState struct{ validity, next, modseq int }

func (a mailboxState) before(b mailboxState) bool {
	return a.validity != b.validity && b.validity != 0 || a.next < b.next || a.modseq < b.modseq
}

func (s *server) mailboxState(t *testing.T, user, mailbox string) (m mailboxState) {
	t.Helper()
	c := s.imapLogin(t, user)
	defer c.conn.Close()
	lines, err := c.do("STATUS " + mailbox + " (UIDVALIDITY UIDNEXT HIGHESTMODSEQ)")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(strings.Trim(lines[0][strings.Index(lines[0], "(")+1:], ")"))
	for i := 0; i+1 < len(f); i += 2 {
		n, _ := strconv.Atoi(f[i+1])
		switch f[i] {
		case "UIDVALIDITY":
			m.validity = n
		case "UIDNEXT":
			m.next = n
		case "HIGHESTMODSEQ":
			m.modseq = n
		}
	}
	return m
}

// sendUntil delivers messages over port 25, noting those that got a 250.
func (s *server) sendUntil(stop <-chan struct{}, acked *acknowledged) {
	for {
		c, err := smtp.Dial(fmt.Sprintf("127.0.0.1:%d", s.smtp))
		if err != nil {
			return
		}
		for err == nil {
			select {
			case <-stop:
				c.Close()
				return
			default:
			}
			mark, text := acked.next()
			if err = oneTransaction(c, text); err == nil {
				acked.add(mark, text)
			}
		}
		c.Close()
	}
}

func oneTransaction(c *smtp.Client, text string) error {
	if err := c.Mail("eve@elsewhere.example"); err != nil {
		return err
	}
	if err := c.Rcpt("ann@example.org"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return err
	}
	return w.Close()
}

// appendUntil appends messages over IMAP, noting those that got an OK.
func (s *server) appendUntil(stop <-chan struct{}, acked *acknowledged) {
	c, err := s.tryLogin("ann@example.org")
	if err != nil {
		return
	}
	defer c.conn.Close()
	for {
		select {
		case <-stop:
			return
		default:
		}
		mark, text := acked.next()
		if _, err := c.append("appended", `(\Seen)`, text); err != nil {
			return
		}
		acked.add(mark, text)
	}
}

// compare reads everything back: each acknowledged message once and unchanged, and nothing torn.
func (s *server) compare(t *testing.T, acked *acknowledged) {
	t.Helper()
	found := map[string]int{}
	c := s.imapLogin(t, "ann@example.org")
	defer c.conn.Close()
	for _, mailbox := range []string{"INBOX", "appended"} {
		if _, err := c.do("EXAMINE " + mailbox); err != nil {
			t.Fatal(err)
		}
		lines, err := c.do("UID FETCH 1:* (RFC822.SIZE BODY.PEEK[])")
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			head, text, ok := strings.Cut(l, "\r\n")
			m := literalEnd.FindStringSubmatch(head + "\r\n")
			if !ok || m == nil {
				continue
			}
			n, _ := strconv.Atoi(m[1])
			text = withoutTrace(text[:n])
			_, rest, _ := strings.Cut(text, "Message-ID: ")
			mark, _, _ := strings.Cut(rest, "\r\n")
			found[mark]++
			if want, ok := acked.messages[mark]; ok && want != text {
				t.Fatalf("%s changed:\ngot  %.300q\nwant %.300q", mark, text, want)
			}
		}
	}
	missing, twice := 0, 0
	for mark := range acked.messages {
		switch found[mark] {
		case 0:
			missing++
		case 1:
		default:
			twice++
		}
	}
	if missing+twice > 0 {
		t.Fatalf("of %d acknowledged messages %d are missing and %d are there twice\n%s", len(acked.messages), missing, twice, tail(s.log.String()))
	}
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// withoutTrace takes our trace fields off the top.
func withoutTrace(text string) string {
	i := strings.Index(text, "From: eve@")
	return text[max(i, 0):]
}
