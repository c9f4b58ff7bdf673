package imap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"candor/internal/mail"
)

// Source is where commands come from. ReadLine returns a line with its line end, at most limit
// octets long, valid until the next read; Read reads what follows a line.
type Source interface {
	ReadLine(limit int) ([]byte, error)
	io.Reader
}

// Limits bounds what a Reader holds of one command, in octets: each of its lines, and its literals
// together with the lines after them. The message of APPEND is not held and not counted.
type Limits struct {
	Line     int
	Literals int64
	// Reserve is asked before what is held of a command grows to n octets with a literal, and may refuse
	// by an error. Nil: it never does.
	Reserve func(n int64) error
}

// maxDiscard is how many octets of a refused command are read and thrown away for the sake of going
// on; who sends more is told BYE.
const maxDiscard = 1 << 20

// ErrFlood is returned when a refused non-synchronising literal is too long to be skipped
// (RFC 7888, section 4). The connection is then out of step and must be closed.
var ErrFlood = errors.New("imap: refused literal is too long to skip")

// Literal announces octets that follow a line.
type Literal struct {
	Size   int64
	Sync   bool // the client waits for a continuation request
	Binary bool // literal8 of RFC 3516
}

// Command is a command whose arguments are not parsed yet. Its arguments are valid until the next
// read from the Source.
type Command struct {
	Tag  string
	Name string // in capitals; "UID FETCH" and its like are names of their own
	// Message is the first message literal of APPEND, which the caller reads with Reader.Message; nil
	// for all other commands.
	Message *Literal

	args []byte
}

// Wipe overwrites the arguments, for those that held a password.
func (c *Command) Wipe() { clear(c.args) }

// Reader reads commands. It holds nothing between commands that had no literals.
type Reader struct {
	src     Source
	held    []byte
	message io.LimitedReader
	closing bool // a ")" follows the message
}

// NewReader returns a Reader of src.
func NewReader(src Source) *Reader { return &Reader{src: src} }

// Next reads a command. Before each synchronising literal it calls invite, which sends the
// continuation request, or refuses the literal, and with it the command, by an error.
//
// The Command is filled in as far as it was understood, also with an error. Errors: Syntax, after
// which the Reader is ready for the next command; what invite returns, likewise; ErrFlood; and
// those of the Source.
func (r *Reader) Next(l Limits, invite func(Command) error) (Command, error) {
	line, err := r.src.ReadLine(l.Line)
	if err != nil {
		return Command{Tag: leadingTag(line)}, err
	}
	text, err := cutLineEnd(line)
	if err != nil {
		return misread(text), err
	}
	c, err := parseHead(text)
	if err != nil {
		c = misread(text)
	}
	lit, marked, markErr := literalMark(text)
	if markErr != nil {
		return c, markErr
	}
	if !marked {
		return c, err
	}
	if err != nil {
		return c, r.skip(l, lit, err)
	}
	return r.withLiterals(l, c, lit, invite)
}

// withLiterals gathers the literals of a command and the lines between them, so that its arguments
// are one piece of text as it was on the wire.
func (r *Reader) withLiterals(l Limits, c Command, lit Literal, invite func(Command) error) (Command, error) {
	r.held = append(r.held[:0], c.args...)
	left := l.Literals
	for {
		m, err := firstMessage(c.Name, r.held)
		if err != nil {
			return c, r.skip(l, lit, err)
		}
		if m != nil {
			c.args, c.Message = r.held, &lit
			r.begin(*m)
			return c, nil
		}
		if lit.Size > left {
			return c, r.skip(l, lit, tooLong(l))
		}
		if l.Reserve != nil {
			if err := l.Reserve(int64(len(r.held)) + lit.Size); err != nil {
				return c, r.skip(l, lit, err)
			}
		}
		left -= lit.Size
		if lit.Sync {
			if err := invite(c); err != nil {
				return c, err
			}
		}
		n := len(r.held)
		r.held = append(append(r.held, "\r\n"...), make([]byte, lit.Size)...)
		if _, err := io.ReadFull(r.src, r.held[n+2:]); err != nil {
			return c, fmt.Errorf("reading a literal: %w", err)
		}
		line, err := r.src.ReadLine(l.Line)
		if err != nil {
			return c, err
		}
		if line, err = cutLineEnd(line); err != nil {
			return c, err
		}
		more, marked, err := literalMark(line)
		if err != nil {
			return c, err
		}
		if left -= int64(len(line)); left < 0 {
			if marked {
				return c, r.skip(l, more, tooLong(l))
			}
			return c, tooLong(l)
		}
		r.held = append(r.held, line...)
		if !marked {
			c.args = r.held
			return c, nil
		}
		lit = more
	}
}

func tooLong(l Limits) error {
	return mail.Errorf(mail.Syntax, "literals are longer than %d octets", l.Literals)
}

// skip throws the rest of a command away and returns cause. A synchronising literal that is not
// invited is not sent (RFC 9051, section 4.3).
func (r *Reader) skip(l Limits, lit Literal, cause error) error {
	left := int64(maxDiscard)
	for !lit.Sync {
		if lit.Size > left {
			return ErrFlood
		}
		left -= lit.Size
		if _, err := io.CopyN(io.Discard, r.src, lit.Size); err != nil {
			return fmt.Errorf("skipping a literal: %w", err)
		}
		line, err := r.src.ReadLine(l.Line)
		if err != nil {
			return err
		}
		left -= int64(len(line))
		text, err := cutLineEnd(line)
		if err != nil {
			return cause
		}
		more, marked, err := literalMark(text)
		if err != nil || !marked {
			return cause
		}
		lit = more
	}
	return cause
}

// firstMessage returns the message that the arguments of a command announce, up to the literal mark that ends
// them; nil if the command is no APPEND, or if the literal is its mailbox. Errors: Syntax.
func firstMessage(name string, args []byte) (*AppendMessage, error) {
	if name != "APPEND" || bytes.HasPrefix(args, []byte(" {")) && bytes.IndexByte(args, '\n') < 0 {
		return nil, nil
	}
	l := lexer{b: args}
	a := parseAppend(&l).(Append)
	if l.err != nil {
		return nil, l.err
	}
	return &a.AppendMessage, nil
}

func (r *Reader) begin(m AppendMessage) {
	r.message, r.closing = io.LimitedReader{R: r.src, N: m.Literal.Size}, m.UTF8
}

// Message reads the message literal that Next or NextMessage returned last.
func (r *Reader) Message() io.Reader { return &r.message }

// NextMessage throws the unread part of the message away and reads on to the next one of the same APPEND
// (RFC 3502); nil at the end of the command. limit is for a line.
//
// Errors: Syntax, after which the Reader is ready for the next command; ErrFlood; those of the Source.
func (r *Reader) NextMessage(limit int) (*AppendMessage, error) {
	if r.message.N > 0 {
		if _, err := io.Copy(io.Discard, &r.message); err != nil {
			return nil, fmt.Errorf("skipping a message: %w", err)
		}
		if r.message.N > 0 {
			return nil, io.ErrUnexpectedEOF
		}
	}
	line, err := r.src.ReadLine(limit)
	if err != nil {
		return nil, err
	}
	text, err := cutLineEnd(line)
	if err != nil {
		return nil, err
	}
	l := lexer{b: text}
	if r.closing {
		l.expect(')')
	}
	if l.err == nil && len(l.b) == 0 {
		return nil, nil
	}
	m := l.appendMessage()
	if l.err == nil {
		r.begin(m)
		return &m, nil
	}
	if lit, marked, err := literalMark(text); err == nil && marked {
		return nil, r.skip(Limits{Line: limit}, lit, l.err)
	}
	return nil, l.err
}

// Release gives up the memory held since a command with literals.
func (r *Reader) Release() { r.held = nil }

// cutLineEnd takes CRLF off. A bare LF, a bare CR and NUL are no IMAP (RFC 9051, section 2.2).
func cutLineEnd(line []byte) ([]byte, error) {
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return bytes.TrimRight(line, "\r\n"), mail.Errorf(mail.Syntax, "line must end in CRLF")
	}
	if bytes.IndexByte(text, '\r') >= 0 || bytes.IndexByte(text, 0) >= 0 {
		return text, mail.Errorf(mail.Syntax, "CR or NUL in command")
	}
	return text, nil
}

// leadingTag finds the tag of a line that is not understood otherwise, so that its refusal can bear it.
func leadingTag(line []byte) string {
	n := 0
	for n < len(line) && n < maxTag && isTagChar(line[n]) {
		n++
	}
	if n == 0 || n == len(line) || line[n] != ' ' {
		return ""
	}
	return string(line[:n])
}

// maxTag is the longest tag that is taken; programs use less than 20 octets.
const maxTag = 128

// parseHead reads tag and name.
func parseHead(text []byte) (Command, error) {
	c := Command{Tag: leadingTag(text)}
	if c.Tag == "" {
		return c, mail.Errorf(mail.Syntax, "no tag")
	}
	l := lexer{b: text[len(c.Tag):]}
	l.space()
	name := l.name()
	if name == "UID" {
		l.space()
		name = joinUID(l.name())
	}
	c.Name, c.args = name, l.b
	return c, l.err
}

// misread is what a line that is no command is most likely to have been, as far as that matters: a login, of which a server
// has to know even if it is badly written.
func misread(text []byte) Command {
	tag, rest := cutWord(text)
	name, args := cutWord(rest)
	n := upper(name)
	if n != "LOGIN" && n != "AUTHENTICATE" {
		return Command{Tag: leadingTag(text)}
	}
	return Command{Tag: leadingTag(append(bytes.Clone(tag), ' ')), Name: n, args: bytes.Clone(args)}
}

// cutWord cuts text after its first word, before which there may be blanks.
func cutWord(text []byte) (word, rest []byte) {
	text = bytes.TrimLeft(text, " \t")
	if i := bytes.IndexAny(text, " \t"); i >= 0 {
		return text[:i], text[i:]
	}
	return text, nil
}

func joinUID(name string) string {
	switch name {
	case "FETCH":
		return "UID FETCH"
	case "STORE":
		return "UID STORE"
	case "SEARCH":
		return "UID SEARCH"
	}
	return "UID " + name
}

// literalMark finds the "{12}", "{12+}" or "~{12}" that ends a line.
func literalMark(line []byte) (Literal, bool, error) {
	inner, ok := bytes.CutSuffix(line, []byte("}"))
	open := bytes.LastIndexByte(inner, '{')
	if !ok || open < 0 || open+1 == len(inner) {
		return Literal{}, false, nil
	}
	digits, nonSync := bytes.CutSuffix(inner[open+1:], []byte("+"))
	lit := Literal{Sync: !nonSync, Binary: open > 0 && inner[open-1] == '~'}
	if len(digits) == 0 {
		return Literal{}, false, nil
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return Literal{}, false, nil
		}
		if lit.Size > (math.MaxInt64-9)/10 {
			return Literal{}, false, mail.Errorf(mail.Syntax, "literal size is out of range")
		}
		lit.Size = lit.Size*10 + int64(d-'0')
	}
	return lit, true, nil
}

// upper returns the upper case of s; ASCII only.
func upper(s []byte) string {
	for _, c := range s {
		if c >= 'a' && c <= 'z' {
			return strings.ToUpper(string(s))
		}
	}
	return string(s)
}
