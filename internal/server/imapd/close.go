package imapd

import (
	"context"

	"candor/internal/proto/imap"
)

// close removes the messages with \Deleted, telling nobody, and closes the mailbox. RFC 9051,
// section 6.4.1.
func (s *session) close(ctx context.Context, _ imap.None) (imap.Response, error) {
	if !s.selected.readOnly {
		if _, _, err := s.selected.box.Expunge(ctx, nil); err != nil {
			return imap.Response{}, err
		}
	}
	s.deselect()
	return imap.Response{}, nil
}

// unselect closes the mailbox and removes nothing. RFC 9051, section 6.4.2.
func (s *session) unselect(context.Context, imap.None) (imap.Response, error) {
	s.deselect()
	return imap.Response{}, nil
}
