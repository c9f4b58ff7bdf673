package pop3d

import "context"

// dele marks a message: QUIT will remove it. RFC 1939, section 5.
func (s *session) dele(_ context.Context, args arguments) (reply, error) {
	n, err := s.message(args)
	if err != nil {
		return reply{}, err
	}
	if s.marks.deleted == nil {
		s.marks.deleted = map[int]bool{}
	}
	s.marks.deleted[n] = true
	s.marks.octets += s.maildrop.sizes[n-1]
	return ok("Marked"), nil
}

// rset takes all marks back. RFC 1939, section 5.
func (s *session) rset(_ context.Context, args arguments) (reply, error) {
	if err := args.none(); err != nil {
		return reply{}, err
	}
	s.marks = marks{}
	return ok("No message is marked"), nil
}
