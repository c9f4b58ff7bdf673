package imapd

import (
	"context"
	"fmt"
	"strings"

	"candor/internal/proto/imap"
)

// states is a set of the states of RFC 9051, section 3. The fourth, logout, ends the session's loop.
type states uint8

const (
	notAuthenticated states = 1 << iota
	authenticated
	selecting // "selected", whose name the session's field has

	anyState = notAuthenticated | authenticated | selecting
	loggedIn = authenticated | selecting
)

// flags says of a command what the loop must know.
type flags uint8

const (
	// beforeTLS: allowed on a connection that is not encrypted yet.
	beforeTLS flags = 1 << iota
	// credentials: carries a password, which is not to be asked for in clear.
	credentials
	// keepsNumbers: no EXPUNGE may be told while it is under way (RFC 9051, section 7.5.1).
	keepsNumbers
	// oneMoment: tells a mailbox as it is at some moment; what happens since then is told with the next command, so
	// that a client that puts together what it knew and what it hears has one state of it (RFC 7162, section 3.2.5).
	oneMoment
)

// command is a row of the table: a name, where it is allowed, its handler and the capabilities that
// it stands for.
type command struct {
	name         string
	states       states
	flags        flags
	run          func(*session, context.Context, any) (imap.Response, error)
	capabilities string
}

// row makes a command of a handler with typed arguments.
func row[A any](name string, in states, f flags, h func(*session, context.Context, A) (imap.Response, error), capabilities string) command {
	run := func(s *session, ctx context.Context, args any) (imap.Response, error) {
		a, ok := args.(A)
		if !ok {
			return imap.Response{}, fmt.Errorf("arguments of %s are a %T", name, args)
		}
		return h(s, ctx, a)
	}
	return command{name, in, f, run, capabilities}
}

// commands drives a session. What CAPABILITY announces is computed from it.
var commands = []command{
	row("CAPABILITY", anyState, beforeTLS, (*session).capability, "IMAP4rev2 IMAP4rev1"),
	row("NOOP", anyState, beforeTLS, (*session).noop, ""),
	row("ID", anyState, beforeTLS, (*session).id, "ID"),
	row("LOGOUT", anyState, beforeTLS, (*session).logout, ""),
	row("STARTTLS", notAuthenticated, beforeTLS, (*session).startTLS, ""),
	row("LOGIN", notAuthenticated, credentials, (*session).login, ""),
	row("AUTHENTICATE", notAuthenticated, credentials, (*session).authenticate, "SASL-IR"),

	row("ENABLE", loggedIn, 0, (*session).enable, "ENABLE UTF8=ACCEPT"),
	row("SELECT", loggedIn, oneMoment, (*session).selectMailbox, "CONDSTORE QRESYNC OBJECTID"),
	row("EXAMINE", loggedIn, oneMoment, (*session).examine, ""),
	row("CREATE", loggedIn, 0, (*session).create, "CREATE-SPECIAL-USE"),
	row("DELETE", loggedIn, 0, (*session).delete, ""),
	row("RENAME", loggedIn, 0, (*session).rename, ""),
	row("SUBSCRIBE", loggedIn, 0, (*session).subscribe, ""),
	row("UNSUBSCRIBE", loggedIn, 0, (*session).unsubscribe, ""),
	row("LIST", loggedIn, 0, (*session).list, "LIST-EXTENDED LIST-STATUS SPECIAL-USE CHILDREN"),
	row("LSUB", loggedIn, 0, (*session).lsub, ""),
	row("NAMESPACE", loggedIn, 0, (*session).namespace, "NAMESPACE"),
	row("STATUS", loggedIn, 0, (*session).status, "STATUS=SIZE"),
	row("GETQUOTA", loggedIn, 0, (*session).getQuota, "QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE"),
	row("GETQUOTAROOT", loggedIn, 0, (*session).getQuotaRoot, ""),
	row("APPEND", loggedIn, 0, (*session).append, "LITERAL+ MULTIAPPEND"),
	row("IDLE", loggedIn, 0, (*session).idle, "IDLE"),

	row("CHECK", selecting, 0, (*session).check, ""),
	row("CLOSE", selecting, 0, (*session).close, ""),
	row("UNSELECT", selecting, 0, (*session).unselect, "UNSELECT"),
	row("EXPUNGE", selecting, 0, (*session).expunge, ""),
	row("UID EXPUNGE", selecting, 0, (*session).uidExpunge, "UIDPLUS"),
	row("SEARCH", selecting, keepsNumbers, (*session).search, "ESEARCH SEARCHRES WITHIN"),
	row("UID SEARCH", selecting, 0, (*session).uidSearch, ""),
	row("FETCH", selecting, keepsNumbers, (*session).fetch, "BINARY PARTIAL SAVEDATE PREVIEW"),
	row("UID FETCH", selecting, 0, (*session).uidFetch, ""),
	row("STORE", selecting, keepsNumbers, (*session).store, ""),
	row("UID STORE", selecting, 0, (*session).uidStore, ""),
	row("COPY", selecting, 0, (*session).copy, ""),
	row("UID COPY", selecting, 0, (*session).uidCopy, ""),
	row("MOVE", selecting, 0, (*session).move, "MOVE"),
	row("UID MOVE", selecting, 0, (*session).uidMove, ""),
}

// commandsByName and announced are filled in by init because handlers refer to them.
var (
	commandsByName = map[string]*command{}
	announced      []string // the capabilities of all commands
)

func init() {
	for i, c := range commands {
		commandsByName[c.name] = &commands[i]
		announced = append(announced, strings.Fields(c.capabilities)...)
	}
}
