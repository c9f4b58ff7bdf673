package mailtest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"candor/internal/server/listen"
)

// Door is the server that transcripts talk to.
type Door struct {
	Service listen.Service
	Mode    listen.Mode // unless the transcript has a listener section
	// Handler makes the server on a fresh World; what it starts must end with the test.
	Handler func(t *testing.T, w *World) listen.Handler
}

// RunTranscripts plays every file that matches glob against the door, each in a world of its own.
//
// A file is a script followed by sections. The script's lines are
//
//	# text       comment; the first says which sentence of which RFC is shown
//	C: text      the client sends text and CRLF
//	C> "text"    the client sends a Go string literal as it is, without CRLF
//	S: text      the server sends exactly this line
//	S~ pattern   the server sends a line that this regular expression matches whole
//	S* prefix    the server sends any lines up to one that begins so
//	TLS          both shake hands; "TLS fails" expects that to fail
//	CLOSE        the client closes
//	EOF          the server has closed, having sent nothing more
//	[name]       the lines that follow belong to this connection, which is opened the first time
//
// The sections are
//
//	-- listener --                      service and mode, such as "submission implicit"; a third
//	                                    word is what an exception allows to the client, or "ended"
//	-- without-certificate --           TLS cannot be had
//	-- directory --                     as for NewWorld
//	-- given ADDRESS MAILBOX FLAGS… --  a message that is there before
//	-- mailbox ADDRESS MAILBOX --       a message that is there afterwards, without trace fields on top; a
//	                                    section with no text demands an empty mailbox
//	-- log --                           lines of which each must be part of some line of the log
func RunTranscripts(t *testing.T, glob string, d Door) {
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts at %s (%v)", glob, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			play(t, file, string(text), d)
		})
	}
}

// Shown demands that every command is sent in some transcript that matches one of the globs.
func Shown(t *testing.T, commands []string, globs ...string) {
	t.Helper()
	var sent strings.Builder
	for _, glob := range globs {
		files, err := filepath.Glob(glob)
		if err != nil || len(files) == 0 {
			t.Fatalf("no transcripts at %s (%v)", glob, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, "C: ") || strings.HasPrefix(line, "C> ") {
					sent.WriteString(strings.ToUpper(line))
				}
			}
		}
	}
	for _, c := range commands {
		if !regexp.MustCompile(`(?m)^C[:>] "?([^ "]+ )?` + regexp.QuoteMeta(c) + `\b`).MatchString(sent.String()) {
			t.Errorf("no transcript sends %s", c)
		}
	}
}

type section struct {
	args []string
	text string
}

var sectionLine = regexp.MustCompile(`(?m)^-- (.+) --\n`)

// parse splits a file into its script and its sections by first word.
func parse(text string) (string, map[string][]section) {
	marks := sectionLine.FindAllStringSubmatchIndex(text, -1)
	if len(marks) == 0 {
		return text, nil
	}
	sections := map[string][]section{}
	for i, m := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		f := strings.Fields(text[m[2]:m[3]])
		sections[f[0]] = append(sections[f[0]], section{f[1:], text[m[1]:end]})
	}
	return text[:marks[0][0]], sections
}

func play(t *testing.T, file, text string, d Door) {
	script, sections := parse(text)
	l := listen.Listener{Service: d.Service, Mode: d.Mode}
	for _, s := range sections["listener"] {
		l = parseListener(t, s.text)
	}
	directory := ""
	for _, s := range sections["directory"] {
		directory += s.text
	}
	w := NewWorld(t, directory)
	for _, s := range sections["given"] {
		w.Append(t, s.args[0], s.args[1], s.text, s.args[2:]...)
	}
	h := d.Handler(t, w)
	if sections["without-certificate"] != nil {
		w.Certificates = nil
	}
	addr := w.ServeListener(t, l, h)
	p := &player{t: t, file: file, addr: addr, world: w, conns: map[string]*wire{}}
	defer p.close()
	for i, line := range strings.Split(script, "\n") {
		p.line = i + 1
		p.step(strings.TrimRight(line, "\r"))
	}
	w.expectMailboxes(t, sections["mailbox"])
	for _, s := range sections["log"] {
		for want := range strings.Lines(s.text) {
			if want = strings.TrimSpace(want); want != "" {
				w.expectLog(t, want)
			}
		}
	}
}

// parseListener reads a service, a mode and, if there is one, what an exception allows to loopback; "ended" in its place
// is one that has ended.
func parseListener(t *testing.T, text string) listen.Listener {
	f := strings.Fields(text)
	l := listen.Listener{Service: listen.Service(f[0])}
	if err := l.Mode.UnmarshalText([]byte(f[1])); err != nil {
		t.Fatal(err)
	}
	if len(f) == 2 {
		return l
	}
	e := listen.Exception{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Allow: listen.Allow(f[2])}
	e.ID, e.Reason, e.Owner = "old-scanner", "Scanner X", "karin"
	if f[2] != "ended" {
		e.Until = time.Now().AddDate(0, 0, 30)
	}
	l.Exceptions = []listen.Exception{e}
	return l
}

type player struct {
	t     *testing.T
	file  string
	line  int
	addr  net.Addr
	world *World
	conns map[string]*wire
	name  string
}

type wire struct {
	conn net.Conn
	r    *bufio.Reader
}

const patience = 20 * time.Second

func (p *player) fatalf(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s:%d: %s\nlog:\n%s", p.file, p.line, fmt.Sprintf(format, args...), p.world.Logged)
}

func (p *player) close() {
	for _, w := range p.conns {
		w.conn.Close()
	}
}

// wire returns the current connection, opened if it is new.
func (p *player) wire() *wire {
	if w := p.conns[p.name]; w != nil {
		return w
	}
	c, err := net.DialTimeout("tcp", p.addr.String(), patience)
	if err != nil {
		p.fatalf("connecting: %v", err)
	}
	w := &wire{c, bufio.NewReader(c)}
	p.conns[p.name] = w
	return w
}

func (p *player) step(line string) {
	p.t.Helper()
	verb, arg, _ := strings.Cut(line, " ")
	switch {
	case line == "" || strings.HasPrefix(line, "#"):
	case verb == "C:":
		p.send(arg + "\r\n")
	case verb == "C>":
		s, err := strconv.Unquote(arg)
		if err != nil {
			p.fatalf("%s: %v", arg, err)
		}
		p.send(s)
	case verb == "S:":
		if got := p.read(); got != arg {
			p.fatalf("got  %q\nwant %q", got, arg)
		}
	case verb == "S~":
		if got := p.read(); !regexp.MustCompile("^(?:" + arg + ")$").MatchString(got) {
			p.fatalf("got  %q\nwant a match of %q", got, arg)
		}
	case verb == "S*":
		var seen []string
		for {
			got := p.read()
			if strings.HasPrefix(got, arg) {
				return
			}
			if seen = append(seen, got); len(seen) > 1000 {
				p.fatalf("no line begins with %q in\n%s", arg, strings.Join(seen, "\n"))
			}
		}
	case line == "TLS" || line == "TLS fails":
		p.handshake(line == "TLS")
	case line == "CLOSE":
		p.wire().conn.Close()
	case line == "EOF":
		w := p.wire()
		w.conn.SetReadDeadline(time.Now().Add(patience))
		got, err := io.ReadAll(w.r)
		if errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 0 {
			p.fatalf("got %q, %v; want the end of the connection", got, err)
		}
	case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
		p.name = line[1 : len(line)-1]
	default:
		p.fatalf("%q is not understood", line)
	}
}

func (p *player) send(s string) {
	p.t.Helper()
	w := p.wire()
	w.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(w.conn, s); err != nil {
		p.fatalf("sending %.200q: %v", s, err)
	}
}

func (p *player) read() string {
	p.t.Helper()
	w := p.wire()
	w.conn.SetReadDeadline(time.Now().Add(patience))
	line, err := w.r.ReadString('\n')
	if err != nil {
		p.fatalf("reading a line: %v (so far %q)", err, line)
	}
	if !strings.HasSuffix(line, "\r\n") {
		p.fatalf("%q does not end in CRLF", line)
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (p *player) handshake(works bool) {
	p.t.Helper()
	w := p.wire()
	if n := w.r.Buffered(); n > 0 {
		b, _ := w.r.Peek(n)
		p.fatalf("the server sent %q before the handshake", b)
	}
	c := tls.Client(w.conn, p.world.ClientTLS())
	c.SetDeadline(time.Now().Add(patience))
	err := c.Handshake()
	if works && err != nil {
		p.fatalf("handshake: %v", err)
	}
	if !works && err == nil {
		p.fatalf("the handshake succeeded")
	}
	if works {
		c.SetDeadline(time.Time{})
		w.conn, w.r = c, bufio.NewReader(c)
	}
}

// expectMailboxes waits until each mailbox named holds exactly its messages.
func (w *World) expectMailboxes(t *testing.T, sections []section) {
	t.Helper()
	want := map[[2]string][]string{}
	var order [][2]string
	for _, s := range sections {
		k := [2]string{s.args[0], s.args[1]}
		if _, seen := want[k]; !seen {
			order = append(order, k)
			want[k] = nil
		}
		if strings.TrimSpace(s.text) != "" {
			want[k] = append(want[k], strings.TrimRight(crlf(s.text), "\r\n"))
		}
	}
	for _, k := range order {
		got := w.Messages(t, k[0], k[1])
		for end := time.Now().Add(5 * time.Second); len(got) < len(want[k]) && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			got = w.Messages(t, k[0], k[1])
		}
		if len(got) != len(want[k]) {
			t.Fatalf("%s of %s holds %d messages, want %d:\n%s\nlog:\n%s", k[1], k[0], len(got), len(want[k]), strings.Join(got, "\n--\n"), w.Logged)
		}
		for i := range got {
			if g := strings.TrimRight(withoutTrace(got[i]), "\r\n"); g != want[k][i] {
				t.Errorf("%s of %s, message %d:\ngot  %q\nwant %q", k[1], k[0], i+1, g, want[k][i])
			}
		}
	}
}

// withoutTrace takes the trace fields off the top of a message.
func withoutTrace(text string) string {
	for {
		name, _, _ := strings.Cut(text, ":")
		switch name {
		case "Return-Path", "Received", "Candor-Transport":
		default:
			return text
		}
		for {
			_, rest, ok := strings.Cut(text, "\r\n")
			text = rest
			if !ok || (!strings.HasPrefix(text, " ") && !strings.HasPrefix(text, "\t")) {
				break
			}
		}
	}
}

func (w *World) expectLog(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !strings.Contains(w.Logged.String(), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log lacks %q:\n%s", want, w.Logged)
		}
	}
}
