package pop3d

import (
	"context"
	"fmt"
	"strconv"

	"candor/internal/server/listen"
)

// stat tells the number of messages and their size. RFC 1939, section 5.
func (s *session) stat(_ context.Context, args arguments) (reply, error) {
	n := len(s.maildrop.uids) - len(s.marks.deleted)
	return ok(fmt.Sprintf("%d %d", n, s.maildrop.total-s.marks.octets)), args.none()
}

// list tells the size of one message or of each. RFC 1939, section 5.
func (s *session) list(_ context.Context, args arguments) (reply, error) {
	return s.listing(args, func(b []byte, n int) []byte { return strconv.AppendInt(b, s.maildrop.sizes[n-1], 10) })
}

// uidl tells the unique-id of one message or of each. RFC 1939, section 7.
func (s *session) uidl(_ context.Context, args arguments) (reply, error) {
	return s.listing(args, s.maildrop.appendUIDL)
}

// listing answers with "number value" for one message or for each that is not marked.
func (s *session) listing(args arguments, value func(b []byte, n int) []byte) (reply, error) {
	line := func(b []byte, n int) []byte { return value(append(strconv.AppendInt(b, int64(n), 10), ' '), n) }
	if args.none() != nil {
		n, err := s.message(args)
		if err != nil {
			return reply{}, err
		}
		return ok(string(line(nil, n))), nil
	}
	return reply{text: "Listing follows", lines: func(c *listen.Conn) error {
		var b []byte
		for n := 1; n <= len(s.maildrop.uids); n++ {
			if s.marks.deleted[n] {
				continue
			}
			b = append(line(b[:0], n), "\r\n"...)
			if _, err := c.Write(b); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}
