package imapd

import (
	"context"
	"strings"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// create makes a mailbox. A separator at the end of the name only says that children will follow.
// RFC 9051, section 6.3.4; RFC 6154; RFC 8474, section 4.1.
func (s *session) create(ctx context.Context, a imap.Create) (imap.Response, error) {
	name, err := s.name(a.Mailbox)
	if err != nil {
		return imap.Response{}, err
	}
	if len(a.Uses) > 1 {
		return imap.Response{Condition: imap.No, Code: "USEATTR", Text: "A mailbox has one special use"}, nil
	}
	var use mailbox.SpecialUse
	for _, u := range a.Uses {
		use = mailbox.SpecialUse(u)
	}
	made, err := s.account.Create(ctx, strings.TrimSuffix(name, "/"), use)
	if use != "" && mail.IsKind(err, mail.Unsupported) {
		return imap.Response{Condition: imap.No, Code: "USEATTR", Text: "Special use cannot be had"}, nil
	}
	if err != nil {
		return imap.Response{}, nameError(err)
	}
	return imap.Response{Code: "MAILBOXID (" + s.account.MailboxID(made.ID) + ")"}, nil
}

// nameError makes the refusal of a name NO: its syntax as IMAP is right.
func nameError(err error) error {
	if mail.IsKind(err, mail.Syntax) {
		return mail.Wrap(mail.Unsupported, err, mail.AsError(err).Text)
	}
	return err
}
