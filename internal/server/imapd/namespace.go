package imapd

import (
	"context"

	"candor/internal/proto/imap"
)

// namespace tells that all mailboxes are personal and "/" separates names. RFC 9051, section 6.3.10.
func (s *session) namespace(context.Context, imap.None) (imap.Response, error) {
	s.sendf(`* NAMESPACE (("" "/")) NIL NIL`)
	return imap.Response{}, nil
}
