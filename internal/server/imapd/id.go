package imapd

import (
	"context"

	"candor/internal/proto/imap"
)

// id names the server, without its version, which would help an attacker most. RFC 2971.
func (s *session) id(context.Context, imap.ID) (imap.Response, error) {
	s.sendf(`* ID ("name" "Candor")`)
	return imap.Response{}, nil
}
