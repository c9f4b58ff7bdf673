package imap

// List is LIST (RFC 9051, section 6.3.9) or LSUB, which has but a reference and one pattern.
type List struct {
	// The selection options.
	Subscribed, Recursive, SpecialUse bool

	Reference string
	Patterns  []string
	Return    ListReturn
}

// ListReturn has the return options of LIST.
type ListReturn struct {
	Subscribed, Children, SpecialUse bool
	Status                           StatusItems // RFC 5819; zero: none
}

// StatusItems is a set of STATUS data items.
type StatusItems uint16

// The items of RFC 9051, section 6.3.11, RFC 3501, RFC 7162, RFC 7889, RFC 8474 and RFC 9208.
const (
	StatusMessages StatusItems = 1 << iota
	StatusRecent
	StatusUIDNext
	StatusUIDValidity
	StatusUnseen
	StatusDeleted
	StatusSize
	StatusHighestModSeq
	StatusAppendLimit
	StatusMailboxID
	StatusDeletedStorage
)

// statusItems names the items in the order in which they are answered.
var statusItems = []struct {
	name string
	item StatusItems
}{
	{"MESSAGES", StatusMessages},
	{"RECENT", StatusRecent},
	{"UIDNEXT", StatusUIDNext},
	{"UIDVALIDITY", StatusUIDValidity},
	{"UNSEEN", StatusUnseen},
	{"DELETED", StatusDeleted},
	{"SIZE", StatusSize},
	{"HIGHESTMODSEQ", StatusHighestModSeq},
	{"APPENDLIMIT", StatusAppendLimit},
	{"DELETED-STORAGE", StatusDeletedStorage},
	{"MAILBOXID", StatusMailboxID},
}

// Status is the command STATUS.
type Status struct {
	Mailbox string
	Items   StatusItems
}

func parseStatus(l *lexer) any {
	var s Status
	l.space()
	s.Mailbox = l.astring()
	l.space()
	s.Items = l.statusItems()
	return s
}

func (l *lexer) statusItems() StatusItems {
	var items StatusItems
	l.list(func() { items |= l.statusItem() })
	if items == 0 {
		l.fail("status item expected")
	}
	return items
}

func (l *lexer) statusItem() StatusItems {
	name := l.name()
	for _, s := range statusItems {
		if s.name == name {
			return s.item
		}
	}
	l.fail("unknown status item %.40s", name)
	return 0
}

func parseLsub(l *lexer) any {
	var a List
	l.space()
	a.Reference = l.astring()
	l.space()
	a.Patterns = []string{l.listMailbox()}
	return a
}

func parseList(l *lexer) any {
	var a List
	l.space()
	if l.peek() == '(' {
		a.selection(l)
		l.space()
	}
	a.Reference = l.astring()
	l.space()
	if l.peek() == '(' {
		l.list(func() { a.Patterns = append(a.Patterns, l.listMailbox()) })
	} else {
		a.Patterns = []string{l.listMailbox()}
	}
	if l.accept(' ') {
		if !l.word("RETURN") {
			l.fail("RETURN expected")
		}
		l.space()
		l.list(func() { a.Return.option(l) })
	}
	return a
}

// selection reads the selection options. RECURSIVEMATCH needs another one to modify, which REMOTE
// does not count as (RFC 9051, section 6.3.9.1).
func (a *List) selection(l *lexer) {
	l.list(func() {
		switch o := l.name(); o {
		case "SUBSCRIBED":
			a.Subscribed = true
		case "RECURSIVEMATCH":
			a.Recursive = true
		case "SPECIAL-USE":
			a.SpecialUse = true
		case "REMOTE":
		default:
			l.fail("unknown selection option %.40s", o)
		}
	})
	if a.Recursive && !a.Subscribed && !a.SpecialUse {
		l.fail("RECURSIVEMATCH needs a selection option to modify")
	}
}

func (r *ListReturn) option(l *lexer) {
	switch o := l.name(); o {
	case "SUBSCRIBED":
		r.Subscribed = true
	case "CHILDREN":
		r.Children = true
	case "SPECIAL-USE":
		r.SpecialUse = true
	case "STATUS":
		l.space()
		r.Status = l.statusItems()
	default:
		l.fail("unknown return option %.40s", o)
	}
}
