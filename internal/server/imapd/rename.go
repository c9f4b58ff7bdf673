package imapd

import (
	"context"
	"strings"

	"candor/internal/proto/imap"
)

// rename renames a mailbox with its children. RFC 9051, section 6.3.6.
func (s *session) rename(ctx context.Context, a imap.Rename) (imap.Response, error) {
	from, err := s.name(a.From)
	if err != nil {
		return imap.Response{}, err
	}
	to, err := s.name(a.To)
	if err != nil {
		return imap.Response{}, err
	}
	return imap.Response{}, nameError(s.account.Rename(ctx, from, strings.TrimSuffix(to, "/")))
}
