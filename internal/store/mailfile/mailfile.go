// Package mailfile is mail in the files of other programs: Maildir (Maildir++ as Dovecot and Courier write it, and
// Dovecot's LAYOUT=fs) and mbox (one file a mailbox, in a tree of folders). It reads them for an import and writes
// them for an export. No name in them, of a file or of a mailbox, leads out of the folder that was given.
package mailfile

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Folder is a mailbox in files.
type Folder struct {
	Name       string // UTF-8, "/" between levels; the main one is "INBOX"
	Path       string // within the source
	SpecialUse string // such as `\Sent`; known from an export by candor alone
	Weight     int64  // of all its messages: their number in a Maildir, octets in an mbox
}

// Message is a message in files that has not been read yet.
type Message struct {
	Place string // names it to people: a path, with the offset in an mbox
	// Key is the same whenever the message is read again, also after its flags have changed. In a Maildir it
	// follows from the file's name, in an mbox from the content.
	Key    [16]byte
	Weight int64
	Open   func() (*Content, error)
}

// Content is a message that is being read. Its lines end in CRLF; one that holds NUL, or that ends too early, fails
// while it is read.
type Content struct {
	io.ReadCloser
	Flags    []string  // IMAP names
	Received time.Time // the date of a Maildir's file or of an mbox's From_ line
}

// Fault is something in the files that could not be taken.
type Fault struct {
	Place string
	Err   error
}

// Error implements error.
func (f *Fault) Error() string { return fmt.Sprintf("%s: %v", f.Place, f.Err) }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// ErrGone is returned by Message.Open for a message that was removed since it was found.
var ErrGone = errors.New("the message is gone")

var (
	errNUL       = errors.New("the message holds NUL octets, which IMAP cannot give back")
	errName      = errors.New("the name leads elsewhere or cannot be one of a mailbox")
	errNoRegular = errors.New("it is no regular file")
)

// isKeyword reports whether name is an IMAP keyword (flag-keyword of RFC 9051, section 9).
func isKeyword(name string) bool {
	if name == "" || len(name) > 200 {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}
