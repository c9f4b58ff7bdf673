package imapd

import (
	"context"
	"strconv"

	"candor/internal/mail"
	"candor/internal/proto/imap"
)

// quotaRoot is the one that all mailboxes of an account have.
const quotaRoot = `""`

// getQuota tells what the account holds and may hold. RFC 9208, section 4.1.1.
func (s *session) getQuota(ctx context.Context, a imap.Mailbox) (imap.Response, error) {
	if a.Name != "" {
		return imap.Response{}, mail.Errorf(mail.NotFound, "No such quota root")
	}
	return imap.Response{}, s.sendQuota(ctx)
}

// getQuotaRoot tells the same for a mailbox, which need not exist. RFC 9208, section 4.1.2.
func (s *session) getQuotaRoot(ctx context.Context, a imap.Mailbox) (imap.Response, error) {
	name, err := s.name(a.Name)
	if err != nil {
		return imap.Response{}, err
	}
	b := s.appendName(append(s.scratch, "* QUOTAROOT "...), name)
	s.send(append(b, " "+quotaRoot+"\r\n"...))
	return imap.Response{}, s.sendQuota(ctx)
}

// sendQuota sends the resources that have a bound.
func (s *session) sendQuota(ctx context.Context) error {
	quota, used, err := s.account.Quota(ctx)
	if err != nil {
		return err
	}
	b := append(s.scratch, "* QUOTA "+quotaRoot+" ("...)
	if quota.Storage > 0 {
		b = appendResource(b, "STORAGE", kibibytes(used.Storage), kibibytes(quota.Storage))
	}
	if quota.Messages > 0 {
		b = appendResource(b, "MESSAGE", used.Messages, quota.Messages)
	}
	s.send(append(b, ")\r\n"...))
	return nil
}

func appendResource(b []byte, name string, used, limit int64) []byte {
	b = append(separated(b), name...)
	b = strconv.AppendInt(append(b, ' '), used, 10)
	return strconv.AppendInt(append(b, ' '), limit, 10)
}

// kibibytes is the unit of STORAGE (RFC 9208, section 5.1). What has begun counts.
func kibibytes(octets int64) int64 { return (octets + 1023) / 1024 }
