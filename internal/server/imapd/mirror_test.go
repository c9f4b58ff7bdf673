package imapd

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest"
)

// told is what one message was last told to be like. Flags are sorted and put into one string.
type told struct {
	flags  string
	modSeq int
	known  bool // flags are
}

// mirror is a client that knows its mailbox by what the server tells, and complains when that makes no sense.
type mirror struct {
	t    testing.TB
	name string
	w    *mailtest.World
	addr string
	conn net.Conn
	r    *bufio.Reader
	n    int

	qresync, condStore bool

	box      string // selected; empty: none
	readOnly bool
	uids     []int // by sequence number; 0: not known yet
	messages map[int]told
	validity int
	highest  int // HIGHESTMODSEQ as it may be kept for a reconnect (RFC 7162, section 6)
	seen     int // the highest MODSEQ heard since the last tagged response
	log      []string
	// observe is told every flags with their MODSEQ.
	observe func(box string, validity, uid int, m told)
}

// outcome is how a command ended, and what came before.
type outcome struct {
	condition, code, text string
	numbers               []int // of SEARCH
	bodies                map[int]string
	fetched               []int // UIDs, or sequence numbers where no UID came
	earlier               []int // UIDs of VANISHED (EARLIER)
	vanished              []int // UIDs of VANISHED
	status                string
	highest               int    // HIGHESTMODSEQ code; 0: none
	copied                string // COPYUID code
	bye                   bool
}

func newMirror(t testing.TB, w *mailtest.World, addr, name string) *mirror {
	m := &mirror{t: t, name: name, w: w, addr: addr}
	m.connect()
	return m
}

func (m *mirror) connect() {
	conn, err := tls.Dial("tcp", m.addr, m.w.ClientTLS())
	if err != nil {
		m.t.Fatal(err)
	}
	m.conn, m.r, m.box, m.qresync, m.condStore = conn, bufio.NewReaderSize(conn, 16<<10), "", false, false
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := m.r.ReadString('\n'); err != nil {
		m.t.Fatal(err)
	}
	m.do("LOGIN ann@example.org secret")
}

func (m *mirror) close() { m.conn.Close() }

func (m *mirror) errorf(format string, args ...any) {
	m.t.Helper()
	m.t.Errorf("%s: %s\nlast lines:\n%s", m.name, fmt.Sprintf(format, args...), strings.Join(m.log[max(0, len(m.log)-40):], "\n"))
}

// numbersHold reports whether a command forbids telling expunges while it is under way.
func numbersHold(command string) bool {
	word, rest, _ := strings.Cut(command, " ")
	return word == "FETCH" || word == "STORE" || word == "SEARCH" || word == "UID" && byNumber.MatchString(rest)
}

// byNumber matches a UID SEARCH whose keys have message sequence numbers.
var byNumber = regexp.MustCompile(`^SEARCH (OR DELETED )?[0-9*]`)

// do sends a command and follows the responses to its end. With an IDLE it sends DONE when after returns.
func (m *mirror) do(command string, after ...func()) (o outcome) {
	m.t.Helper()
	m.n++
	tag := "m" + strconv.Itoa(m.n)
	m.note("C: " + command)
	m.conn.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(m.conn, tag+" "+command+"\r\n")
	m.seen = 0
	for {
		line, literal, err := m.line()
		switch {
		case err != nil:
			if !errors.Is(err, io.EOF) && !o.bye {
				m.errorf("%s: %v", command, err)
			}
			o.bye = true
			return o
		case strings.HasPrefix(line, tag+" "):
			o.end(line[len(tag)+1:])
			m.ended(&o)
			return o
		case strings.HasPrefix(line, "+"):
			for _, f := range after {
				f()
			}
			io.WriteString(m.conn, "DONE\r\n")
		default:
			m.follow(&o, command, line, literal)
		}
	}
}

func (m *mirror) note(line string) {
	m.log = append(m.log, line)
	if len(m.log) > 400 {
		m.log = slices.Clone(m.log[200:])
	}
}

// line reads a response line with the literal in it, if there is one, whose mark it keeps.
func (m *mirror) line() (line, literal string, err error) {
	for {
		part, err := m.r.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		part = strings.TrimSuffix(part, "\r\n")
		line += part
		i := strings.LastIndexByte(part, '{')
		if i < 0 || !strings.HasSuffix(part, "}") {
			m.note("S: " + line)
			return line, literal, nil
		}
		n, _ := strconv.Atoi(part[i+1 : len(part)-1])
		b := make([]byte, n)
		if _, err := io.ReadFull(m.r, b); err != nil {
			return "", "", err
		}
		literal = string(b)
	}
}

func (o *outcome) end(rest string) {
	o.condition, o.text, _ = strings.Cut(rest, " ")
	if strings.HasPrefix(o.text, "[") {
		o.code, o.text, _ = strings.Cut(o.text[1:], "] ")
	}
	if v, ok := strings.CutPrefix(o.code, "HIGHESTMODSEQ "); ok {
		o.highest, _ = strconv.Atoi(v)
	}
	if v, ok := strings.CutPrefix(o.code, "COPYUID "); ok {
		o.copied = v
	}
}

// ended does at a tagged response what RFC 7162, section 6 tells clients to do.
func (m *mirror) ended(o *outcome) {
	switch {
	case o.highest != 0:
		m.highest = o.highest
	case m.seen > m.highest:
		m.highest = m.seen
	}
}

var (
	uidItem    = regexp.MustCompile(`[( ]UID (\d+)`)
	flagsItem  = regexp.MustCompile(`[( ]FLAGS \(([^)]*)\)`)
	modSeqItem = regexp.MustCompile(`[( ]MODSEQ \((\d+)\)`)
	codeOf     = regexp.MustCompile(`^\* OK \[([A-Z]+) (\d+)\]`)
)

func (m *mirror) follow(o *outcome, command, line, literal string) {
	f := strings.Fields(line)
	if _, code, ok := strings.Cut(line, "[COPYUID "); ok {
		o.copied, _, _ = strings.Cut(code, "]")
		return
	}
	if c := codeOf.FindStringSubmatch(line); c != nil {
		n, _ := strconv.Atoi(c[2])
		switch c[1] {
		case "UIDVALIDITY":
			m.validity = n
		case "HIGHESTMODSEQ":
			o.highest = n
		}
		return
	}
	switch f[1] {
	case "OK", "FLAGS", "CAPABILITY", "ENABLED", "LIST":
	case "BYE":
		o.bye = true
	case "STATUS":
		o.status = line
	case "SEARCH":
		for _, n := range f[2:] {
			if strings.HasPrefix(n, "(") {
				break
			}
			v, _ := strconv.Atoi(n)
			o.numbers = append(o.numbers, v)
		}
	case "VANISHED":
		if f[2] == "(EARLIER)" {
			o.earlier = append(o.earlier, numbersOf(f[3])...)
			return
		}
		uids := numbersOf(f[2])
		o.vanished = append(o.vanished, uids...)
		m.vanished(command, line, uids)
	default:
		m.numbered(o, command, line, literal, f)
	}
}

func (m *mirror) vanished(command, line string, uids []int) {
	if !m.qresync || numbersHold(command) {
		m.errorf("%s: %s is not allowed", command, line)
	}
	for _, uid := range uids {
		i := slices.Index(m.uids, uid)
		if i < 0 {
			// It may be one that has come and of which only the number is known, behind those before it.
			for i = len(m.uids); i > 0 && (m.uids[i-1] == 0 || m.uids[i-1] > uid); {
				i--
			}
			if i == len(m.uids) || m.uids[i] != 0 {
				m.errorf("%s: %s names %d, which was never told", command, line, uid)
				return
			}
		}
		m.uids = slices.Delete(m.uids, i, i+1)
		delete(m.messages, uid)
	}
}

func (m *mirror) numbered(o *outcome, command, line, literal string, f []string) {
	n, err := strconv.Atoi(f[1])
	if err != nil || len(f) < 3 {
		m.errorf("%s: %q is not understood", command, line)
		return
	}
	switch f[2] {
	case "RECENT":
	case "EXISTS":
		if n < len(m.uids) {
			m.errorf("%s: %s, but there are %d", command, line, len(m.uids))
			return
		}
		m.uids = append(m.uids, make([]int, n-len(m.uids))...)
	case "EXPUNGE":
		if m.qresync || numbersHold(command) || n < 1 || n > len(m.uids) {
			m.errorf("%s: %s with %d messages", command, line, len(m.uids))
			return
		}
		delete(m.messages, m.uids[n-1])
		m.uids = slices.Delete(m.uids, n-1, n)
	case "FETCH":
		m.fetched(o, command, line, literal, n)
	default:
		m.errorf("%s: %q is not understood", command, line)
	}
}

func (m *mirror) fetched(o *outcome, command, line, literal string, n int) {
	if n < 1 || n > len(m.uids) {
		m.errorf("%s: %s with %d messages", command, line, len(m.uids))
		return
	}
	if u := uidItem.FindStringSubmatch(line); u != nil {
		uid, _ := strconv.Atoi(u[1])
		if m.uids[n-1] != 0 && m.uids[n-1] != uid || n > 1 && m.uids[n-2] >= uid || slices.ContainsFunc(m.uids[n:], func(u int) bool { return u != 0 && u <= uid }) {
			m.errorf("%s: %s, but the UIDs are %v", command, line, m.uids)
			return
		}
		m.uids[n-1] = uid
	}
	uid := m.uids[n-1]
	o.fetched = append(o.fetched, uid)
	if literal != "" {
		if o.bodies == nil {
			o.bodies = map[int]string{}
		}
		o.bodies[uid] = literal
	}
	is := m.messages[uid]
	if s := modSeqItem.FindStringSubmatch(line); s != nil {
		v, _ := strconv.Atoi(s[1])
		if v < is.modSeq {
			m.errorf("%s: %s, but its MODSEQ was %d", command, line, is.modSeq)
		}
		is.modSeq = v
		m.seen = max(m.seen, v)
	} else if m.condStore && flagsItem.MatchString(line) {
		m.errorf("%s: %s has no MODSEQ", command, line)
	}
	if s := flagsItem.FindStringSubmatch(line); s != nil {
		names := strings.Fields(s[1])
		slices.Sort(names)
		is.flags, is.known = strings.Join(names, " "), true
		if m.qresync && uidItem.FindString(line) == "" {
			m.errorf("%s: %s has no UID", command, line)
		}
		if m.observe != nil && m.condStore && uid != 0 {
			m.observe(m.box, m.validity, uid, is)
		}
	}
	if m.messages != nil {
		m.messages[uid] = is
	}
}
