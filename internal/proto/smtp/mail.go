package smtp

import (
	"strconv"
	"strings"

	"candor/internal/mail"
)

// Mail begins a transaction (RFC 5321, section 4.1.1.2).
type Mail struct {
	Path mail.ReversePath
	// NonASCII says that the path was written with characters that need SMTPUTF8 (RFC 6531).
	NonASCII   bool
	Size       int64             // SIZE, in octets; 0: not declared (RFC 1870)
	Body       mail.BodyType     // BODY: empty, "7BIT" or "8BITMIME" (RFC 6152)
	SMTPUTF8   bool              // RFC 6531
	RequireTLS bool              // RFC 8689
	Auth       *mail.ReversePath // AUTH: who submitted it, as the client says; nil: not given (RFC 4954)
	Other      []Parameter
}

// Body types.
const (
	SevenBit mail.BodyType = "7BIT"
	EightBit mail.BodyType = "8BITMIME"
)

// Rcpt adds a recipient (RFC 5321, section 4.1.1.3). For "<postmaster>" the Domain is empty.
type Rcpt struct {
	Path     mail.Address
	NonASCII bool
	Other    []Parameter
}

func parseMail(l Line) (Command, error) {
	path, params, err := parseEnvelopeLine(l, "FROM:")
	if err != nil {
		return nil, err
	}
	m := Mail{NonASCII: !ascii(path)}
	if path != "" {
		a, err := parseMailbox(path)
		if err != nil {
			return nil, badPath(err, 7)
		}
		m.Path = mail.ReversePath{Address: a}
	}
	for _, p := range params {
		if err := m.set(p); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// set puts one parameter into its field.
func (m *Mail) set(p Parameter) error {
	var ok bool
	var err error
	switch p.Keyword {
	case "SIZE":
		m.Size, ok = parseSize(p.Value)
	case "BODY":
		m.Body = mail.BodyType(strings.ToUpper(p.Value))
		ok = m.Body == SevenBit || m.Body == EightBit
	case "SMTPUTF8":
		m.SMTPUTF8, ok = true, p.Value == ""
	case "REQUIRETLS":
		m.RequireTLS, ok = true, p.Value == ""
	case "AUTH":
		var vouched mail.ReversePath
		vouched, err = authParameter(p.Value)
		m.Auth, ok = &vouched, err == nil
	default:
		m.Other, ok = append(m.Other, p), true
	}
	if !ok {
		return argument("%.80s is not valid here", p)
	}
	return nil
}

func parseRcpt(l Line) (Command, error) {
	path, params, err := parseEnvelopeLine(l, "TO:")
	if err != nil {
		return nil, err
	}
	r := Rcpt{NonASCII: !ascii(path), Other: params}
	if strings.EqualFold(path, "postmaster") {
		r.Path.Local = mail.LocalPart(path)
		return r, nil
	}
	r.Path, err = parseMailbox(path)
	if err != nil {
		return nil, badPath(err, 3)
	}
	return r, nil
}

// parseEnvelopeLine reads what MAIL and RCPT have in common: a keyword, a path in angle brackets,
// parameters.
func parseEnvelopeLine(l Line, keyword string) (path string, params []Parameter, err error) {
	rest, ok := cutKeyword(l.Args, keyword)
	if ok {
		path, rest, ok = cutPath(rest)
	}
	if !ok {
		return "", nil, argument("Syntax: %s %s<address>", l.Verb, keyword)
	}
	params, err = parseParameters(rest)
	return path, params, err
}

// badPath gives a path's error the status that says which path it was (RFC 3463, section 3.2).
func badPath(err error, detail uint16) error {
	return mail.AsError(err).With(5, 1, detail)
}

func (c Mail) String() string {
	var b strings.Builder
	b.WriteString("MAIL FROM:<" + c.Path.String() + ">")
	if c.Size > 0 {
		b.WriteString(" SIZE=" + strconv.FormatInt(c.Size, 10))
	}
	if c.Body != "" {
		b.WriteString(" BODY=" + string(c.Body))
	}
	if c.SMTPUTF8 {
		b.WriteString(" SMTPUTF8")
	}
	if c.RequireTLS {
		b.WriteString(" REQUIRETLS")
	}
	if c.Auth != nil {
		b.WriteString(" AUTH=" + encodeAuth(*c.Auth))
	}
	writeParameters(&b, c.Other)
	return b.String()
}

func encodeAuth(p mail.ReversePath) string {
	if p.Null() {
		return "<>"
	}
	return encodeXtext(p.String())
}

func (c Rcpt) String() string {
	var b strings.Builder
	b.WriteString("RCPT TO:<")
	if c.Path.Domain == "" {
		b.WriteString(c.Path.Local.String())
	} else {
		b.WriteString(c.Path.String())
	}
	b.WriteString(">")
	writeParameters(&b, c.Other)
	return b.String()
}

func writeParameters(b *strings.Builder, params []Parameter) {
	for _, p := range params {
		b.WriteString(" " + p.String())
	}
}
