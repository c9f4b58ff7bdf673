package imapd

import (
	"context"
	"slices"

	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// selectMailbox opens a mailbox. RFC 9051, section 6.3.2; RFC 7162, sections 3.1.8 and 3.2.5.
func (s *session) selectMailbox(ctx context.Context, a imap.Select) (imap.Response, error) {
	return s.open(ctx, a, false)
}

// examine opens a mailbox and changes nothing in it. RFC 9051, section 6.3.3.
func (s *session) examine(ctx context.Context, a imap.Select) (imap.Response, error) {
	return s.open(ctx, a, true)
}

// open closes the selected mailbox, also if the new one cannot be opened.
func (s *session) open(ctx context.Context, a imap.Select, readOnly bool) (imap.Response, error) {
	if a.QResync != nil {
		if err := s.needQResync(); err != nil {
			return imap.Response{}, err
		}
	}
	s.closed()
	info, err := s.lookup(ctx, a.Mailbox)
	if err != nil {
		return imap.Response{}, err
	}
	box, err := s.account.Open(ctx, info.ID)
	if err != nil {
		return imap.Response{}, err
	}
	if a.CondStore {
		s.enableCondStore()
	}
	st := box.State()
	s.selected = &selected{
		box: box, info: info, readOnly: readOnly,
		uids: st.UIDs, latest: st.UIDs, keywords: st.Keywords,
		told: st.HighestModSeq, complete: st.HighestModSeq, changed: box.Wait(st.HighestModSeq),
	}
	s.describe(st)
	if a.QResync != nil {
		if err := s.resync(ctx, a.QResync, st); err != nil {
			s.deselect()
			return imap.Response{}, err
		}
	}
	if readOnly {
		return imap.Response{Code: "READ-ONLY"}, nil
	}
	return imap.Response{Code: "READ-WRITE"}, nil
}

// describe sends what a client must know of the mailbox it opened. RECENT and UNSEEN are of
// IMAP4rev1, where no message is ever recent here; LIST is of IMAP4rev2.
func (s *session) describe(st mailbox.State) {
	s.sendFlagNames()
	s.send(imap.AppendNumbered(s.scratch, len(st.UIDs), "EXISTS"))
	if !s.rev2 {
		s.send(imap.AppendNumbered(s.scratch, 0, "RECENT"))
		if at, ok := slices.BinarySearch(st.UIDs, st.FirstUnseen); ok {
			s.sendf("* OK [UNSEEN %d] First unseen message", at+1)
		}
	}
	s.sendf("* OK [UIDVALIDITY %d] UIDs are valid", st.Info.UIDValidity)
	s.sendf("* OK [UIDNEXT %d] Predicted next UID", st.UIDNext)
	s.sendf("* OK [HIGHESTMODSEQ %d] Highest", st.HighestModSeq)
	s.sendf("* OK [MAILBOXID (%s)] Object id", s.account.MailboxID(st.Info.ID))
	if s.rev2 {
		b := s.appendName(append(s.scratch, `* LIST () "/" `...), s.selected.info.Name)
		s.send(append(b, "\r\n"...))
	}
}
