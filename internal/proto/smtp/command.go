package smtp

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"candor/internal/mail"
)

// Line is a command line cut into its verb, in capitals, and the rest. A server looks its verb up
// before it lets Command read the arguments, so that policy speaks before grammar.
type Line struct {
	Verb string
	Args string
}

// ParseLine cuts a line as it was read, with its line end, which must be CRLF (RFC 5321, section
// 2.3.8). Trailing spaces are dropped (section 4.1.1).
//
// Errors: mail.Syntax.
func ParseLine(line []byte) (Line, error) {
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return Line{}, mail.Errorf(mail.Syntax, "Bare CR or LF not allowed")
	}
	if !printable(text) {
		return Line{}, mail.Errorf(mail.Syntax, "Line holds octets that are not text")
	}
	verb, args, _ := strings.Cut(strings.TrimRight(text, " "), " ")
	return Line{strings.ToUpper(verb), strings.TrimLeft(args, " ")}, nil
}

// printable reports whether s is UTF-8 without control characters.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// Command is one of the command types of this package. Its String is the command as it is written,
// without the line end.
type Command interface{ String() string }

// The commands of RFC 5321, section 4.1.1, and of the extensions named.
type (
	// Helo and Ehlo introduce the client by a name that is its own claim.
	Helo struct{ Name string }
	Ehlo struct{ Name string }

	// Data, Rset, Quit and StartTLS (RFC 3207) take no argument.
	Data     struct{}
	Rset     struct{}
	Quit     struct{}
	StartTLS struct{}

	// Noop, Help, Vrfy and Expn carry text that Candor does not look into.
	Noop struct{ Text string }
	Help struct{ Text string }
	Vrfy struct{ Text string }
	Expn struct{ Text string }

	// Bdat announces a chunk of Size octets, which follow the line at once (RFC 3030, section 2).
	Bdat struct {
		Size int64
		Last bool
	}

	// Auth begins a SASL exchange (RFC 4954, section 4). Initial is the initial response, still in
	// base64 ("=" is an empty one), or "" when there is none.
	Auth struct {
		Mechanism string
		Initial   string
	}
)

// Command reads the arguments. A verb that is not known is an error, as are arguments that do not
// fit it.
//
// Errors: mail.Syntax.
func (l Line) Command() (Command, error) {
	parse, ok := verbs[l.Verb]
	if !ok {
		return nil, mail.Errorf(mail.Syntax, "Command not recognised")
	}
	return parse(l)
}

// verbs says how the arguments of each verb are read.
var verbs = map[string]func(Line) (Command, error){
	"HELO":     parseHelo,
	"EHLO":     parseEhlo,
	"MAIL":     parseMail,
	"RCPT":     parseRcpt,
	"DATA":     bare(Data{}),
	"BDAT":     parseBdat,
	"RSET":     bare(Rset{}),
	"NOOP":     func(l Line) (Command, error) { return Noop{l.Args}, nil },
	"QUIT":     bare(Quit{}),
	"VRFY":     parseVrfy,
	"EXPN":     parseExpn,
	"HELP":     func(l Line) (Command, error) { return Help{l.Args}, nil },
	"STARTTLS": bare(StartTLS{}),
	"AUTH":     parseAuth,
}

// argument is the error for an argument that does not fit: 501, where the command itself is known.
func argument(format string, args ...any) error {
	return mail.Errorf(mail.Syntax, format, args...).With(5, 5, 4)
}

// bare parses a command that takes no argument.
func bare(c Command) func(Line) (Command, error) {
	return func(l Line) (Command, error) {
		if l.Args != "" {
			return nil, argument("%s takes no parameter", l.Verb)
		}
		return c, nil
	}
}

func parseHelo(l Line) (Command, error) {
	name, err := parseName(l)
	return Helo{name}, err
}

func parseEhlo(l Line) (Command, error) {
	name, err := parseName(l)
	return Ehlo{name}, err
}

// maxName is the longest name that HELO and EHLO may claim (RFC 5321, section 4.5.3.1.2).
const maxName = 255

// parseName takes any one word. RFC 5321, section 4.1.4 forbids to refuse mail because the name does
// not fit the client, and programs on end-user machines send names that no DNS would hold.
func parseName(l Line) (string, error) {
	if l.Args == "" || len(l.Args) > maxName || strings.Contains(l.Args, " ") {
		return "", argument("Syntax: %s hostname", l.Verb)
	}
	return l.Args, nil
}

func parseVrfy(l Line) (Command, error) {
	if l.Args == "" {
		return nil, argument("Syntax: VRFY address")
	}
	return Vrfy{l.Args}, nil
}

func parseExpn(l Line) (Command, error) {
	if l.Args == "" {
		return nil, argument("Syntax: EXPN list")
	}
	return Expn{l.Args}, nil
}

// parseBdat reads "size [LAST]". The size is in octets and may be 0 (RFC 3030, section 2).
func parseBdat(l Line) (Command, error) {
	digits, last, more := strings.Cut(l.Args, " ")
	size, ok := parseSize(digits)
	if !ok || (more && !strings.EqualFold(strings.TrimLeft(last, " "), "LAST")) {
		return nil, argument("Syntax: BDAT size [LAST]")
	}
	return Bdat{Size: size, Last: more}, nil
}

// parseSize reads a number of octets. 18 digits are less than an int64 holds and more than any
// message has; RFC 1870, section 6 grants 20.
func parseSize(s string) (int64, bool) {
	if s == "" || len(s) > 20 {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

func parseAuth(l Line) (Command, error) {
	mechanism, initial, _ := strings.Cut(l.Args, " ")
	initial = strings.TrimLeft(initial, " ")
	if !isMechanism(mechanism) || strings.Contains(initial, " ") {
		return nil, argument("Syntax: AUTH mechanism [initial-response]")
	}
	return Auth{strings.ToUpper(mechanism), initial}, nil
}

// isMechanism reports whether s is a SASL mechanism name (RFC 4422, section 3.1).
func isMechanism(s string) bool {
	if s == "" || len(s) > 20 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '-' && c != '_' && !alphanumeric(c) {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func (c Helo) String() string   { return "HELO " + c.Name }
func (c Ehlo) String() string   { return "EHLO " + c.Name }
func (Data) String() string     { return "DATA" }
func (Rset) String() string     { return "RSET" }
func (Quit) String() string     { return "QUIT" }
func (StartTLS) String() string { return "STARTTLS" }
func (c Noop) String() string   { return strings.TrimRight("NOOP "+c.Text, " ") }
func (c Help) String() string   { return strings.TrimRight("HELP "+c.Text, " ") }
func (c Vrfy) String() string   { return "VRFY " + c.Text }
func (c Expn) String() string   { return "EXPN " + c.Text }

func (c Bdat) String() string {
	if c.Last {
		return "BDAT " + strconv.FormatInt(c.Size, 10) + " LAST"
	}
	return "BDAT " + strconv.FormatInt(c.Size, 10)
}

func (c Auth) String() string {
	return strings.TrimRight("AUTH "+c.Mechanism+" "+c.Initial, " ")
}
