package imapd

import (
	"context"

	"candor/internal/message"
	"candor/internal/store/mailbox"
)

// The parts of a command that need more memory than these take it from Options.Memory, in octets.
const (
	smallLiterals   = 16 << 10
	smallAttributes = 16 << 10
	smallHeader     = 16 << 10
	smallNumbers    = 64 << 10
	smallAppend     = 64 << 10
)

// rangeOctets is what a range of numbers takes in the text of a response and in the copies that are made of it.
const rangeOctets = 32

// appendStep is how much the messages of one APPEND may grow until more memory is taken for them, in octets;
// appendGrowth, how many times the store holds them when it writes them.
const (
	appendStep   = 1 << 20
	appendGrowth = 2
)

// attributesGrowth is how much longer encoded attributes become when they are decoded and shown.
const attributesGrowth = 20

// reserve takes memory for the command under way, so that it has n octets at least beside what it keeps. While a
// command holds some it does not wait for more. Errors: Unavailable.
func (s *session) reserve(ctx context.Context, n int64) error {
	s.conn.Spend(ctx, int(n))
	n += s.kept
	more := n - s.reserved
	if more <= 0 {
		return nil
	}
	take := s.server.memory.Take
	if s.reserved > 0 {
		take = s.server.memory.TakeNow
	}
	if err := take(ctx, more); err != nil {
		return err
	}
	s.reservations = append(s.reservations, more)
	s.reserved = n
	return nil
}

// keep takes n octets that the command keeps to its end. Errors: Unavailable.
func (s *session) keep(ctx context.Context, n int64) error {
	s.kept += n
	return s.reserve(ctx, 0)
}

// keepAppended is for the messages of an APPEND, of octets so far.
func (s *session) keepAppended(ctx context.Context, octets int) error {
	for int64(octets) > smallAppend+s.kept/appendGrowth {
		if err := s.keep(ctx, appendGrowth*appendStep); err != nil {
			return err
		}
	}
	return nil
}

// reserveNumbers is for a response of one line that names messages, of which lists take so many octets each.
func (s *session) reserveNumbers(ctx context.Context, uids []mailbox.UID, each int) error {
	octets := int64(len(uids) * each)
	for i := range uids {
		if i == 0 || uids[i] != uids[i-1]+1 {
			octets += rangeOctets
		}
	}
	if octets <= smallNumbers {
		return nil
	}
	return s.reserve(ctx, octets)
}

// giveBack returns what the command has reserved.
func (s *session) giveBack() {
	for _, n := range s.reservations {
		s.server.memory.Give(n)
	}
	s.reservations, s.reserved, s.kept = s.reservations[:0], 0, 0
}

// structureLimits are those of a message that comes in. err becomes why there was no memory for its structure.
func (s *session) structureLimits(ctx context.Context, err *error) message.Limits {
	l := message.Limits{Header: s.server.limits.Header, Depth: s.server.limits.Depth, Parts: s.server.limits.Parts}
	most := l.MaxStructure()
	l.Reserve = func() bool {
		*err = s.reserve(ctx, most)
		return *err == nil
	}
	return l
}

// attributes decodes the attributes of r.
func (s *session) attributes(ctx context.Context, r *mailbox.Record) (*message.Attributes, error) {
	if r.Encoded > smallAttributes {
		if err := s.reserve(ctx, attributesGrowth*int64(r.Encoded)); err != nil {
			return nil, err
		}
	}
	return r.Attributes()
}

// reserveHeader is for a header of size octets and the fields chosen from it.
func (s *session) reserveHeader(ctx context.Context, size int64) error {
	if size <= smallHeader {
		return nil
	}
	return s.reserve(ctx, 2*size)
}
