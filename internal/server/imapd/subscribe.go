package imapd

import (
	"context"

	"candor/internal/proto/imap"
)

// subscribe adds a name to the subscriptions. RFC 9051, section 6.3.7.
func (s *session) subscribe(ctx context.Context, a imap.Mailbox) (imap.Response, error) {
	name, err := s.name(a.Name)
	if err != nil {
		return imap.Response{}, err
	}
	return imap.Response{}, nameError(s.account.Subscribe(ctx, name))
}

// unsubscribe takes a name away. RFC 9051, section 6.3.8.
func (s *session) unsubscribe(ctx context.Context, a imap.Mailbox) (imap.Response, error) {
	name, err := s.name(a.Name)
	if err != nil {
		return imap.Response{}, err
	}
	return imap.Response{}, nameError(s.account.Unsubscribe(ctx, name))
}
