package imapd

import (
	"context"
	"unicode/utf8"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// name turns a mailbox name as it came into the store's UTF-8: from modified UTF-7, unless the
// client has enabled IMAP4rev2 or UTF8=ACCEPT (RFC 9051, section 5.1; RFC 9755, section 3).
func (s *session) name(wire string) (string, error) {
	if !s.utf8() {
		return imap.DecodeMUTF7(wire)
	}
	if !utf8.ValidString(wire) {
		return "", mail.Errorf(mail.Syntax, "Mailbox name is not UTF-8")
	}
	return wire, nil
}

// appendName appends a mailbox name for the client.
func (s *session) appendName(dst []byte, name string) []byte {
	return imap.AppendString(dst, imap.MailboxName(name, s.utf8()), s.utf8())
}

// lookup finds a mailbox that can be selected.
func (s *session) lookup(ctx context.Context, wire string) (mailbox.Info, error) {
	name, err := s.name(wire)
	if err != nil {
		return mailbox.Info{}, err
	}
	info, err := s.account.Lookup(ctx, name)
	if err != nil {
		return mailbox.Info{}, err
	}
	if info.NoSelect {
		return mailbox.Info{}, mail.Errorf(mail.NotFound, "Mailbox cannot be selected")
	}
	return info, nil
}

// tryCreate answers a missing target of APPEND, COPY or MOVE (RFC 9051, section 7.1).
func tryCreate() imap.Response {
	return imap.Response{Condition: imap.No, Code: "TRYCREATE", Text: "No such mailbox"}
}
