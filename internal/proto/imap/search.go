package imap

import (
	"strings"
	"time"
	"unicode/utf8"
)

// SearchOp is what a SearchKey tests.
type SearchOp uint8

// The tests. RECENT, NEW and the negative keys are made of these.
const (
	SearchAnd         SearchOp = iota // all of Keys; without any: every message
	SearchOr                          // one of two Keys
	SearchNot                         // not its one Key
	SearchFlag                        // Flag
	SearchRecent                      //
	SearchSet                         // Set, of sequence numbers; "$" is saved UIDs
	SearchUID                         // Set, of UIDs
	SearchHeader                      // Field and Text
	SearchBody                        // Text
	SearchText                        // Text
	SearchLarger                      // Number, octets
	SearchSmaller                     // Number, octets
	SearchBefore                      // Date
	SearchOn                          // Date
	SearchSince                       // Date
	SearchSentBefore                  // Date
	SearchSentOn                      // Date
	SearchSentSince                   // Date
	SearchModSeq                      // Number
	SearchYounger                     // Number, seconds
	SearchOlder                       // Number, seconds
	SearchEmailID                     // Text
	SearchSavedBefore                 // Date
	SearchSavedOn                     // Date
	SearchSavedSince                  // Date
)

// SearchKey is a search-key as a tree.
type SearchKey struct {
	Op          SearchOp
	Keys        []SearchKey
	Flag        string
	Set         NumSet
	Field, Text string
	Number      uint64
	Date        time.Time
}

// SearchReturn is a set of result options of RFC 4731, RFC 5182 and RFC 9394.
type SearchReturn uint8

// The options.
const (
	ReturnMin SearchReturn = 1 << iota
	ReturnMax
	ReturnAll
	ReturnCount
	ReturnSave
	ReturnPartial
)

// Search is SEARCH or UID SEARCH. Extended says that RETURN was given; without options it means ALL.
type Search struct {
	Extended bool
	Return   SearchReturn
	Page     *Page // with ReturnPartial
	// Charset is in capitals; empty: not given. A charset that is not known makes Key meaningless.
	Charset string
	Key     SearchKey
	ModSeq  bool // a MODSEQ key was among the keys
	Numbers bool // message sequence numbers were among the keys
}

// maxNesting bounds the depth of search keys, which are parsed by recursion.
const maxNesting = 50

func parseSearch(l *lexer) any {
	var s Search
	l.space()
	if l.word("RETURN") {
		l.space()
		s.Extended = true
		l.list(func() { s.result(l) })
		if s.Return == 0 {
			s.Return = ReturnAll
		}
		l.space()
	}
	if l.word("CHARSET") {
		l.space()
		s.Charset = upper([]byte(l.astring()))
		l.space()
		if !s.KnownCharset() {
			l.b = nil
			return s
		}
	}
	p := searchParser{l: l}
	s.Key = p.keys()
	s.ModSeq, s.Numbers = p.modSeq, p.numbers
	return s
}

// KnownCharset reports whether the strings of the search were understood; otherwise the answer is
// BADCHARSET (RFC 9051, section 6.4.4).
func (s *Search) KnownCharset() bool {
	return s.Charset == "" || s.Charset == "UTF-8" || s.Charset == "US-ASCII"
}

// result reads a result option. ALL and PARTIAL exclude each other (RFC 9394, section 3.1).
func (s *Search) result(l *lexer) {
	option := SearchReturn(0)
	switch o := l.name(); o {
	case "MIN":
		option = ReturnMin
	case "MAX":
		option = ReturnMax
	case "ALL":
		option = ReturnAll
	case "COUNT":
		option = ReturnCount
	case "SAVE":
		option = ReturnSave
	case "PARTIAL":
		if s.Page != nil {
			l.fail("PARTIAL can be asked for once")
		}
		option, s.Page = ReturnPartial, l.page()
	default:
		l.fail("unknown return option %.40s", o)
	}
	if s.Return |= option; s.Return&ReturnAll != 0 && s.Return&ReturnPartial != 0 {
		l.fail("ALL and PARTIAL exclude each other")
	}
}

// searchParser reads search keys and counts their depth.
type searchParser struct {
	l       *lexer
	depth   int
	modSeq  bool
	numbers bool
}

// keys reads search-key *(SP search-key) to the end or to ")".
func (p *searchParser) keys() SearchKey {
	all := SearchKey{Op: SearchAnd}
	for {
		k := p.key()
		if p.l.err != nil {
			return SearchKey{}
		}
		all.Keys = append(all.Keys, k)
		if !p.l.accept(' ') {
			break
		}
	}
	if len(all.Keys) == 1 {
		return all.Keys[0]
	}
	return all
}

func (p *searchParser) key() SearchKey {
	if p.depth++; p.depth > maxNesting {
		p.l.fail("search keys are nested too deeply")
	}
	defer func() { p.depth-- }()
	switch c := p.l.peek(); {
	case c == '(':
		p.l.expect('(')
		k := p.keys()
		p.l.expect(')')
		return k
	case c == '*' || c == '$' || digit(c):
		set := p.l.numSet()
		p.numbers = p.numbers || !set.Saved
		return SearchKey{Op: SearchSet, Set: set}
	}
	name := p.l.name()
	if read, ok := searchKeys[name]; ok && p.l.err == nil {
		return read(p)
	}
	p.l.fail("unknown search key %.40s", name)
	return SearchKey{}
}

// searchKeys has the keys by name, each with what reads its arguments. It is filled in by init,
// since reading a key may need the table again.
var searchKeys map[string]func(*searchParser) SearchKey

func init() {
	searchKeys = map[string]func(*searchParser) SearchKey{
		"ALL": fixed(SearchKey{}), "RECENT": fixed(SearchKey{Op: SearchRecent}),
		"OLD":      fixed(not(SearchKey{Op: SearchRecent})),
		"NEW":      fixed(SearchKey{Op: SearchAnd, Keys: []SearchKey{{Op: SearchRecent}, not(flagged(`\Seen`))}}),
		"ANSWERED": fixed(flagged(`\Answered`)), "UNANSWERED": fixed(not(flagged(`\Answered`))),
		"DELETED": fixed(flagged(`\Deleted`)), "UNDELETED": fixed(not(flagged(`\Deleted`))),
		"DRAFT": fixed(flagged(`\Draft`)), "UNDRAFT": fixed(not(flagged(`\Draft`))),
		"FLAGGED": fixed(flagged(`\Flagged`)), "UNFLAGGED": fixed(not(flagged(`\Flagged`))),
		"SEEN": fixed(flagged(`\Seen`)), "UNSEEN": fixed(not(flagged(`\Seen`))),
		"KEYWORD":   func(p *searchParser) SearchKey { return flagged(p.keyword()) },
		"UNKEYWORD": func(p *searchParser) SearchKey { return not(flagged(p.keyword())) },
		"BCC":       field("Bcc"), "CC": field("Cc"), "FROM": field("From"), "SUBJECT": field("Subject"), "TO": field("To"),
		"HEADER": func(p *searchParser) SearchKey {
			name := p.text()
			return SearchKey{Op: SearchHeader, Field: name, Text: p.text()}
		},
		"BODY":   func(p *searchParser) SearchKey { return SearchKey{Op: SearchBody, Text: p.text()} },
		"TEXT":   func(p *searchParser) SearchKey { return SearchKey{Op: SearchText, Text: p.text()} },
		"LARGER": number(SearchLarger), "SMALLER": number(SearchSmaller),
		"YOUNGER": interval(SearchYounger), "OLDER": interval(SearchOlder),
		"BEFORE": date(SearchBefore), "ON": date(SearchOn), "SINCE": date(SearchSince),
		"SENTBEFORE": date(SearchSentBefore), "SENTON": date(SearchSentOn), "SENTSINCE": date(SearchSentSince),
		"SAVEDBEFORE": date(SearchSavedBefore), "SAVEDON": date(SearchSavedOn), "SAVEDSINCE": date(SearchSavedSince),
		"SAVEDATESUPPORTED": fixed(SearchKey{}),
		"EMAILID":           func(p *searchParser) SearchKey { return SearchKey{Op: SearchEmailID, Text: p.objectID()} },
		// No message has a THREADID, and so none matches (RFC 8474, section 5.2).
		"THREADID": func(p *searchParser) SearchKey { p.objectID(); return not(SearchKey{}) },
		"MODSEQ":   (*searchParser).modSeqKey,
		"UID": func(p *searchParser) SearchKey {
			p.l.space()
			return SearchKey{Op: SearchUID, Set: p.l.numSet()}
		},
		"NOT": func(p *searchParser) SearchKey { p.l.space(); return not(p.key()) },
		"OR": func(p *searchParser) SearchKey {
			p.l.space()
			a := p.key()
			p.l.space()
			return SearchKey{Op: SearchOr, Keys: []SearchKey{a, p.key()}}
		},
	}
}

func fixed(k SearchKey) func(*searchParser) SearchKey {
	return func(*searchParser) SearchKey { return k }
}

func not(k SearchKey) SearchKey { return SearchKey{Op: SearchNot, Keys: []SearchKey{k}} }

func flagged(f string) SearchKey { return SearchKey{Op: SearchFlag, Flag: f} }

func field(name string) func(*searchParser) SearchKey {
	return func(p *searchParser) SearchKey { return SearchKey{Op: SearchHeader, Field: name, Text: p.text()} }
}

func number(op SearchOp) func(*searchParser) SearchKey {
	return func(p *searchParser) SearchKey {
		p.l.space()
		return SearchKey{Op: op, Number: p.l.number64()}
	}
}

// interval reads the seconds of RFC 5032.
func interval(op SearchOp) func(*searchParser) SearchKey {
	return func(p *searchParser) SearchKey {
		p.l.space()
		return SearchKey{Op: op, Number: uint64(p.l.nzNumber())}
	}
}

func date(op SearchOp) func(*searchParser) SearchKey {
	return func(p *searchParser) SearchKey {
		p.l.space()
		return SearchKey{Op: op, Date: p.l.date()}
	}
}

// keyword reads a flag-keyword. System flags are taken too, as clients send them.
func (p *searchParser) keyword() string {
	p.l.space()
	return p.l.flag()
}

// objectID reads an ObjectID (RFC 8474, section 7).
func (p *searchParser) objectID() string {
	p.l.space()
	id := p.l.atom()
	if len(id) > 255 || strings.Trim(id, objectIDChars) != "" {
		p.l.fail("%.40q is no object id", id)
	}
	return id
}

const objectIDChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// text reads a string in UTF-8, of which US-ASCII is a part.
func (p *searchParser) text() string {
	p.l.space()
	s := p.l.astring()
	if !utf8.ValidString(s) {
		p.l.fail("search text is not UTF-8")
	}
	return s
}

// modSeqKey reads MODSEQ with its optional entry name, which Candor's one MODSEQ for all flags of a
// message lets it ignore (RFC 7162, section 3.1.5).
func (p *searchParser) modSeqKey() SearchKey {
	p.modSeq = true
	p.l.space()
	if p.l.peek() == '"' {
		p.l.quoted()
		p.l.space()
		switch t := p.l.name(); t {
		case "ALL", "SHARED", "PRIV":
		default:
			p.l.fail("unknown entry type %.40s", t)
		}
		p.l.space()
	}
	return SearchKey{Op: SearchModSeq, Number: p.l.number64()}
}
