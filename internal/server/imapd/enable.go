package imapd

import (
	"context"

	"candor/internal/proto/imap"
)

// enable turns extensions on; unknown ones are ignored. RFC 9051, section 6.3.1.
func (s *session) enable(_ context.Context, a imap.Enable) (imap.Response, error) {
	enabled := append(s.scratch, "* ENABLED"...)
	for _, c := range a.Capabilities {
		switch {
		case c == "IMAP4REV2" && !s.rev2:
			s.rev2 = true
			enabled = append(enabled, " IMAP4rev2"...)
		case c == "CONDSTORE" && !s.condStore:
			s.condStore = true
			enabled = append(enabled, " CONDSTORE"...)
		}
	}
	s.send(append(enabled, "\r\n"...))
	return imap.Response{}, nil
}
