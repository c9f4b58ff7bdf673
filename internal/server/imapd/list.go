package imapd

import (
	"context"
	"slices"
	"strings"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// list lists mailboxes. RFC 9051, section 6.3.9; RFC 5258; RFC 5819; RFC 6154.
func (s *session) list(ctx context.Context, a imap.List) (imap.Response, error) {
	if len(a.Patterns) == 1 && a.Patterns[0] == "" && !a.Subscribed && !a.SpecialUse {
		s.sendf(`* LIST (\NoSelect) "/" ""`)
		return imap.Response{}, nil
	}
	l, err := s.newListing(ctx, a)
	if err != nil {
		return imap.Response{}, err
	}
	for _, n := range l.names {
		s.conn.Spend(ctx, l.effort)
		if !l.wanted(n) {
			continue
		}
		s.tellName(l, n)
		if a.Return.Status != 0 && n.exists && !n.info.NoSelect {
			// RFC 5819, section 2: a mailbox that has gone meanwhile only lacks its STATUS.
			if err := s.sendStatus(ctx, n.info, a.Return.Status); err != nil && !mail.IsKind(err, mail.NotFound) {
				return imap.Response{}, err
			}
		}
	}
	return imap.Response{}, nil
}

// maxPatterns is how many octets of patterns one LIST may have, since each mailbox is held against
// all of them.
const maxPatterns = 8192

// listing is one LIST under way.
type listing struct {
	imap.List
	patterns []pattern
	effort   int // of holding a name against them, in octets that take as long to move
	matcher  matcher
	names    []*listed
	parents  map[string]bool // names that have existing children
	// above has, with RECURSIVEMATCH, the names with a descendant that satisfies the selection.
	above map[string]bool
}

// listed is a name that may be listed: a mailbox, a subscription, or what lies above one.
type listed struct {
	name       string
	info       mailbox.Info
	exists     bool
	subscribed bool
}

func (s *session) newListing(ctx context.Context, a imap.List) (*listing, error) {
	l := &listing{List: a, parents: map[string]bool{}, above: map[string]bool{}}
	if total := len(strings.Join(a.Patterns, a.Reference)); total > maxPatterns {
		return nil, mail.Errorf(mail.TooMany, "Patterns are too long")
	}
	for _, p := range a.Patterns {
		// A pattern that is no name in modified UTF-7 matches nothing.
		if name, err := s.name(a.Reference + p); err == nil {
			pattern := newPattern(mailbox.CanonicalName(name))
			l.effort += len(pattern.text)
			l.patterns = append(l.patterns, pattern)
		}
	}
	boxes, err := s.account.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	known := make(map[string]*listed, len(boxes))
	for _, info := range boxes {
		n := &listed{name: info.Name, info: info, exists: true, subscribed: info.Subscribed}
		known[info.Name] = n
		l.names = append(l.names, n)
		for p := range ancestors(info.Name) {
			l.parents[p] = true
		}
	}
	if a.Subscribed || a.Return.Subscribed {
		if err := s.addSubscriptions(ctx, l, known); err != nil {
			return nil, err
		}
	}
	l.lookAbove()
	return l, nil
}

// addSubscriptions adds subscribed names that do not exist and, for RECURSIVEMATCH, those above them.
func (s *session) addSubscriptions(ctx context.Context, l *listing, known map[string]*listed) error {
	names, err := s.account.Subscriptions(ctx)
	if err != nil {
		return err
	}
	add := func(name string) *listed {
		n := known[name]
		if n == nil {
			n = &listed{name: name}
			known[name] = n
			l.names = append(l.names, n)
		}
		return n
	}
	for _, name := range names {
		add(name).subscribed = true
		if l.Recursive {
			for p := range ancestors(name) {
				add(p)
			}
		}
	}
	return nil
}

// lookAbove fills in above.
func (l *listing) lookAbove() {
	if !l.Recursive {
		return
	}
	for _, n := range l.names {
		if l.selects(n) {
			for p := range ancestors(n.name) {
				l.above[p] = true
			}
		}
	}
}

// selects reports whether a name satisfies the selection options.
func (l *listing) selects(n *listed) bool {
	if !l.Subscribed && !l.SpecialUse {
		return n.exists
	}
	return (!l.Subscribed || n.subscribed) && (!l.SpecialUse || n.info.SpecialUse != "")
}

func (l *listing) wanted(n *listed) bool {
	if !l.selects(n) && !l.above[n.name] {
		return false
	}
	l.matcher.use(n.name)
	return slices.ContainsFunc(l.patterns, l.matcher.matches)
}

// tellName sends LIST with all attributes that are known; the return options ask for no more
// (RFC 9051, section 6.3.9.3).
func (s *session) tellName(l *listing, n *listed) {
	b := imap.AppendFlags(append(s.scratch, "* LIST "...), l.attributes(n))
	b = s.appendName(append(b, ` "/" `...), n.name)
	if l.above[n.name] {
		b = append(b, ` ("CHILDINFO" (`...)
		switch {
		case l.Subscribed && l.SpecialUse:
			b = append(b, `"SUBSCRIBED" "SPECIAL-USE"`...)
		case l.Subscribed:
			b = append(b, `"SUBSCRIBED"`...)
		default:
			b = append(b, `"SPECIAL-USE"`...)
		}
		b = append(b, "))"...)
	}
	s.send(append(b, "\r\n"...))
}

func (l *listing) attributes(n *listed) []string {
	var a []string
	switch {
	case !n.exists:
		a = append(a, `\NonExistent`)
	case n.info.NoSelect:
		a = append(a, `\NoSelect`)
	}
	if n.subscribed && (l.Subscribed || l.Return.Subscribed) {
		a = append(a, `\Subscribed`)
	}
	if l.parents[n.name] {
		a = append(a, `\HasChildren`)
	} else {
		a = append(a, `\HasNoChildren`)
	}
	if n.info.SpecialUse != "" {
		a = append(a, string(n.info.SpecialUse))
	}
	return a
}

// ancestors yields the names above name, the nearest first.
func ancestors(name string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
			if !yield(name[:i]) {
				return
			}
		}
	}
}
