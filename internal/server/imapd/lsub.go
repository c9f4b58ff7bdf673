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
	text, err := s.name(a.Reference + a.Patterns[0])
	if err != nil {
		return imap.Response{}, nil
	}
	pattern := newPattern(mailbox.CanonicalName(text))
	var m matcher
	matches := func(name string) bool {
		m.use(name)
		return m.matches(pattern)
	}
	names, err := s.account.Subscriptions(ctx)
	if err != nil {
		return imap.Response{}, err
	}
	told := map[string]bool{}
	for _, name := range names {
		if matches(name) {
			s.tellSubscribed("()", name)
			continue
		}
		if !strings.Contains(pattern.text, "%") {
			continue
		}
		for p := range ancestors(name) {
			if told[p] {
				break // and so are those above it, where they match
			}
			told[p] = true
			if _, subscribed := slices.BinarySearch(names, p); !subscribed && matches(p) {
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
