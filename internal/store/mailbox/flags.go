package mailbox

import (
	"context"
	"slices"
	"strings"

	"candor/internal/mail"
)

// Flags is a set of system flags and of the mailbox's keywords, which have the bits from KeywordBit
// up in the order of State.Keywords.
type Flags uint64

// The system flags.
const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft

	KeywordBit  = 8
	MaxKeywords = 64 - KeywordBit
)

// maxKeyword is the longest keyword, in octets.
const maxKeyword = 200

// systemFlags are the names of the system flags in the order of their bits.
var systemFlags = []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`}

// recent is a flag of IMAP4rev1 that IMAP4rev2 has given up and that nobody can set.
const recent = `\Recent`

// flagNames is a list of flags that were named, before a mailbox gives its keywords bits.
type flagNames struct {
	system   Flags
	keywords []string
}

// parseFlagNames checks a list of flags. Errors: Syntax.
func parseFlagNames(names []string) (flagNames, error) {
	var f flagNames
	for _, n := range names {
		switch bit := systemFlag(n); {
		case bit != 0:
			f.system |= bit
		case strings.EqualFold(n, recent):
		case !isKeyword(n):
			return flagNames{}, mail.Errorf(mail.Syntax, "%.80q is not a flag", n)
		default:
			f.keywords = append(f.keywords, n)
		}
	}
	return f, nil
}

func systemFlag(name string) Flags {
	for i, s := range systemFlags {
		if strings.EqualFold(s, name) {
			return 1 << i
		}
	}
	return 0
}

// isKeyword reports whether name is a flag-keyword: an atom (RFC 9051, section 9).
func isKeyword(name string) bool {
	if name == "" || len(name) > maxKeyword {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}

// keywordBit returns the bit of a keyword, or 0.
func keywordBit(keywords []string, name string) Flags {
	i := slices.IndexFunc(keywords, func(k string) bool { return strings.EqualFold(k, name) })
	if i < 0 {
		return 0
	}
	return 1 << (KeywordBit + i)
}

// namesOf returns the IMAP names of f.
func namesOf(f Flags, keywords []string) []string {
	if f == 0 {
		return nil
	}
	names := make([]string, 0, 4)
	for i, s := range systemFlags {
		if f&(1<<i) != 0 {
			names = append(names, s)
		}
	}
	for i, k := range keywords {
		if f&(1<<(KeywordBit+i)) != 0 {
			names = append(names, k)
		}
	}
	return names
}

// FlagNames returns the IMAP names of f.
func (m *Mailbox) FlagNames(f Flags) []string {
	m.table.mu.RLock()
	defer m.table.mu.RUnlock()
	return namesOf(f, m.table.keywords)
}

// ParseFlags finds the bits of names, without making new keywords: unknown ones are left out and
// reported in missing.
func (m *Mailbox) ParseFlags(names []string) (f Flags, missing []string) {
	m.table.mu.RLock()
	defer m.table.mu.RUnlock()
	for _, n := range names {
		bit := systemFlag(n) | keywordBit(m.table.keywords, n)
		if bit == 0 && !strings.EqualFold(n, recent) {
			missing = append(missing, n)
		}
		f |= bit
	}
	return f, missing
}

// bits returns the bits of names, giving new keywords theirs. Errors: TooMany.
func (b *box) bits(names flagNames) (Flags, error) {
	f := names.system
	for _, k := range names.keywords {
		bit := keywordBit(b.row.keywords, k)
		if bit == 0 {
			if len(b.row.keywords) >= MaxKeywords {
				return 0, mail.Errorf(mail.TooMany, "the mailbox has %d keywords already", MaxKeywords)
			}
			bit = 1 << (KeywordBit + len(b.row.keywords))
			row := b.row
			row.keywords = append(slices.Clip(row.keywords), k)
			b.change.describe(b.id, row)
		}
		f |= bit
	}
	return f, nil
}

// known returns the bits of those names that have one.
func (b *box) known(names flagNames) Flags {
	f := names.system
	for _, k := range names.keywords {
		f |= keywordBit(b.row.keywords, k)
	}
	return f
}

// StoreMode is how Store changes flags.
type StoreMode uint8

// The modes of STORE.
const (
	ReplaceFlags StoreMode = iota
	AddFlags
	RemoveFlags
)

// Change is a STORE: all existing messages of UIDs get one new ModSeq, except those already as
// asked, which keep theirs, and those changed after UnchangedSince (nil: no condition).
type Change struct {
	UIDs           []UID // rising; no more than MaxChange
	Mode           StoreMode
	Flags          []string // IMAP names; new keywords are made
	UnchangedSince *ModSeq
}

// MaxChange is how many messages one Change can have, so that memory holds its transaction.
const MaxChange = 50_000

// Stored is the outcome of Store.
type Stored struct {
	Before   ModSeq // the mailbox's HIGHESTMODSEQ before this change
	ModSeq   ModSeq // and after it
	Changed  []UID  // rising; got ModSeq
	Modified []UID  // rising; failed UnchangedSince
}

// Store changes flags; it is durable on return. Errors: NotFound, Syntax (a flag), TooMany (keywords).
func (m *Mailbox) Store(ctx context.Context, c Change) (Stored, error) {
	names, err := parseFlagNames(c.Flags)
	if err != nil {
		return Stored{}, err
	}
	var done Stored
	err = m.update(ctx, func(b *box) (err error) {
		done, err = b.store(&c, names)
		return err
	})
	m.account.store.stats.stored.Add(int64(len(done.Changed)))
	return done, err
}

func (b *box) store(c *Change, names flagNames) (Stored, error) {
	entries, err := b.entries(c.UIDs)
	if err != nil {
		return Stored{}, err
	}
	done := Stored{Before: b.counters.highest, ModSeq: b.counters.highest}
	if c.UnchangedSince != nil {
		entries, done.Modified = unchangedSince(entries, *c.UnchangedSince)
	}
	if len(entries) == 0 {
		return done, nil
	}
	flags, err := b.transform(c.Mode, names)
	if err != nil {
		return Stored{}, err
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return flags(e.Flags) == e.Flags })
	if len(entries) == 0 {
		return done, nil
	}
	done.Changed = uidsOf(entries)
	b.setFlags(entries, flags)
	done.ModSeq = b.counters.highest
	return done, nil
}

// unchangedSince divides entries by RFC 7162, section 3.1.3.
func unchangedSince(entries []Entry, since ModSeq) (unchanged []Entry, modified []UID) {
	unchanged = entries[:0]
	for _, e := range entries {
		if e.ModSeq > since {
			modified = append(modified, e.UID)
			continue
		}
		unchanged = append(unchanged, e)
	}
	return unchanged, modified
}

// transform returns what a STORE does to a message's flags.
func (b *box) transform(mode StoreMode, names flagNames) (func(Flags) Flags, error) {
	if mode == RemoveFlags {
		bits := b.known(names)
		return func(f Flags) Flags { return f &^ bits }, nil
	}
	bits, err := b.bits(names)
	if mode == AddFlags {
		return func(f Flags) Flags { return f | bits }, err
	}
	return func(Flags) Flags { return bits }, err
}
