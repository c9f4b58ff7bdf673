package mailbox

import (
	"encoding/binary"
	"fmt"

	"candor/internal/store/kv"
)

// decoder takes a stored value apart. After the first shortage it returns zeros; err tells.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	return v * d.advance(n)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	return v * int64(d.advance(n))
}

// advance passes over a number of n octets. It returns 1, or 0 when the number was not there.
func (d *decoder) advance(n int) uint64 {
	if n <= 0 || d.bad {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return 1
}

// count returns a number that cannot be negative or larger than a mailbox is.
func (d *decoder) count() int {
	v := d.uvarint()
	if v > maxUID {
		d.bad = true
		return 0
	}
	return int(v)
}

// take returns the next n octets; they are shared.
func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.rest) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// octet returns the next octet.
func (d *decoder) octet() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

// bytes returns octets that are preceded by their number; they are shared.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad = true
		return nil
	}
	return d.take(int(n))
}

func (d *decoder) err(what string) error {
	if d.bad {
		return fmt.Errorf("decoding %s: %w", what, kv.ErrCorrupt)
	}
	return nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// accountRow is the root of an account.
type accountRow struct {
	modSeq        ModSeq // of the last change
	lastID        ID     // given to a mailbox
	uidValidity   UIDValidity
	mailboxes     int
	subscriptions int
	layout        uint64 // counts the changes of mailbox rows, names and subscriptions
}

func (r accountRow) encode() []byte {
	b := make([]byte, 0, 24)
	for _, v := range []uint64{
		uint64(r.modSeq), uint64(r.lastID), uint64(r.uidValidity), uint64(r.mailboxes), uint64(r.subscriptions), r.layout,
	} {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func decodeAccountRow(v []byte) (accountRow, error) {
	d := decoder{rest: v}
	r := accountRow{
		modSeq: ModSeq(d.uvarint()), lastID: ID(d.uvarint()), uidValidity: UIDValidity(d.uvarint()),
		mailboxes: d.count(), subscriptions: d.count(),
	}
	if len(d.rest) > 0 { // absent: 0
		r.layout = d.uvarint()
	}
	return r, d.err("account")
}

// mailboxRow is what seldom changes of a mailbox.
type mailboxRow struct {
	name        string
	uidValidity UIDValidity
	use         SpecialUse
	noSelect    bool
	keywords    []string // in the order of their bits; only ever appended to, since sessions share it
}

func (r *mailboxRow) encode() []byte {
	b := appendString(nil, r.name)
	b = binary.AppendUvarint(b, uint64(r.uidValidity))
	b = appendString(b, string(r.use))
	noSelect := byte(0)
	if r.noSelect {
		noSelect = 1
	}
	b = append(b, noSelect)
	b = binary.AppendUvarint(b, uint64(len(r.keywords)))
	for _, k := range r.keywords {
		b = appendString(b, k)
	}
	return b
}

func decodeMailboxRow(v []byte) (mailboxRow, error) {
	d := decoder{rest: v}
	r := mailboxRow{name: string(d.bytes()), uidValidity: UIDValidity(d.uvarint()), use: SpecialUse(d.bytes())}
	r.noSelect = d.octet() != 0
	n := d.count()
	if n > MaxKeywords {
		d.bad = true
	}
	for i := 0; i < n && !d.bad; i++ {
		r.keywords = append(r.keywords, string(d.bytes()))
	}
	return r, d.err("mailbox row")
}

func (r *mailboxRow) info(id ID) Info {
	return Info{ID: id, Name: r.name, UIDValidity: r.uidValidity, SpecialUse: r.use, NoSelect: r.noSelect}
}

// counters is what changes with every change of a mailbox.
type counters struct {
	uidNext                   UID
	messages, unseen, deleted int
	size                      int64
	highest                   ModSeq
	// The log holds every row after floor; rows is their number.
	floor ModSeq
	rows  int
}

func (c *counters) encode() []byte {
	b := make([]byte, 0, 40)
	for _, v := range []uint64{
		uint64(c.uidNext), uint64(c.messages), uint64(c.unseen), uint64(c.deleted), uint64(c.size),
		uint64(c.highest), uint64(c.floor), uint64(c.rows),
	} {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func decodeCounters(v []byte) (counters, error) {
	d := decoder{rest: v}
	c := counters{
		uidNext: UID(d.count()), messages: d.count(), unseen: d.count(), deleted: d.count(), size: int64(d.uvarint()),
		highest: ModSeq(d.uvarint()), floor: ModSeq(d.uvarint()), rows: d.count(),
	}
	return c, d.err("counters")
}

// count adds n, 1 or -1, messages with flags f.
func (c *counters) count(n int, f Flags) {
	c.messages += n
	if f&Seen == 0 {
		c.unseen += n
	}
	if f&Deleted != 0 {
		c.deleted += n
	}
}

// maxHot is the most octets that a hot record takes.
const maxHot = 2 * binary.MaxVarintLen64

func appendHot(b []byte, m ModSeq, f Flags) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(m)), uint64(f))
}

func decodeHot(v []byte) (ModSeq, Flags, error) {
	d := decoder{rest: v}
	m, f := ModSeq(d.uvarint()), Flags(d.uvarint())
	return m, f, d.err("hot record")
}
