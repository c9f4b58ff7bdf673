package imapd

import (
	"context"

	"candor/internal/mail"
	"candor/internal/proto/imap"
)

// delete removes a mailbox. If it is the selected one, that is closed. RFC 9051, section 6.3.5.
func (s *session) delete(ctx context.Context, a imap.Mailbox) (imap.Response, error) {
	name, err := s.name(a.Name)
	if err != nil {
		return imap.Response{}, err
	}
	info, err := s.account.Lookup(ctx, name)
	if err != nil {
		return imap.Response{}, err
	}
	err = s.account.Delete(ctx, name)
	if info.NoSelect && mail.IsKind(err, mail.Forbidden) {
		return imap.Response{Condition: imap.No, Code: "HASCHILDREN", Text: "Delete its children first"}, nil
	}
	if err != nil {
		return imap.Response{}, err
	}
	if s.selected != nil && s.selected.info.ID == info.ID {
		s.closed()
	}
	return imap.Response{}, nil
}
