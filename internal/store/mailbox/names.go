package mailbox

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"candor/internal/mail"
)

const (
	inbox     = "INBOX"
	separator = "/"

	// What an account may have at most. A name's length is in octets.
	maxName          = 1000
	maxDepth         = 50
	maxMailboxes     = 10_000
	maxSubscriptions = 20_000
)

// CanonicalName returns name, or a pattern of names, as mailboxes bear it: Net-Unicode is NFC (RFC 9051,
// section 5.1), and INBOX, also as the first component, is in capitals.
func CanonicalName(name string) string {
	name = norm.NFC.String(name)
	if first, _, _ := strings.Cut(name, separator); strings.EqualFold(first, inbox) {
		return inbox + name[len(inbox):]
	}
	return name
}

// parseName makes a mailbox name canonical. Errors: Syntax.
func parseName(name string) (string, error) {
	if len(name) > maxName || !utf8.ValidString(name) {
		return "", mail.Errorf(mail.Syntax, "mailbox name is too long or not UTF-8")
	}
	name = CanonicalName(name)
	if strings.ContainsFunc(name, forbidden) {
		return "", mail.Errorf(mail.Syntax, "mailbox name holds a control character")
	}
	parts := strings.Split(name, separator)
	for _, p := range parts {
		if p == "" {
			return "", mail.Errorf(mail.Syntax, "mailbox name has an empty component")
		}
	}
	if len(parts) > maxDepth || len(name) > maxName {
		return "", mail.Errorf(mail.Syntax, "mailbox name is too long or too deep")
	}
	return name, nil
}

// forbidden tells the characters that RFC 5198 keeps out of names: controls and line separators.
func forbidden(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

// parentOf returns the name above name; empty is none.
func parentOf(name string) string {
	i := strings.LastIndex(name, separator)
	return name[:max(i, 0)]
}

// isBelow reports whether name lies below parent.
func isBelow(name, parent string) bool { return strings.HasPrefix(name, parent+separator) }

func idOf(b []byte) ID {
	if len(b) != 8 {
		return 0
	}
	return ID(binary.BigEndian.Uint64(b))
}

// make makes a mailbox of a name that is free.
func (c *change) make(name string, use SpecialUse) Info {
	c.row.lastID++
	c.row.mailboxes++
	// Time alone could repeat when a mailbox is made, deleted and made within a second.
	c.row.uidValidity = max(c.row.uidValidity+1, UIDValidity(c.account.store.now().Unix()))
	m := c.modSeq()
	b := &box{
		change: c, id: c.row.lastID, row: mailboxRow{name: name, uidValidity: c.row.uidValidity, use: use},
		counters: counters{uidNext: 1, highest: m, floor: m}, counted: true,
	}
	c.boxes[b.id] = b
	c.tx.Set(nameKey(c.account.id, kindName, name), binary.BigEndian.AppendUint64(nil, uint64(b.id)))
	c.describe(b.id, b.row)
	return b.row.info(b.id)
}

// describe writes a mailbox's row.
func (c *change) describe(id ID, row mailboxRow) {
	c.relayout()
	c.tx.Set(mailboxKey(c.account.id, kindMailbox, id), row.encode())
	if b := c.boxes[id]; b != nil {
		b.row = row
	}
}

// discard removes a mailbox. Its messages are doomed: the sweeper removes them later, some at a time.
func (c *change) discard(m Info) {
	c.relayout()
	c.row.mailboxes--
	c.tx.Delete(nameKey(c.account.id, kindName, m.Name))
	c.tx.Delete(mailboxKey(c.account.id, kindMailbox, m.ID))
	c.tx.Delete(mailboxKey(c.account.id, kindCounters, m.ID))
	if !m.NoSelect {
		c.tx.Set(doomedKey(c.account.id, m.ID), nil)
	}
	delete(c.boxes, m.ID)
	c.events = append(c.events, event{id: m.ID, gone: true})
}

// makeParents makes the mailboxes above name that are missing.
func (c *change) makeParents(name string) error {
	parent := parentOf(name)
	if parent == "" {
		return nil
	}
	found, err := exists(c.tx, nameKey(c.account.id, kindName, parent))
	if err != nil || found {
		return err
	}
	if err := c.makeParents(parent); err != nil {
		return err
	}
	if c.row.mailboxes >= maxMailboxes {
		return tooManyMailboxes()
	}
	c.make(parent, "")
	return nil
}

// prune removes the names above name that were kept for its sake alone.
func (c *change) prune(name string) error {
	for parent := parentOf(name); parent != ""; parent = parentOf(parent) {
		m, err := lookup(c.tx, c.account.id, parent)
		if mail.IsKind(err, mail.NotFound) {
			continue
		}
		if err != nil || !m.NoSelect {
			return err
		}
		if has, err := c.hasChildren(parent); err != nil || has {
			return err
		}
		c.discard(m)
	}
	return nil
}

func (c *change) hasChildren(name string) (bool, error) {
	from, to := c.below(name)
	for _, err := range c.tx.Scan(from, to) {
		return err == nil, err
	}
	return false, nil
}

// below returns the range of the name keys below name.
func (c *change) below(name string) (from, to []byte) {
	// '0' is the character after '/'.
	return nameKey(c.account.id, kindName, name+separator), nameKey(c.account.id, kindName, name+"0")
}

func tooManyMailboxes() error {
	return mail.Errorf(mail.TooMany, "an account can have %d mailboxes", maxMailboxes)
}
