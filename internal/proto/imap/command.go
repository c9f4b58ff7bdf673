package imap

import (
	"bytes"
	"time"

	"candor/internal/mail"
)

// The arguments of commands. Mailbox names are as they came: in modified UTF-7, or in UTF-8 once the
// client has enabled IMAP4rev2.
type (
	// None is what commands without arguments have.
	None struct{}

	// ID has the client's fields, names and values in turn; nil for NIL (RFC 2971).
	ID struct{ Fields []string }

	// Enable names capabilities in capitals (RFC 9051, section 6.3.1).
	Enable struct{ Capabilities []string }

	// Login is a name with its password. The password is the caller's to wipe.
	Login struct {
		User     string
		Password []byte
	}

	// Authenticate begins a SASL exchange. Initial is nil without an initial response; "=" is an
	// empty one.
	Authenticate struct {
		Mechanism string
		Initial   []byte
	}

	// Create has the name of a new mailbox and its special uses (RFC 6154).
	Create struct {
		Mailbox string
		Uses    []string
	}

	// Mailbox is the one argument of DELETE, SUBSCRIBE, UNSUBSCRIBE and GETQUOTAROOT; GETQUOTA has a quota root.
	Mailbox struct{ Name string }

	// Rename has the old and the new name.
	Rename struct{ From, To string }

	// Append is APPEND up to its first message; Reader.NextMessage has the others.
	Append struct {
		Mailbox string
		AppendMessage
	}

	// AppendMessage announces a message of APPEND. Received is zero when the client gave none.
	AppendMessage struct {
		Flags    []string
		Received time.Time
		Literal  Literal
		UTF8     bool // in "UTF8 (...)", the form of RFC 6855
	}

	// UIDExpunge has the UIDs of UID EXPUNGE (RFC 4315).
	UIDExpunge struct{ Set NumSet }

	// Copy has the messages and the target of COPY or MOVE, with UIDs for UID COPY and UID MOVE.
	Copy struct {
		Set     NumSet
		Mailbox string
	}
)

// parsers has the grammar of each command's arguments, from the space that precedes them.
var parsers = map[string]func(*lexer) any{
	"CAPABILITY": parseNone, "NOOP": parseNone, "LOGOUT": parseNone, "STARTTLS": parseStartTLS,
	"CHECK": parseNone, "CLOSE": parseNone, "UNSELECT": parseNone, "EXPUNGE": parseNone,
	"IDLE": parseNone, "NAMESPACE": parseNone,
	"ID": parseID, "ENABLE": parseEnable, "LOGIN": parseLogin, "AUTHENTICATE": parseAuthenticate,
	"SELECT": parseSelect, "EXAMINE": parseSelect, "CREATE": parseCreate, "DELETE": parseMailbox,
	"SUBSCRIBE": parseMailbox, "UNSUBSCRIBE": parseMailbox, "GETQUOTA": parseMailbox, "GETQUOTAROOT": parseMailbox, "RENAME": parseRename,
	"LIST": parseList, "LSUB": parseLsub, "STATUS": parseStatus, "APPEND": parseAppend,
	"UID EXPUNGE": parseUIDExpunge, "COPY": parseCopy, "MOVE": parseCopy, "UID COPY": parseCopy,
	"UID MOVE": parseCopy, "SEARCH": parseSearch, "UID SEARCH": parseSearch,
	"FETCH": parseFetch, "UID FETCH": parseUIDFetch, "STORE": parseStore, "UID STORE": parseStore,
}

// Parse returns the arguments, as the type that belongs to the command. Errors: Syntax.
func (c *Command) Parse() (any, error) {
	parse, ok := parsers[c.Name]
	if !ok {
		return nil, mail.Errorf(mail.Syntax, "unknown command")
	}
	l := lexer{b: c.args}
	args := parse(&l)
	l.end()
	return args, l.err
}

// ParseLoosely is Parse for arguments that may have other blanks than one space between them. Those that Parse does not
// understand are wiped and replaced.
func (c *Command) ParseLoosely() (any, error) {
	args, err := c.Parse()
	if err == nil {
		return args, nil
	}
	var respaced []byte
	for _, word := range bytes.Fields(c.args) {
		respaced = append(append(respaced, ' '), word...)
	}
	c.Wipe()
	c.args = respaced
	return c.Parse()
}

func parseNone(*lexer) any { return None{} }

func parseStartTLS(l *lexer) any {
	if len(l.b) > 0 {
		l.fail("STARTTLS takes no parameter")
	}
	return None{}
}

func parseID(l *lexer) any {
	var id ID
	l.space()
	if l.word("NIL") {
		return id
	}
	l.list(func() {
		name := l.str()
		l.space()
		value, _ := l.nstring()
		id.Fields = append(id.Fields, name, value)
	})
	// RFC 2971, section 3.3 sets these bounds.
	if len(id.Fields) > 2*30 {
		l.fail("too many fields")
	}
	return id
}

func parseEnable(l *lexer) any {
	var e Enable
	for {
		l.space()
		e.Capabilities = append(e.Capabilities, l.name())
		if l.err != nil || len(l.b) == 0 {
			return e
		}
	}
}

func parseLogin(l *lexer) any {
	var a Login
	l.space()
	a.User = l.astring()
	l.space()
	a.Password = []byte(l.astring())
	return a
}

func parseAuthenticate(l *lexer) any {
	var a Authenticate
	l.space()
	a.Mechanism = l.name()
	if !l.accept(' ') {
		return a
	}
	initial, err := DecodeBase64(l.b)
	if err != nil {
		l.fail("initial response is not base64")
		return a
	}
	l.b = nil
	a.Initial = initial
	return a
}

func parseCreate(l *lexer) any {
	var c Create
	l.space()
	c.Mailbox = l.astring()
	if !l.accept(' ') {
		return c
	}
	l.list(func() {
		if p := l.name(); p != "USE" {
			l.fail("unknown parameter %.40s", p)
			return
		}
		l.space()
		c.Uses = l.flags()
	})
	return c
}

func parseMailbox(l *lexer) any {
	l.space()
	return Mailbox{l.astring()}
}

func parseRename(l *lexer) any {
	var r Rename
	l.space()
	r.From = l.astring()
	l.space()
	r.To = l.astring()
	return r
}

// parseAppend reads all but the octets of the first message.
func parseAppend(l *lexer) any {
	var a Append
	l.space()
	a.Mailbox = l.astring()
	a.AppendMessage = l.appendMessage()
	return a
}

// appendMessage reads flags, date and the mark of a message's literal, with which the line ends. RFC 3502;
// RFC 3516, section 7; RFC 6855, section 4.
func (l *lexer) appendMessage() AppendMessage {
	var m AppendMessage
	l.space()
	if l.peek() == '(' {
		m.Flags = l.flags()
		l.space()
	}
	if l.peek() == '"' {
		m.Received = l.dateTime()
		l.space()
	}
	if m.UTF8 = l.word("UTF8"); m.UTF8 {
		l.space()
		l.expect('(')
	}
	m.Literal.Binary = l.accept('~')
	if m.UTF8 && !m.Literal.Binary {
		l.fail("UTF8 takes a literal8")
	}
	if l.peek() != '{' {
		l.fail("message literal expected")
	}
	l.expect('{')
	m.Literal.Size = int64(l.number64())
	m.Literal.Sync = !l.accept('+')
	l.expect('}')
	l.end()
	return m
}

func parseUIDExpunge(l *lexer) any {
	l.space()
	return UIDExpunge{l.numSet()}
}

func parseCopy(l *lexer) any {
	var c Copy
	l.space()
	c.Set = l.numSet()
	l.space()
	c.Mailbox = l.astring()
	return c
}
