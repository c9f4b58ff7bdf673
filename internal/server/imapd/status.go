package imapd

import (
	"context"

	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// status counts a mailbox. RFC 9051, section 6.3.11; RFC 7162, section 3.1.7; RFC 7889; RFC 8474, section 4.3; RFC 9208, section 4.1.4.
func (s *session) status(ctx context.Context, a imap.Status) (imap.Response, error) {
	info, err := s.lookup(ctx, a.Mailbox)
	if err != nil {
		return imap.Response{}, err
	}
	return imap.Response{}, s.sendStatus(ctx, info, a.Items)
}

func (s *session) sendStatus(ctx context.Context, info mailbox.Info, items imap.StatusItems) error {
	st, err := s.account.Status(ctx, info.ID)
	if err != nil {
		return err
	}
	if items&imap.StatusHighestModSeq != 0 {
		s.enableCondStore()
	}
	var deleted int64
	if items&imap.StatusDeletedStorage != 0 && st.Deleted > 0 {
		if deleted, err = s.deletedStorage(ctx, info.ID); err != nil {
			return err
		}
	}
	b := s.appendName(append(s.scratch, "* STATUS "...), info.Name)
	b = imap.AppendStatus(append(b, ' '), items, imap.StatusData{
		Messages: uint64(st.Messages), UIDNext: uint64(st.UIDNext), UIDValidity: uint64(st.UIDValidity),
		Unseen: uint64(st.Unseen), Deleted: uint64(st.Deleted), Size: uint64(st.Size),
		HighestModSeq: uint64(st.HighestModSeq), AppendLimit: uint64(s.server.limits.Message), DeletedStorage: uint64(deleted), MailboxID: s.account.MailboxID(info.ID),
	})
	s.send(append(b, "\r\n"...))
	return nil
}

// deletedStorage is what an EXPUNGE would free, in octets.
func (s *session) deletedStorage(ctx context.Context, id mailbox.ID) (octets int64, err error) {
	box, err := s.account.Open(ctx, id)
	if err != nil {
		return 0, err
	}
	defer box.Close()
	uids, err := box.Search(ctx, box.State().UIDs, mailbox.Criteria{Op: mailbox.HasFlag, Flag: `\Deleted`})
	if err != nil {
		return 0, err
	}
	err = box.Records(ctx, uids, func(r *mailbox.Record) error {
		octets += r.Size
		return nil
	})
	return octets, err
}
