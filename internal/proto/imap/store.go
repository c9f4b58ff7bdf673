package imap

// StoreMode is how STORE changes flags.
type StoreMode uint8

// The modes.
const (
	ReplaceFlags StoreMode = iota
	AddFlags
	RemoveFlags
)

// Store is STORE or UID STORE.
type Store struct {
	Set    NumSet
	Mode   StoreMode
	Silent bool
	Flags  []string
	// UnchangedSince is the condition of RFC 7162, section 3.1.3; nil: none.
	UnchangedSince *uint64
}

func parseStore(l *lexer) any {
	var s Store
	l.space()
	s.Set = l.numSet()
	l.space()
	if l.peek() == '(' {
		l.list(func() {
			if p := l.name(); p != "UNCHANGEDSINCE" {
				l.fail("unknown modifier %.40s", p)
			}
			l.space()
			n := l.number64()
			s.UnchangedSince = &n
		})
		l.space()
	}
	switch {
	case l.accept('+'):
		s.Mode = AddFlags
	case l.accept('-'):
		s.Mode = RemoveFlags
	}
	switch name := l.name(); name {
	case "FLAGS":
	case "FLAGS.SILENT":
		s.Silent = true
	default:
		l.fail("FLAGS expected")
	}
	l.space()
	s.Flags = l.storeFlags()
	return s
}

// storeFlags reads flags with or without parentheses.
func (l *lexer) storeFlags() []string {
	if l.peek() == '(' {
		return l.flags()
	}
	flags := []string{l.flag()}
	for l.err == nil && l.accept(' ') {
		flags = append(flags, l.flag())
	}
	return flags
}
