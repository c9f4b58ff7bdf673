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
		s.qresync = true
		enabled = append(enabled, " QRESYNC"...)
	}
	if slices.Contains(a.Capabilities, "CONDSTORE") {
		enabled = append(enabled, " CONDSTORE"...)
	}
	s.send(append(enabled, "\r\n"...))
	if s.qresync || slices.Contains(a.Capabilities, "CONDSTORE") {
		s.enableCondStore()
	}
	return imap.Response{}, nil
}

// enableCondStore notes that the client knows of MODSEQ. When it says so for the first time with a mailbox selected, it learns how
// far it has been told of that one. RFC 7162, section 3.1.
func (s *session) enableCondStore() {
	if s.condStore {
		return
	}
	s.condStore = true
	if sel := s.selected; sel != nil {
		s.sendf("* OK [HIGHESTMODSEQ %d] Highest", sel.complete)
	}
}
