package pop3d

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"

	"candor/internal/mail"
)

// state is that of RFC 1939, section 3; a session may be in one of a set.
type state uint8

const (
	authorization state = 1 << iota
	transaction
	anyState = authorization | transaction
)

// flags say what the loop checks for a command.
type flags uint8

// beforeTLS: works on a connection that is clear. All others are refused there as credentials are.
const beforeTLS flags = 1

// command is a row of the table.
type command struct {
	name   string
	states state
	flags  flags
	run    func(*session, context.Context, arguments) (reply, error)
	// capability is what CAPA announces, where that is not nothing.
	capability func(*session) string
}

// commands drives a session; CAPA is derived from it.
var commands []command

func init() { // the table and its capa row would else refer to each other
	commands = []command{
		{"USER", authorization, 0, (*session).user, (*session).userCapability},                                // RFC 1939, section 7
		{"PASS", authorization, 0, (*session).pass, nil},                                                      // RFC 1939, section 7
		{"APOP", authorization, 0, (*session).apop, nil},                                                      // RFC 1939, section 7
		{"AUTH", authorization, 0, (*session).auth, (*session).saslCapability},                                // RFC 5034
		{"UTF8", authorization, beforeTLS, (*session).enableUTF8, (*session).utf8Capability},                  // RFC 6856, section 2
		{"STLS", anyState, beforeTLS, (*session).stls, (*session).stlsNow},                                    // RFC 2595, section 4
		{"CAPA", anyState, beforeTLS, (*session).capa, named("RESP-CODES", "AUTH-RESP-CODE", implementation)}, // RFC 2449
		{"NOOP", transaction, 0, (*session).noop, named("PIPELINING", "EXPIRE NEVER")},                        // RFC 1939, section 5
		{"STAT", transaction, 0, (*session).stat, nil},                                                        // RFC 1939, section 5
		{"LIST", transaction, 0, (*session).list, nil},                                                        // RFC 1939, section 5
		{"UIDL", transaction, 0, (*session).uidl, named("UIDL")},                                              // RFC 1939, section 7
		{"RETR", transaction, 0, (*session).retr, nil},                                                        // RFC 1939, section 5
		{"TOP", transaction, 0, (*session).top, named("TOP")},                                                 // RFC 1939, section 7
		{"DELE", transaction, 0, (*session).dele, nil},                                                        // RFC 1939, section 5
		{"RSET", transaction, 0, (*session).rset, nil},                                                        // RFC 1939, section 5
		{"QUIT", anyState, beforeTLS, (*session).quit, nil},                                                   // RFC 1939, sections 4 and 6
	}
}

const implementation = "IMPLEMENTATION Candor"

// named announces capabilities that do not depend on the session.
func named(capabilities ...string) func(*session) string {
	text := strings.Join(capabilities, "\r\n")
	return func(*session) string { return text }
}

// lookup finds a command by name in any case.
func lookup(name []byte) *command {
	for i := range commands {
		if len(name) == len(commands[i].name) && bytes.EqualFold(name, []byte(commands[i].name)) {
			return &commands[i]
		}
	}
	return nil
}

// arguments is what follows the keyword and one space; it is valid while the command runs.
type arguments []byte

// split takes the line apart at its first space.
func split(line []byte) (name []byte, args arguments) {
	name, rest, _ := bytes.Cut(line, []byte(" "))
	return name, rest
}

// none demands that there are no arguments.
func (a arguments) none() error {
	if len(bytes.TrimSpace(a)) > 0 {
		return mail.Errorf(mail.Syntax, "no argument expected")
	}
	return nil
}

// numbers demands exactly len(into) decimal numbers; one that no message has is as good as another.
func (a arguments) numbers(into ...*int) error {
	rest := []byte(a)
	for _, n := range into {
		var word []byte
		word, rest, _ = bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
		v, err := strconv.ParseUint(string(word), 10, 31)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return mail.Errorf(mail.Syntax, "%d decimal number(s) expected", len(into))
		}
		*n = int(v)
	}
	return arguments(rest).none()
}
