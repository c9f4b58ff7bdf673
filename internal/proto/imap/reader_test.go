package imap

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"candor/internal/mail"
)

// text is a Source of a string, whose lines end as listen.Conn's do.
type text struct{ *bufio.Reader }

func newText(s string) text { return text{bufio.NewReaderSize(strings.NewReader(s), 1<<17)} }

var errLong = errors.New("line is too long")

func (s text) ReadLine(limit int) ([]byte, error) {
	line, err := s.ReadSlice('\n')
	if len(line) > limit {
		return nil, errLong
	}
	return line, err
}

var testLimits = Limits{Line: 8192, Literals: 4096}

// readAll reads every command of s. Literals are invited.
func readAll(s string) (got []string, invited int, err error) {
	r := NewReader(newText(s))
	for {
		c, err := r.Next(testLimits, func(Command) error { invited++; return nil })
		switch {
		case mail.IsKind(err, mail.Syntax):
			got = append(got, c.Tag+" BAD")
		case errors.Is(err, io.EOF):
			return got, invited, nil
		case err != nil:
			return got, invited, err
		case c.Message != nil:
			all, err := readMessages(r)
			if mail.IsKind(err, mail.Syntax) {
				all = "BAD"
			} else if err != nil {
				return got, invited, err
			}
			got = append(got, c.Tag+" "+c.Name+" "+all)
		default:
			got = append(got, c.Tag+" "+c.Name)
		}
	}
}

// readMessages reads the messages of an APPEND.
func readMessages(r *Reader) (string, error) {
	var all []string
	for {
		m, err := io.ReadAll(r.Message())
		if err != nil {
			return "", err
		}
		all = append(all, string(m))
		next, err := r.NextMessage(8192)
		if err != nil || next == nil {
			return strings.Join(all, "+"), err
		}
	}
}

func TestReader(t *testing.T) {
	for name, c := range map[string]struct {
		in      string
		want    string
		invited int
	}{
		"plain":                         {"a NOOP\r\nb noop\r\n", "a NOOP|b NOOP", 0},
		"uid":                           {"a uid fetch 1 UID\r\n", "a UID FETCH", 0},
		"synchronising":                 {"a LOGIN {3}\r\nann {2}\r\npw\r\nb NOOP\r\n", "a LOGIN|b NOOP", 2},
		"not synchronising":             {"a LOGIN {3+}\r\nann {2+}\r\npw\r\nb NOOP\r\n", "a LOGIN|b NOOP", 0},
		"literal holds a line end":      {"a LOGIN {6+}\r\nx\r\ny\r\n pw\r\nb NOOP\r\n", "a LOGIN|b NOOP", 0},
		"literals too long together":    {"a LOGIN {4000+}\r\n" + strings.Repeat("x", 4000) + " {97+}\r\n" + strings.Repeat("NOOP\r\n", 16) + "!\r\nb NOOP\r\n", "a BAD|b NOOP", 0},
		"lines after literals too long": {"a LOGIN {1+}\r\nx{1+}\r\n" + strings.Repeat("y"+strings.Repeat("z", 999)+"{1+}\r\n", 9) + "! NOOP\r\nb NOOP\r\n", "a BAD|b NOOP", 0},
		"one too long, not invited":     {"a LOGIN {4097}\r\nb NOOP\r\n", "a BAD|b NOOP", 0},
		"literal of a bad command":      {"+ x {8+}\r\nb NOOP\r\n\r\nc NOOP\r\n", " BAD|c NOOP", 0},
		"bare LF":                       {"a NOOP\nb NOOP\r\n", "a BAD|b NOOP", 0},
		"bare CR":                       {"a NOOP\rb NOOP\r\nc NOOP\r\n", "a BAD|c NOOP", 0},
		"NUL":                           {"a NOOP\x00\r\nc NOOP\r\n", "a BAD|c NOOP", 0},
		"append":                        {"a APPEND x {3}\r\nabc\r\nb NOOP\r\n", "a APPEND abc|b NOOP", 0},
		"append to a literal name":      {"a APPEND {1+}\r\nx (\\Seen) {3+}\r\nabc\r\nb NOOP\r\n", "a APPEND abc|b NOOP", 0},
		"append longer than any buffer": {"a APPEND x ~{200000+}\r\n" + strings.Repeat("y", 200000) + "\r\nb NOOP\r\n", "a APPEND " + strings.Repeat("y", 200000) + "|b NOOP", 0},
		"append of two":                 {"a APPEND x {1+}\r\ny {1+}\r\nz\r\nb NOOP\r\n", "a APPEND y+z|b NOOP", 0},
		"append of two with flags":      {"a APPEND x {1+}\r\ny (\\Seen) \" 7-Feb-1994 21:52:25 -0800\" ~{1+}\r\nz\r\nb NOOP\r\n", "a APPEND y+z|b NOOP", 0},
		"append in UTF8":                {"a APPEND x UTF8 (~{1+}\r\ny) (\\Seen) UTF8 (~{1+}\r\nz)\r\nb NOOP\r\n", "a APPEND y+z|b NOOP", 0},
		"append in UTF8 not closed":     {"a APPEND x UTF8 (~{1+}\r\ny\r\nb NOOP\r\n", "a APPEND BAD|b NOOP", 0},
		"append in UTF8 of a literal":   {"a APPEND x UTF8 ({1+}\r\ny)\r\nb NOOP\r\n", "a BAD|b NOOP", 0},
		"append after two spaces":       {"a APPEND x  {5000}\r\nb APPEND x  {5+}\r\nNOOP!\r\nc NOOP\r\n", "a BAD|b BAD|c NOOP", 0},
		"append of one and a half":      {"a APPEND x {1+}\r\ny z {1+}\r\nz\r\nb NOOP\r\n", "a APPEND BAD|b NOOP", 0},
		"brace in a command":            {"a SEARCH {}\r\nb SEARCH x{+}\r\nc NOOP\r\n", "a SEARCH|b SEARCH|c NOOP", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, invited, err := readAll(c.in)
			if s := strings.Join(got, "|"); err != nil || s != c.want || invited != c.invited {
				t.Errorf("%.200q:\ngot  %.200q, %d invited, %v\nwant %.200q, %d invited", c.in, s, invited, err, c.want, c.invited)
			}
		})
	}
}

// TestReaderRefusedLiteral: what is refused before it is invited is not sent, so the next line is a command.
func TestReaderRefusedLiteral(t *testing.T) {
	r := NewReader(newText("a LOGIN {3}\r\nb NOOP\r\n"))
	refused := errors.New("refused")
	if c, err := r.Next(testLimits, func(Command) error { return refused }); !errors.Is(err, refused) || c.Tag != "a" || c.Name != "LOGIN" {
		t.Fatalf("got %+v, %v; want the refusal", c, err)
	}
	if c, err := r.Next(testLimits, nil); err != nil || c.Name != "NOOP" {
		t.Fatalf("got %+v, %v; want NOOP", c, err)
	}
}

func TestReaderFlood(t *testing.T) {
	r := NewReader(newText("a LOGIN {1048577+}\r\n"))
	if _, err := r.Next(testLimits, nil); !errors.Is(err, ErrFlood) {
		t.Fatalf("got %v, want ErrFlood", err)
	}
}

// TestReaderTruncated: wherever the connection ends, the reader ends without a command cut short.
func TestReaderTruncated(t *testing.T) {
	const in = "a LOGIN {3+}\r\nann {2+}\r\npw\r\nb APPEND x {3+}\r\nabc\r\nc NOOP\r\n"
	for n := range in {
		got, _, _ := readAll(in[:n])
		for i, want := range []string{"a LOGIN", "b APPEND abc", "c NOOP"}[:len(got)] {
			if got[i] != want {
				t.Errorf("of the first %d octets: got %q", n, got)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add("a LOGIN {3+}\r\nann {2+}\r\npw\r\nb NOOP\r\n")
	f.Add("a APPEND x (\\Seen) \" 7-Feb-1994 21:52:25 -0800\" {3}\r\nabc\r\n")
	f.Add("a APPEND x UTF8 (~{3+}\r\nabc) (\\Seen) {1+}\r\n \r\n")
	f.Add("a UID FETCH 1:*,3 (FLAGS BODY[1.HEADER.FIELDS (a {1+}\r\nb)]<0.9>) (CHANGEDSINCE 1)\r\n")
	f.Add("a SEARCH RETURN (SAVE) CHARSET UTF-8 OR (NOT $) HEADER x {2+}\r\nyy\r\n")
	f.Add("a LIST (SUBSCRIBED) \"\" (a% b*) RETURN (STATUS (MESSAGES))\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		r := NewReader(newText(in))
		for {
			c, err := r.Next(testLimits, func(Command) error { return nil })
			if err != nil && !mail.IsKind(err, mail.Syntax) {
				return
			}
			if err == nil {
				if _, err := c.Parse(); err != nil && !mail.IsKind(err, mail.Syntax) {
					t.Fatalf("%q: %v is not Syntax", in, err)
				}
				if c.Message != nil {
					if _, err := readMessages(r); err != nil && !mail.IsKind(err, mail.Syntax) {
						return
					}
				}
			}
		}
	})
}
