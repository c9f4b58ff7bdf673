package imapd

import (
	"context"
	"strconv"

	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// expunge removes the messages with \Deleted; the loop tells which. RFC 9051, section 6.4.3.
func (s *session) expunge(ctx context.Context, _ imap.None) (imap.Response, error) {
	return s.remove(ctx, nil)
}

// uidExpunge removes those with \Deleted among the given. RFC 9051, section 6.4.9; RFC 4315.
func (s *session) uidExpunge(ctx context.Context, a imap.UIDExpunge) (imap.Response, error) {
	uids := s.selected.byUID(a.Set)
	if len(uids) == 0 {
		return s.writable(), nil
	}
	return s.remove(ctx, uids)
}

func (s *session) remove(ctx context.Context, uids []mailbox.UID) (imap.Response, error) {
	if r := s.writable(); r.Condition != imap.OK {
		return r, nil
	}
	gone, modSeq, err := s.selected.box.Expunge(ctx, uids)
	if err != nil || len(gone) == 0 || !s.condStore {
		return imap.Response{}, err
	}
	// RFC 7162, section 3.2.7: a client that counts MODSEQs learns the one of the removal.
	return imap.Response{Code: highestModSeq(modSeq)}, nil
}

func highestModSeq(m mailbox.ModSeq) string {
	return "HIGHESTMODSEQ " + strconv.FormatUint(uint64(m), 10)
}

// writable refuses to change a mailbox that is open by EXAMINE.
func (s *session) writable() imap.Response {
	if s.selected.readOnly {
		return imap.Response{Condition: imap.No, Code: "READ-ONLY", Text: "Mailbox is open read-only"}
	}
	return imap.Response{}
}
