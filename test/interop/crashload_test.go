package interop

import (
	"fmt"
	"net/smtp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// crashLoad is the load of TestCrash and what the server has promised under it.
type crashLoad struct {
	server *server
	texts  *crashTexts
	next   *nextHop
	clerks []*clerk

	mu        sync.Mutex
	delivered []int // sent to ann and bob, with a 250
	appended  []int // to ann's "appended", with an OK
	submitted []int // for the next hop, with a 250

	seen   [3]map[int]bool // by place: what has been found
	marks  [3]mailboxState // by place: up to where it has been read
	counts struct{ delivered, appended, submitted int }
}

// places are the mailboxes that only grow.
var places = [3]struct{ user, mailbox string }{{"ann@example.org", "INBOX"}, {"bob@example.org", "INBOX"}, {"ann@example.org", "appended"}}

func (l *crashLoad) String() string {
	commands := 0
	for _, c := range l.clerks {
		commands += c.done
	}
	return fmt.Sprintf("acknowledged and found: %d delivered to two, %d appended, %d submitted (%d sent again after a crash); %d commands of clerks; %d messages in all",
		l.counts.delivered, l.counts.appended, l.counts.submitted, l.next.repeated(), commands, l.texts.count())
}

// run loads the server, kills it some time after the load has begun, and waits for all to notice.
func (l *crashLoad) run(d time.Duration) {
	stop := make(chan struct{})
	workers := []func(<-chan struct{}){l.deliver, l.deliver, l.append, l.submit}
	for _, c := range l.clerks {
		workers = append(workers, c.work)
	}
	before := l.texts.count()
	var wg sync.WaitGroup
	for _, work := range workers {
		wg.Go(func() { work(stop) })
	}
	for end := time.Now().Add(3 * time.Second); l.texts.count() < before+len(workers) && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(d)
	l.server.kill()
	close(stop)
	wg.Wait()
}

func ended(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

func (l *crashLoad) note(list *[]int, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*list = append(*list, n)
}

// deliver sends to ann and bob over port 25.
func (l *crashLoad) deliver(stop <-chan struct{}) {
	c, err := smtp.Dial(fmt.Sprintf("127.0.0.1:%d", l.server.smtp))
	if err != nil {
		return
	}
	defer c.Close()
	for !ended(stop) {
		n := l.texts.next()
		if transact(c, n, "eve@elsewhere.example", "ann@example.org", "bob@example.org") != nil {
			return
		}
		l.note(&l.delivered, n)
	}
}

// submit sends as ann to another host, which puts off much of it.
func (l *crashLoad) submit(stop <-chan struct{}) {
	conn, err := dialTLS(l.server, l.server.submissions)
	if err != nil {
		return
	}
	defer conn.Close()
	c, err := smtp.NewClient(conn, hostname)
	if err == nil {
		err = c.Auth(smtp.PlainAuth("", "ann@example.org", "secret", hostname))
	}
	if err != nil {
		return
	}
	for !ended(stop) {
		n := l.texts.next()
		if transact(c, n, "ann@example.org", "friend@elsewhere.example") != nil {
			return
		}
		l.note(&l.submitted, n)
	}
}

// transact sends message n.
func transact(c *smtp.Client, n int, from string, to ...string) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	for _, r := range to {
		if err := c.Rcpt(r); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(crashText(n))); err != nil {
		return err
	}
	return w.Close()
}

// append stores messages over IMAP.
func (l *crashLoad) append(stop <-chan struct{}) {
	c, err := l.server.tryLogin("ann@example.org")
	if err != nil {
		return
	}
	defer c.conn.Close()
	for !ended(stop) {
		n := l.texts.next()
		if _, err := c.append("appended", `(\Seen)`, crashText(n)); err != nil {
			return
		}
		l.note(&l.appended, n)
	}
}

// check reads what is new in each mailbox, or all of it, and compares with what was promised.
func (l *crashLoad) check(t *testing.T, all bool) error {
	for _, c := range l.clerks {
		if err := c.check(); err != nil {
			return fmt.Errorf("clerk %d of %s: %w", c.number, c.user, err)
		}
	}
	for i, p := range places {
		now := l.server.mailboxState(t, p.user, p.mailbox)
		if now.before(l.marks[i]) {
			return fmt.Errorf("the state of %s of %s went from %+v to %+v", p.mailbox, p.user, l.marks[i], now)
		}
		from := max(l.marks[i].next, 1)
		if all {
			from, l.seen[i] = 1, nil
		}
		if err := l.read(i, from); err != nil {
			return fmt.Errorf("%s of %s: %w", p.mailbox, p.user, err)
		}
		l.marks[i] = now
	}
	for i, promised := range [][]int{l.delivered, l.delivered, l.appended} {
		for _, n := range promised {
			if !l.seen[i][n] {
				return fmt.Errorf("message %d was acknowledged and is missing in %s of %s", n, places[i].mailbox, places[i].user)
			}
		}
	}
	if !all {
		return nil
	}
	l.counts.delivered, l.counts.appended = len(l.delivered), len(l.appended)
	return nil
}

// read reads the messages of place i with a UID of from and above.
func (l *crashLoad) read(i, from int) error {
	if l.seen[i] == nil {
		l.seen[i] = map[int]bool{}
	}
	c, err := l.server.tryLogin(places[i].user)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	messages, err := c.messages(places[i].mailbox, from)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if l.seen[i][m.n] {
			return fmt.Errorf("message %d is there twice", m.n)
		}
		l.seen[i][m.n] = true
	}
	return nil
}

// drain lets the next hop accept everything and waits until the queue has sent what was submitted.
func (l *crashLoad) drain() error {
	l.next.acceptAll()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if _, err := l.server.try("", "queue", "retry", "--all", "--config", l.server.config); err != nil {
			return fmt.Errorf("queue retry: %w", err)
		}
		list, err := l.server.try("", "queue", "list", "--config", l.server.config)
		if err != nil {
			return fmt.Errorf("queue list: %w", err)
		}
		if strings.TrimSpace(list) == "" {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("the queue still holds\n%s", list)
		}
	}
	got := l.next.received()
	for _, n := range l.submitted {
		if _, ok := slices.BinarySearch(got, n); !ok {
			return fmt.Errorf("submitted message %d was acknowledged and neither sent nor kept", n)
		}
	}
	l.counts.submitted = len(l.submitted)
	return l.next.failure()
}

// mailboxState holds numbers that may only rise.
type mailboxState struct{ validity, next, modseq int }

func (a mailboxState) before(b mailboxState) bool {
	return a.validity != b.validity && b.validity != 0 || a.next < b.next || a.modseq < b.modseq
}

func (s *server) mailboxState(t *testing.T, user, mailbox string) mailboxState {
	t.Helper()
	c := s.imapLogin(t, user)
	defer c.conn.Close()
	m, err := c.state(mailbox)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
