package mailfile

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mboxFields are the header fields in which mail programs keep what they know of a message in an mbox. They are not
// the message's own.
var mboxFields = []string{
	"Status", "X-Status", "X-Keywords", "X-UID", "X-IMAP", "X-IMAPbase", "Content-Length",
	"X-Mozilla-Status", "X-Mozilla-Status2", "X-Mozilla-Keys",
}

// mboxField returns the name in mboxFields that a line of a header begins with; empty: none.
func mboxField(line []byte) string {
	name, _, found := bytes.Cut(line, []byte(":"))
	if !found {
		return ""
	}
	for _, f := range mboxFields {
		if strings.EqualFold(f, string(bytes.TrimRight(name, " \t"))) {
			return f
		}
	}
	return ""
}

// mboxState is what the fields of one message say.
type mboxState struct {
	flags  []string
	length int64 // Content-Length; -1: none
}

func (s *mboxState) add(flag string) {
	if !slices.Contains(s.flags, flag) {
		s.flags = append(s.flags, flag)
	}
}

// statusFlags are the letters of Status and X-Status.
var statusFlags = map[rune]string{'R': `\Seen`, 'A': `\Answered`, 'F': `\Flagged`, 'D': `\Deleted`, 'T': `\Draft`}

// mozillaFlags are the bits of X-Mozilla-Status.
var mozillaFlags = []struct {
	bit  uint64
	flag string
}{{1, `\Seen`}, {2, `\Answered`}, {4, `\Flagged`}, {8, `\Deleted`}, {0x1000, forwarded}}

// take reads a field of mboxFields.
func (s *mboxState) take(name, value string) {
	value = strings.TrimSpace(value)
	switch name {
	case "Status", "X-Status":
		for _, c := range value {
			if flag, ok := statusFlags[c]; ok {
				s.add(flag)
			}
		}
	case "X-Keywords", "X-Mozilla-Keys":
		for k := range strings.FieldsSeq(value) {
			if isKeyword(k) {
				s.add(k)
			}
		}
	case "X-Mozilla-Status":
		bits, _ := strconv.ParseUint(value, 16, 32)
		for _, f := range mozillaFlags {
			if bits&f.bit != 0 {
				s.add(f.flag)
			}
		}
	case "Content-Length":
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
			s.length = n
		}
	}
}

// exportMark begins the fields that an export puts on top of a message: this one, Status, X-Status and X-Keywords. What
// follows is the message as it was, also where it has such fields itself.
const exportMark = "X-Candor-Export"

// markLines is how many lines the mark and its fields are.
const markLines = 4

// mark is what the field says.
type mark struct {
	UID, UIDValidity uint32
	Size             int64 // of the message with CRLF, octets
	Received         time.Time
}

func (m mark) String() string {
	return fmt.Sprintf("%s: mboxrd; uidvalidity=%d; uid=%d; size=%d; received=%s\n", exportMark, m.UIDValidity, m.UID, m.Size, m.Received.Format(time.RFC3339))
}

// parseMark reads the field. ok: the line is one.
func parseMark(line []byte) (m mark, ok bool) {
	var received string
	n, err := fmt.Sscanf(string(line), exportMark+": mboxrd; uidvalidity=%d; uid=%d; size=%d; received=%s\n", &m.UIDValidity, &m.UID, &m.Size, &received)
	if err != nil || n != 4 {
		return m, false
	}
	m.Received, err = time.Parse(time.RFC3339, received)
	return m, err == nil
}

// formatMark writes the mark and the fields below it.
func formatMark(m mark, flags []string) string {
	status, xstatus := "O", ""
	var keywords []string
	for _, flag := range flags {
		letter := rune(0)
		for l, f := range statusFlags {
			if strings.EqualFold(f, flag) {
				letter = l
			}
		}
		switch {
		case letter == 'R':
			status = "RO"
		case letter != 0:
			xstatus += string(letter)
		default:
			keywords = append(keywords, flag)
		}
	}
	return m.String() + fmt.Sprintf("Status: %s\nX-Status: %s\nX-Keywords: %s\n", status, xstatus, strings.Join(keywords, " "))
}
