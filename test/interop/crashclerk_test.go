package interop

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// filed is a message as a clerk knows it.
type filed struct {
	uid   int
	flags uint // bits in the order of clerkFlags
	n     int  // which message it is
}

// clerkFlags are what clerks set and clear.
var clerkFlags = []string{`\Seen`, `\Answered`, `\Flagged`, `\Draft`, `\Deleted`, "$Forwarded", "work"}

const deletedBit = 1 << 4

// shelf is a mailbox as a clerk knows it.
type shelf struct {
	next     int // UIDNEXT
	messages []filed
}

// cabinet is a clerk's two mailboxes. Commands change copies, so that the one before stays.
type cabinet [2]shelf

func (c cabinet) clone() cabinet {
	for i := range c {
		c[i].messages = slices.Clone(c[i].messages)
	}
	return c
}

func (c cabinet) equal(d cabinet) bool {
	return slices.EqualFunc(c[:], d[:], func(a, b shelf) bool { return a.next == b.next && slices.Equal(a.messages, b.messages) })
}

// clerk is the only one to use two mailboxes, so that it can tell what each of its commands leaves there: it appends,
// copies, moves, flags and expunges.
type clerk struct {
	server *server
	texts  *crashTexts
	user   string
	number int
	names  [2]string
	done   int // commands acknowledged

	acked    cabinet  // as of the last answer
	doubt    *cabinet // as the command without an answer leaves it
	told     [2]mailboxState
	client   *imapClient
	selected int // -1: none
	wrong    error
}

func newClerk(t *testing.T, s *server, user string, number int, texts *crashTexts) *clerk {
	t.Helper()
	c := &clerk{server: s, texts: texts, user: user, number: number}
	for i := range c.names {
		c.names[i] = fmt.Sprintf("clerk%d-%d", number, i)
		s.imapScript(t, user, "CREATE "+c.names[i])
		c.acked[i].next = 1
	}
	return c
}

// work carries out random commands until the server is gone.
func (c *clerk) work(stop <-chan struct{}) {
	client, err := c.server.tryLogin(c.user)
	if err != nil {
		return
	}
	defer client.conn.Close()
	c.client, c.selected = client, -1
	for !ended(stop) && c.wrong == nil {
		if c.step() != nil {
			return
		}
		c.done++
	}
}

// step carries out one command. Its error says that the connection is lost.
func (c *clerk) step() error {
	i := rand.IntN(2)
	s := &c.acked[i]
	switch r := rand.IntN(20); {
	case r == 0:
		state, err := c.client.state(c.names[i])
		if err == nil && state.before(c.told[i]) {
			c.wrong = fmt.Errorf("STATUS went from %+v to %+v", c.told[i], state)
		}
		if err == nil {
			c.told[i] = state
		}
		return err
	case len(s.messages) < 3 || r < 6 && len(s.messages) < 60:
		return c.append(i)
	case r < 12:
		return c.store(i)
	case r < 14 && len(c.acked[1-i].messages) < 60:
		return c.copy(i, "COPY")
	case r < 17 && len(c.acked[1-i].messages) < 60:
		return c.copy(i, "MOVE")
	}
	return c.expunge(i)
}

func flagList(bits uint) string {
	var names []string
	for i, f := range clerkFlags {
		if bits&(1<<i) != 0 {
			names = append(names, f)
		}
	}
	return "(" + strings.Join(names, " ") + ")"
}

// answered settles a command: after is what it leaves.
func (c *clerk) command(after cabinet, command string) (string, error) {
	c.doubt = &after
	answer, err := c.client.command(command)
	if err != nil {
		return "", err
	}
	c.doubt, c.acked = nil, after
	return answer, nil
}

func (c *clerk) append(i int) error {
	n, flags := c.texts.next(), uint(rand.IntN(1<<len(clerkFlags)))
	after := c.acked.clone()
	uid := after[i].next
	after[i].next++
	after[i].messages = append(after[i].messages, filed{uid, flags, n})
	text := crashText(n)
	answer, err := c.command(after, fmt.Sprintf("APPEND %s %s {%d+}\r\n%s", c.names[i], flagList(flags), len(text), text))
	c.expect(err, answer, fmt.Sprintf(" %d]", uid))
	return err
}

// expect notes an answer that tells other UIDs than there must be.
func (c *clerk) expect(err error, answer, want string) {
	if err == nil && !strings.Contains(answer, want) {
		c.wrong = fmt.Errorf("answer %.300q lacks %q", answer, want)
	}
}

func (c *clerk) pick(i int) error {
	if c.selected == i {
		return nil
	}
	_, err := c.client.command("SELECT " + c.names[i])
	c.selected = i
	return err
}

// some returns a run of a shelf's messages and its UID set.
func (c *clerk) some(i int) (from, to int, set string) {
	m := c.acked[i].messages
	from = rand.IntN(len(m))
	to = min(len(m), from+1+rand.IntN(10))
	return from, to, fmt.Sprintf("%d:%d", m[from].uid, m[to-1].uid)
}

func (c *clerk) store(i int) error {
	if err := c.pick(i); err != nil {
		return err
	}
	from, to, set := c.some(i)
	if rand.IntN(3) == 0 {
		from, to, set = 0, len(c.acked[i].messages), "1:*"
	}
	bits := uint(rand.IntN(1 << len(clerkFlags)))
	mode := []string{"", "+", "-"}[rand.IntN(3)]
	after := c.acked.clone()
	for k := from; k < to; k++ {
		f := &after[i].messages[k].flags
		switch mode {
		case "":
			*f = bits
		case "+":
			*f |= bits
		case "-":
			*f &^= bits
		}
	}
	_, err := c.command(after, fmt.Sprintf("UID STORE %s %sFLAGS.SILENT %s", set, mode, flagList(bits)))
	return err
}

func (c *clerk) copy(i int, verb string) error {
	if err := c.pick(i); err != nil {
		return err
	}
	from, to, set := c.some(i)
	after := c.acked.clone()
	first := after[1-i].next
	for _, m := range c.acked[i].messages[from:to] {
		m.uid = after[1-i].next
		after[1-i].next++
		after[1-i].messages = append(after[1-i].messages, m)
	}
	if verb == "MOVE" {
		after[i].messages = slices.Delete(after[i].messages, from, to)
	}
	answer, err := c.command(after, fmt.Sprintf("UID %s %s %s", verb, set, c.names[1-i]))
	target := fmt.Sprintf(" %d:%d]", first, first+to-from-1)
	if to-from == 1 {
		target = fmt.Sprintf(" %d]", first)
	}
	c.expect(err, answer, target)
	return err
}

func (c *clerk) expunge(i int) error {
	if err := c.pick(i); err != nil {
		return err
	}
	after := c.acked.clone()
	after[i].messages = slices.DeleteFunc(after[i].messages, func(m filed) bool { return m.flags&deletedBit != 0 })
	_, err := c.command(after, "EXPUNGE")
	return err
}

// check compares what the server has after a start with what it must have.
func (c *clerk) check() error {
	if c.wrong != nil {
		return c.wrong
	}
	client, err := c.server.tryLogin(c.user)
	if err != nil {
		return err
	}
	defer client.conn.Close()
	var now cabinet
	for i, name := range c.names {
		state, err := client.state(name)
		if err != nil {
			return err
		}
		if state.before(c.told[i]) {
			return fmt.Errorf("the state of %s went from %+v to %+v", name, c.told[i], state)
		}
		c.told[i], now[i].next = state, state.next
		if now[i].messages, err = client.messages(name, 1); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if !now.equal(c.acked) && (c.doubt == nil || !now.equal(*c.doubt)) {
		return fmt.Errorf("found\n%v\nacknowledged\n%v\nor, in doubt,\n%v", now, c.acked, c.doubt)
	}
	c.acked, c.doubt = now, nil
	return nil
}

// command runs a command and returns all that is answered, without literals' contents being looked at.
func (c *imapClient) command(command string) (string, error) {
	if _, err := fmt.Fprintf(c.conn, "b %s\r\n", command); err != nil {
		return "", err
	}
	var all strings.Builder
	for {
		line, err := c.line()
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&all, line)
		if rest, tagged := strings.CutPrefix(line, "b "); tagged {
			if !strings.HasPrefix(rest, "OK") {
				return "", fmt.Errorf("%.60s: %s", command, rest)
			}
			return all.String(), nil
		}
	}
}

var statusItem = regexp.MustCompile(`(UIDVALIDITY|UIDNEXT|HIGHESTMODSEQ) (\d+)`)

// state asks for the numbers of a mailbox that may only rise.
func (c *imapClient) state(mailbox string) (m mailboxState, err error) {
	answer, err := c.command("STATUS " + mailbox + " (UIDVALIDITY UIDNEXT HIGHESTMODSEQ)")
	if err != nil {
		return m, err
	}
	for _, item := range statusItem.FindAllStringSubmatch(answer, -1) {
		n, _ := strconv.Atoi(item[2])
		switch item[1] {
		case "UIDVALIDITY":
			m.validity = n
		case "UIDNEXT":
			m.next = n
		case "HIGHESTMODSEQ":
			m.modseq = n
		}
	}
	return m, nil
}

var (
	fetchedUID   = regexp.MustCompile(`[( ]UID (\d+)[ )]`)
	fetchedFlags = regexp.MustCompile(`[( ]FLAGS \(([^)]*)\)`)
)

// messages reads the messages with a UID of from and above, checking that each is whole.
func (c *imapClient) messages(mailbox string, from int) ([]filed, error) {
	if _, err := c.command("EXAMINE " + mailbox); err != nil {
		return nil, err
	}
	lines, err := c.do(fmt.Sprintf("UID FETCH %d:* (UID FLAGS BODY.PEEK[])", from))
	if err != nil {
		return nil, err
	}
	var all []filed
	for _, l := range lines {
		head, rest, _ := strings.Cut(l, "\r\n")
		size := literalEnd.FindStringSubmatch(head + "\r\n")
		if size == nil {
			continue
		}
		f := filed{}
		octets, _ := strconv.Atoi(size[1])
		if f.n, err = crashNumber(rest[:octets]); err != nil {
			return nil, fmt.Errorf("%s: %w", head, err)
		}
		items := head + rest[octets:]
		uid, flags := fetchedUID.FindStringSubmatch(items), fetchedFlags.FindStringSubmatch(items)
		if uid == nil || flags == nil {
			return nil, fmt.Errorf("FETCH answers %q", items)
		}
		f.uid, _ = strconv.Atoi(uid[1])
		for _, name := range strings.Fields(flags[1]) {
			if i := slices.Index(clerkFlags, name); i >= 0 {
				f.flags |= 1 << i
			}
		}
		if f.uid >= from { // from:* names the last one, also when it is below
			all = append(all, f)
		}
	}
	return all, nil
}
