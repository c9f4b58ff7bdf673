package imapd

import (
	"context"
	"slices"
	"strings"

	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// lsub lists subscribed names. RFC 3501, section 6.3.9: where "%" would stop above a subscribed
// name, the name at which it stops is listed as \NoSelect.
func (s *session) lsub(ctx context.Context, a imap.List) (imap.Response, error) {
	pattern, err := s.name(a.Reference + a.Patterns[0])
	if err != nil {
		return imap.Response{}, nil
	}
	pattern = mailbox.CanonicalName(pattern)
	names, err := s.account.Subscriptions(ctx)
	if err != nil {
		return imap.Response{}, err
	}
	told := map[string]bool{}
	for _, name := range names {
		if matchPattern(pattern, name) {
			s.tellSubscribed("()", name)
			continue
		}
		if !strings.Contains(pattern, "%") {
			continue
		}
		for p := range ancestors(name) {
			if !told[p] && matchPattern(pattern, p) && !slices.Contains(names, p) {
				told[p] = true
				s.tellSubscribed(`(\NoSelect)`, p)
			}
		}
	}
	return imap.Response{}, nil
}

func (s *session) tellSubscribed(attributes, name string) {
	b := append(append(s.scratch, "* LSUB "...), attributes...)
	b = s.appendName(append(b, ` "/" `...), name)
	s.send(append(b, "\r\n"...))
}
