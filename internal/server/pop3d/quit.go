package pop3d

import (
	"context"
	"log/slog"
	"slices"

	"candor/internal/mail"
	"candor/internal/store/mailbox"
)

// quit enters the update state: what is marked is removed, and only then is it said. Only QUIT does
// that; a connection that breaks removes nothing. RFC 1939, sections 4 and 6.
func (s *session) quit(ctx context.Context, args arguments) (reply, error) {
	if err := args.none(); err != nil {
		return reply{}, err
	}
	s.ended = "quit"
	err := s.update(ctx)
	s.maildrop.close()
	if err != nil {
		s.log(slog.LevelError, "update failed", slog.Any("err", err))
		return reply{}, mail.Wrap(mail.Unavailable, err, "The marked messages were not removed")
	}
	return ok("Bye"), nil
}

// update removes the marked messages.
func (s *session) update(ctx context.Context) error {
	if len(s.marks.deleted) == 0 {
		return nil
	}
	uids := make([]mailbox.UID, 0, len(s.marks.deleted))
	for n := range s.marks.deleted {
		uids = append(uids, s.maildrop.uids[n-1])
	}
	slices.Sort(uids)
	// What the client was promised is finished even when the server is about to stop.
	if err := s.maildrop.box.Remove(context.WithoutCancel(ctx), uids); err != nil {
		return err
	}
	s.removed = len(uids)
	s.server.stats.removed.Add(int64(s.removed))
	return nil
}
