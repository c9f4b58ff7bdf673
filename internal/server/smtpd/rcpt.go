package smtpd

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
)

// rcptKeywords announces the most recipients of a transaction (RFC 9422, section 4).
func rcptKeywords(s *session) []string {
	return []string{"LIMITS RCPTMAX=" + strconv.Itoa(s.server.Limits.Recipients)}
}

// rcpt adds a recipient to the transaction. RFC 5321, section 4.1.1.3.
func (s *session) rcpt(ctx context.Context, cmd smtp.Rcpt) (smtp.Reply, error) {
	if len(cmd.Other) > 0 {
		return unknownParameter(cmd.Other[0].Keyword), nil
	}
	if cmd.NonASCII && !s.transaction.mail.SMTPUTF8 {
		return smtp.NewReply(553, "5.6.7", "An address like this needs SMTPUTF8"), nil
	}
	if len(s.transaction.recipients) >= s.server.Limits.Recipients {
		return smtp.Reply{}, mail.Errorf(mail.TooMany, "Too many recipients")
	}
	if cmd.Path.Domain == "" {
		// Only "<postmaster>" may come without a domain (RFC 5321, section 4.5.1).
		cmd.Path.Domain = s.server.Hostname
	}
	to, err := s.resolve(ctx, cmd.Path)
	if err != nil {
		return smtp.Reply{}, err
	}
	s.transaction.add(to)
	s.state = addressed
	return smtp.OK("2.1.5", "Recipient OK"), nil
}

// resolve finds where mail for an address goes, and refuses to relay for strangers and what an account has no
// room for.
func (s *session) resolve(ctx context.Context, a mail.Address) (mail.Recipient, error) {
	r, err := s.server.Directory.Resolve(ctx, a)
	if mail.IsKind(err, mail.NoAddress) {
		s.server.counters.unknownAddresses.Add(1)
	}
	if err != nil {
		return mail.Recipient{}, fmt.Errorf("resolving %s: %w", a, err)
	}
	if r.Route == mail.Remote && !s.submission {
		s.server.counters.relayingDenied.Add(1)
		return mail.Recipient{}, fmt.Errorf("resolving %s: %w", a, mail.Errorf(mail.Forbidden, "Relaying denied"))
	}
	if s.server.Room != nil && len(r.Accounts) == 1 && len(r.Forward) == 0 {
		if err := s.server.Room(ctx, r.Accounts[0].Account, s.transaction.mail.Size); err != nil {
			return mail.Recipient{}, fmt.Errorf("resolving %s: %w", a, err)
		}
	}
	return mail.Recipient{Address: a, Route: r.Route}, nil
}

// add notes a recipient; one that is named again still gets one copy. Our own domains know no case.
func (t *transaction) add(r mail.Recipient) {
	same := func(o mail.Recipient) bool {
		return o == r || r.Route == mail.Local && o.Address.Domain == r.Address.Domain && o.Address.Canonical() == r.Address.Canonical()
	}
	if !slices.ContainsFunc(t.recipients, same) {
		t.recipients = append(t.recipients, r)
	}
}
