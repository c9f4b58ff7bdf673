package imap

// Select has the mailbox of SELECT or EXAMINE and the parameters of RFC 7162.
type Select struct {
	Mailbox   string
	CondStore bool
	QResync   *QResync // nil: not given
}

// QResync is what a client remembers of the mailbox it selects (RFC 7162, section 3.2.5).
type QResync struct {
	UIDValidity uint32
	ModSeq      uint64
	// Known has the UIDs of which the client wants to hear; without ranges: all.
	Known NumSet
	// Numbers and UIDs name the same messages, in rising order; without ranges: not given.
	Numbers, UIDs NumSet
}

func parseSelect(l *lexer) any {
	var s Select
	l.space()
	s.Mailbox = l.astring()
	if !l.accept(' ') {
		return s
	}
	l.list(func() {
		switch p := l.name(); p {
		case "CONDSTORE":
			s.CondStore = true
		case "QRESYNC":
			l.space()
			s.QResync = l.qresync()
		default:
			l.fail("unknown parameter %.40s", p)
		}
	})
	return s
}

// qresync reads the parameter's arguments, of which the last two may be missing.
func (l *lexer) qresync() *QResync {
	q := new(QResync)
	l.expect('(')
	q.UIDValidity = l.nzNumber()
	l.space()
	if q.ModSeq = l.number64(); q.ModSeq == 0 {
		l.fail("modification sequence must not be 0")
	}
	more := l.accept(' ')
	if more && l.peek() != '(' {
		q.Known = l.knownSet()
		more = l.accept(' ')
	}
	if more {
		l.expect('(')
		q.Numbers = l.knownSet()
		l.space()
		q.UIDs = l.knownSet()
		l.expect(')')
		if l.err == nil && (!q.Numbers.rising() || !q.UIDs.rising() || q.Numbers.count() != q.UIDs.count()) {
			l.fail("message numbers and UIDs must rise and go together")
		}
	}
	l.expect(')')
	return q
}

// knownSet reads a sequence-set that says what the client has, and so has neither "*" nor "$".
func (l *lexer) knownSet() NumSet {
	s := l.numSet()
	if s.Saved || s.open() {
		l.fail(`"*" and "$" are not allowed here`)
	}
	return s
}
