package pop3d

import (
	"candor/internal/mail"
	"candor/internal/server/listen"
)

// reply is a positive reply: text behind +OK, and for a multi-line one the function that writes the
// lines, dot-stuffed; the final "." is the loop's.
type reply struct {
	text   string
	lines  func(*listen.Conn) error
	silent bool // the command has said all there is to say
}

// ok is a reply of one line.
func ok(text string) reply { return reply{text: text} }

// Replies of the specification, section 2.5.
const (
	encryptionRequired = "[SYS/PERM] Encryption required: set SSL/TLS on port 995 (or STLS). A password just sent may have been read by others"
	earlyData          = "[SYS/PERM] Data sent before TLS was ready"
	authFailed         = "[AUTH] Authentication failed"
	internalError      = "[SYS/TEMP] Internal error"
	shuttingDown       = "[SYS/TEMP] Server is shutting down"
)

// textFor returns what follows -ERR for an error: POP3's column of docs/errors.md.
func textFor(e *mail.Error) string {
	switch e.Kind {
	case mail.InUse:
		return "[IN-USE] " + e.Text
	case mail.AuthFailed:
		return authFailed
	case mail.TooMany, mail.Unavailable:
		return "[SYS/TEMP] " + e.Text
	case mail.Forbidden:
		return "[SYS/PERM] " + e.Text
	case mail.Internal:
		return internalError
	}
	return e.Text
}
