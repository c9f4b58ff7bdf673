package imapd

import (
	"context"

	"candor/internal/proto/imap"
)

// logout ends the session. RFC 9051, section 6.1.3.
func (s *session) logout(context.Context, imap.None) (imap.Response, error) {
	s.deselect()
	s.bye("Logging out")
	s.goodbye = "logout"
	return imap.Response{}, nil
}
