package imapd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// maxAppend bounds what the store will write for the messages of one APPEND, their content aside, in
// octets. It is held until the last of them has come.
const maxAppend = 16 << 20

// refused is a command's end that is no failure of a kind.
type refused imap.Response

func (r refused) Error() string { return r.Text }

// append stores messages, all or none, which stream from the connection into the store. What can be
// refused is refused before a synchronising literal is asked for. RFC 9051, section 6.3.12; RFC 3502;
// RFC 4315; RFC 7889.
func (s *session) append(ctx context.Context, a imap.Append) (imap.Response, error) {
	r, err := s.appendMessages(ctx, a)
	if no := (refused{}); errors.As(err, &no) {
		return imap.Response(no), nil
	}
	return r, err
}

func (s *session) appendMessages(ctx context.Context, a imap.Append) (imap.Response, error) {
	info, err := s.appendTarget(ctx, a.Mailbox)
	if err != nil {
		return imap.Response{}, s.skipMessages(a.Literal, err)
	}
	var messages []mailbox.Prepared
	octets, size := 0, int64(0)
	for m := &a.AppendMessage; m != nil; {
		size += m.Literal.Size
		err := s.mayAppend(*m, octets)
		if err == nil {
			err = s.account.Room(ctx, size)
		}
		if err != nil {
			return imap.Response{}, s.skipMessages(m.Literal, err)
		}
		p, err := s.take(ctx, *m)
		if err != nil {
			return imap.Response{}, s.skipMessages(imap.Literal{}, err)
		}
		messages = append(messages, p)
		octets += p.Octets()
		if err := s.keepAppended(ctx, octets); err != nil {
			return imap.Response{}, s.skipMessages(imap.Literal{}, err)
		}
		if m, err = s.reader.NextMessage(s.server.limits.Line); err != nil {
			return imap.Response{}, lostUnlessUnderstood(err)
		}
	}
	uids, err := s.account.AppendPrepared(ctx, info.ID, messages, nil)
	if mail.IsKind(err, mail.NotFound) {
		return tryCreate(), nil
	}
	if err != nil {
		return imap.Response{}, err
	}
	s.server.stats.appended.Add(uint64(len(uids)))
	code := fmt.Appendf(nil, "APPENDUID %d ", info.UIDValidity)
	return imap.Response{Code: string(imap.AppendNumbers(code, uids))}, nil
}

func (s *session) appendTarget(ctx context.Context, name string) (mailbox.Info, error) {
	info, err := s.lookup(ctx, name)
	if mail.IsKind(err, mail.NotFound) {
		return info, refused(tryCreate())
	}
	return info, err
}

// mayAppend says what is wrong with a message, unseen. octets is how much is held of those before it.
func (s *session) mayAppend(m imap.AppendMessage, octets int) error {
	switch {
	case m.Literal.Size > s.server.limits.Message:
		return mail.Errorf(mail.TooBig, "Message is too big")
	case m.Literal.Size == 0:
		return refused{Condition: imap.No, Text: "Message is empty"}
	case octets > maxAppend:
		return mail.Errorf(mail.TooMany, "Too many messages for one APPEND")
	}
	return checkFlags(m.Flags)
}

// skipMessages reads past the literal of a refused APPEND and past those that follow, as far as they
// come without being asked for, and returns cause. Far more than the limit, or some length from a
// stranger, ends the connection, as RFC 7888, section 4 allows.
func (s *session) skipMessages(lit imap.Literal, cause error) error {
	if isLost(cause) {
		return cause
	}
	left := 4 * s.server.limits.Message
	if s.account == nil {
		left = s.server.limits.StrangerLiterals
	}
	s.conn.DemandRate()
	defer s.conn.EndRate()
	for !lit.Sync {
		if left -= lit.Size; left < 0 {
			return lost(imap.ErrFlood)
		}
		m, err := s.reader.NextMessage(s.server.limits.Line)
		if err != nil && !understood(err) {
			return lost(err)
		}
		if err != nil || m == nil {
			return cause
		}
		lit = m.Literal
	}
	return cause
}

// take asks for a message and makes it ready to be stored.
func (s *session) take(ctx context.Context, m imap.AppendMessage) (mailbox.Prepared, error) {
	if m.Literal.Sync {
		if err := s.goAhead("+ Ready for literal data\r\n"); err != nil {
			return mailbox.Prepared{}, lost(err)
		}
	}
	message, err := s.receive(ctx, m.Literal)
	if err != nil {
		return mailbox.Prepared{}, err
	}
	message.Flags, message.Received = m.Flags, m.Received
	if message.Received.IsZero() {
		message.Received = time.Now()
	}
	return s.server.mailboxes.Prepare(ctx, message)
}
