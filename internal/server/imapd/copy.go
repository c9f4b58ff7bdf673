package imapd

import (
	"context"
	"strconv"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// copy copies messages by number. RFC 9051, section 6.4.7.
func (s *session) copy(ctx context.Context, a imap.Copy) (imap.Response, error) {
	uids, err := s.existing(a.Set)
	if err != nil {
		return imap.Response{}, err
	}
	return s.copyMessages(ctx, uids, a.Mailbox)
}

// uidCopy copies messages by UID.
func (s *session) uidCopy(ctx context.Context, a imap.Copy) (imap.Response, error) {
	return s.copyMessages(ctx, s.selected.byUID(a.Set), a.Mailbox)
}

// move moves messages by number. RFC 9051, section 6.4.8.
func (s *session) move(ctx context.Context, a imap.Copy) (imap.Response, error) {
	uids, err := s.existing(a.Set)
	if err != nil {
		return imap.Response{}, err
	}
	return s.moveMessages(ctx, uids, a.Mailbox)
}

// uidMove moves messages by UID.
func (s *session) uidMove(ctx context.Context, a imap.Copy) (imap.Response, error) {
	return s.moveMessages(ctx, s.selected.byUID(a.Set), a.Mailbox)
}

// existing is bySequence for commands that do all or nothing: that one of the messages is gone is
// told before anything is done (RFC 2180, section 4.4).
func (s *session) existing(set imap.NumSet) ([]mailbox.UID, error) {
	uids, err := s.selected.bySequence(set)
	if err != nil {
		return nil, err
	}
	if !set.Saved && s.selected.box.Existing(uids) < len(uids) {
		return nil, someExpunged()
	}
	return uids, nil
}

func (s *session) copyMessages(ctx context.Context, uids []mailbox.UID, to string) (imap.Response, error) {
	target, err := s.lookup(ctx, to)
	if mail.IsKind(err, mail.NotFound) {
		return tryCreate(), nil
	}
	if err == nil {
		err = s.reserveNumbers(ctx, uids, 2*uidOctets)
	}
	if err != nil || len(uids) == 0 {
		return imap.Response{}, err
	}
	c, err := s.selected.box.Copy(ctx, uids, target.ID)
	if err != nil {
		return imap.Response{}, err
	}
	return imap.Response{Code: copyUID(c)}, nil
}

// moveMessages tells the new UIDs before the loop tells that the old ones are gone (RFC 6851,
// section 4.3).
func (s *session) moveMessages(ctx context.Context, uids []mailbox.UID, to string) (imap.Response, error) {
	if r := s.writable(); r.Condition != imap.OK {
		return r, nil
	}
	target, err := s.lookup(ctx, to)
	if mail.IsKind(err, mail.NotFound) {
		return tryCreate(), nil
	}
	if err == nil {
		err = s.reserveNumbers(ctx, uids, 2*uidOctets)
	}
	if err != nil || len(uids) == 0 {
		return imap.Response{}, err
	}
	c, err := s.selected.box.Move(ctx, uids, target.ID)
	if len(c.Source) > 0 { // also before an error
		s.sendf("* OK [%s] Moved", copyUID(c))
	}
	if err != nil || len(c.Source) == 0 || !s.condStore {
		return imap.Response{}, err
	}
	return imap.Response{Code: highestModSeq(c.ModSeq)}, nil
}

// copyUID is the COPYUID response code of RFC 4315; empty when nothing was copied.
func copyUID(c mailbox.Copied) string {
	if len(c.Source) == 0 {
		return ""
	}
	b := strconv.AppendUint([]byte("COPYUID "), uint64(c.UIDValidity), 10)
	b = imap.AppendNumbers(append(b, ' '), c.Source)
	b = imap.AppendNumbers(append(b, ' '), c.Target)
	return string(b)
}
