package imapd

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// lines sends a command and returns the lines before its tagged response, which must be OK.
func (c *client) lines(command string) []string {
	c.t.Helper()
	c.n++
	tag := "l" + strconv.Itoa(c.n)
	fmt.Fprintf(c.conn, "%s %s\r\n", tag, command)
	var lines []string
	for {
		line := c.line()
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(rest, "OK") {
				c.t.Fatalf("%s: %s", command, line)
			}
			return lines
		}
		lines = append(lines, line)
	}
}

// numberOf finds a number after word in one of lines.
func numberOf(t *testing.T, lines []string, word string) string {
	t.Helper()
	m := regexp.MustCompile(word + ` (\d+)`).FindStringSubmatch(strings.Join(lines, "\n"))
	if m == nil {
		t.Fatalf("no %s in %q", word, lines)
	}
	return m[1]
}

// TestResync: what a client that comes back is told at SELECT (RFC 7162, section 3.2.5).
func TestResync(t *testing.T) {
	w, _, addr, _ := serve(t)
	for i := range 12 {
		w.Append(t, "ann@example.org", "INBOX", sample(i, 64))
	}
	one, two := dial(t, w, addr), dial(t, w, addr)
	one.lines("SELECT INBOX")
	one.lines(`STORE 2 +FLAGS.SILENT (\Deleted)`)
	one.lines("EXPUNGE")
	known := two.lines("EXAMINE INBOX")
	validity, modSeq := numberOf(t, known, "UIDVALIDITY"), numberOf(t, known, "HIGHESTMODSEQ")
	two.lines("ENABLE QRESYNC")
	// Since then: 5, 6, 9 and a new one, 14, are gone; 4 and 8 have other flags; 13 is new.
	one.lines(`UID STORE 5:6,9 +FLAGS.SILENT (\Deleted)`)
	one.lines("EXPUNGE")
	one.lines(`UID STORE 4,8 +FLAGS.SILENT (\Flagged)`)
	w.Append(t, "ann@example.org", "INBOX", sample(13, 64))
	w.Append(t, "ann@example.org", "INBOX", sample(14, 64), `\Deleted`)
	one.lines("NOOP")
	one.lines("UID EXPUNGE 14")

	for _, c := range []struct{ name, known, vanished, changed string }{
		{"all", "", "5:6,9,14", "4 8 13"},
		{"known UIDs", "1:6", "5:6", "4"},
		{"known UIDs in any order", "20:30,9:12,4,6", "6,9", "4"},
		{"none known", "1,3", "", ""},
		{"numbers match up to 4", "(1:3,5 1,3:4,6)", "5:6,9,14", "4 8 13"},
		{"numbers match up to 10", "1:20 (1,5:6 1,8,10)", "14", "4 8 13"},
		{"more numbers than messages", "(1:4294967295 1:4294967295)", "5:6,9,14", "4 8 13"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := strings.TrimSpace(validity + " " + modSeq + " " + c.known)
			var vanished []string
			var changed []string
			for _, line := range two.lines("SELECT INBOX (QRESYNC (" + args + "))") {
				if set, ok := strings.CutPrefix(line, "* VANISHED (EARLIER) "); ok {
					vanished = append(vanished, set)
				}
				if strings.Contains(line, " FETCH ") {
					if !strings.Contains(line, " FLAGS (") || !strings.Contains(line, " MODSEQ (") {
						t.Errorf("got %q, want flags and MODSEQ", line)
					}
					changed = append(changed, numberOf(t, []string{line}, "UID"))
				}
			}
			if got := strings.Join(vanished, " "); got != c.vanished {
				t.Errorf("vanished are %s, want %s", got, c.vanished)
			}
			if got := strings.Join(changed, " "); got != c.changed {
				t.Errorf("changed are %s, want %s", got, c.changed)
			}
		})
	}
	if got := two.lines("SELECT INBOX (QRESYNC (1 " + modSeq + "))"); slices.ContainsFunc(got, func(l string) bool {
		return strings.Contains(l, "VANISHED") || strings.Contains(l, "FETCH")
	}) {
		t.Errorf("with another UIDVALIDITY: got %q", got)
	}
}
