package imapd

import (
	"context"
	"slices"

	"candor/internal/proto/imap"
)

// enable turns extensions on and names them, also those that were on already; unknown ones are
// ignored. RFC 9051, section 6.3.1; RFC 7162, section 3.2.3; RFC 9755.
func (s *session) enable(_ context.Context, a imap.Enable) (imap.Response, error) {
	enabled := append(s.scratch, "* ENABLED"...)
	if slices.Contains(a.Capabilities, "IMAP4REV2") {
		s.rev2 = true
		enabled = append(enabled, " IMAP4rev2"...)
	}
	if slices.Contains(a.Capabilities, "UTF8=ACCEPT") {
		s.accepts = true
		enabled = append(enabled, " UTF8=ACCEPT"...)
	}
	if slices.Contains(a.Capabilities, "QRESYNC") {
		s.qresync, s.condStore = true, true
		enabled = append(enabled, " QRESYNC"...)
	}
	if slices.Contains(a.Capabilities, "CONDSTORE") {
		s.condStore = true
		enabled = append(enabled, " CONDSTORE"...)
	}
	s.send(append(enabled, "\r\n"...))
	return imap.Response{}, nil
}
