package imapd

import (
	"cmp"
	"context"
	"slices"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// selected is the selected mailbox as the client knows it. It is dropped as a whole.
type selected struct {
	box      *mailbox.Mailbox
	info     mailbox.Info
	readOnly bool // EXAMINE

	uids     []mailbox.UID // by message sequence number, from 1; shared, and so never written to
	latest   []mailbox.UID // those of the mailbox at told; shared, too
	expunged []mailbox.UID // of uids: gone, and the client has not been told; rising
	saved    []mailbox.UID // "$" of RFC 5182; rising
	keywords []string      // in the order of their bits, as told

	told    mailbox.ModSeq   // changes up to here are in the fields above
	changed <-chan struct{}  // closed when there is more
	own     []mailbox.ModSeq // changes made by this session, of which it has told already; rising

	complete mailbox.ModSeq // up to here the client has been told of all, of what is gone as well
	heard    mailbox.ModSeq // the highest MODSEQ that the client was told since
}

// deselect closes the selected mailbox, if there is one.
func (s *session) deselect() {
	if s.selected != nil {
		s.selected.box.Close()
		s.selected = nil
	}
}

// closed is deselect, told to the client (RFC 9051, section 7.1).
func (s *session) closed() {
	if s.selected != nil {
		s.deselect()
		s.sendf("* OK [CLOSED] Previous mailbox is closed")
	}
}

// sync tells the client what has happened in the selected mailbox; of messages expunged only if
// expunges says so, else later.
func (s *session) sync(ctx context.Context, expunges bool) error {
	sel := s.selected
	if sel == nil {
		return nil
	}
	changed, err := s.observe(ctx, expunges)
	if err != nil {
		return err
	}
	s.tellFlags(changed, sel.own)
	sel.own = sel.own[:0]
	return nil
}

// observe is sync but for the messages whose flags have changed, which it returns.
func (s *session) observe(ctx context.Context, expunges bool) ([]mailbox.UID, error) {
	sel := s.selected
	var d mailbox.Delta
	select {
	case <-sel.changed:
		var err error
		if d, err = sel.box.Changes(ctx, sel.told); err != nil {
			return nil, goneIfNotFound(err)
		}
		if d.Gone {
			return nil, lost(errMailboxGone)
		}
		sel.told, sel.changed, sel.latest = d.ModSeq, sel.box.Wait(d.ModSeq), d.UIDs
		sel.noteExpunged(d.Expunged)
	default:
	}
	s.tellKeywords(d.Keywords)
	if expunges {
		s.tellExpunged()
	}
	if len(sel.expunged) == 0 {
		sel.uids, sel.complete = sel.latest, sel.told
	} else {
		sel.uids = append(slices.Clip(sel.uids), d.Added...)
	}
	if len(d.Added) > 0 {
		s.send(imap.AppendNumbered(s.scratch, len(sel.uids), "EXISTS"))
	}
	return d.Changed, nil
}

// goneIfNotFound ends the session when its mailbox, or the whole account, was removed.
func goneIfNotFound(err error) error {
	if mail.IsKind(err, mail.NotFound) {
		return lost(errMailboxGone)
	}
	return err
}

// noteExpunged adds to sel.expunged what the client knows of the UIDs in ranges.
func (sel *selected) noteExpunged(ranges []mailbox.Range) {
	if len(ranges) == 0 {
		return
	}
	for _, r := range ranges {
		at, _ := slices.BinarySearch(sel.uids, r.First)
		for ; at < len(sel.uids) && sel.uids[at] <= r.Last; at++ {
			sel.expunged = append(sel.expunged, sel.uids[at])
		}
	}
	slices.Sort(sel.expunged)
	sel.expunged = slices.Compact(sel.expunged)
}

// tellExpunged sends EXPUNGE for what is gone, the highest number first, so that each number is
// still right when it is read (RFC 9051, section 7.5.1). sel.uids is the caller's to set.
func (s *session) tellExpunged() {
	sel := s.selected
	if len(sel.expunged) == 0 {
		return
	}
	if s.qresync {
		s.tellVanished(sel.expunged)
	} else {
		for _, uid := range slices.Backward(sel.expunged) {
			at, _ := slices.BinarySearch(sel.uids, uid)
			s.send(imap.AppendNumbered(s.scratch, at+1, "EXPUNGE"))
		}
	}
	sel.saved = without(sel.saved, sel.expunged)
	sel.expunged = nil
}

// without takes the elements of gone out of list; both are rising.
func without(list, gone []mailbox.UID) []mailbox.UID {
	return slices.DeleteFunc(list, func(uid mailbox.UID) bool {
		for len(gone) > 0 && gone[0] < uid {
			gone = gone[1:]
		}
		return len(gone) > 0 && gone[0] == uid
	})
}

// tellKeywords sends FLAGS when the mailbox has got new keywords.
func (s *session) tellKeywords(keywords []string) {
	if sel := s.selected; len(keywords) > len(sel.keywords) {
		sel.keywords = keywords
		s.sendFlagNames()
	}
}

// systemFlags names the system flags in the order of their bits.
var systemFlags = []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`}

// sendFlagNames sends FLAGS and PERMANENTFLAGS, which tells whether new keywords may be made.
func (s *session) sendFlagNames() {
	names := slices.Concat(systemFlags, s.selected.keywords)
	s.send(append(imap.AppendFlags(append(s.scratch, "* FLAGS "...), names), "\r\n"...))
	switch {
	case s.selected.readOnly:
		names = nil
	case len(s.selected.keywords) < mailbox.MaxKeywords:
		names = append(names, `\*`)
	}
	b := imap.AppendFlags(append(s.scratch, "* OK [PERMANENTFLAGS "...), names)
	s.send(append(b, "] Flags that are kept\r\n"...))
}

// tellFlags sends FETCH for messages whose flags have changed, unless by one of the changes in told.
func (s *session) tellFlags(uids []mailbox.UID, told []mailbox.ModSeq) {
	sel := s.selected
	for chunk := range slices.Chunk(uids, entryChunk) {
		for _, e := range sel.box.Entries(nil, chunk) {
			if _, own := slices.BinarySearch(told, e.ModSeq); own {
				continue
			}
			if at, ok := slices.BinarySearch(sel.uids, e.UID); ok {
				s.sendFlags(at+1, e, true)
			}
		}
	}
}

// noteOwn remembers a change of which its command tells. One that changed nothing bears the ModSeq of
// somebody else's.
func (sel *selected) noteOwn(st mailbox.Stored) {
	if len(st.Changed) > 0 {
		sel.own = append(sel.own, st.ModSeq)
	}
}

// entryChunk is how many entries are held at a time.
const entryChunk = 1024

// sendFlags sends FETCH with the flags of message seq, and its MODSEQ to a client that knows of it.
func (s *session) sendFlags(seq int, e mailbox.Entry, withUID bool) {
	items := imap.FetchFlags | s.withFlags()
	if withUID {
		items |= imap.FetchUID
	}
	s.send(append(s.appendEntry(s.scratch, seq, e, items), ")\r\n"...))
}

// indexes is a range of positions in selected.uids: from first up to, not including, end.
type indexes struct{ first, end int }

// bySequence turns a set of message sequence numbers into UIDs, rising; the result may share
// memory with sel.uids. Numbers beyond the last message are a client's error (RFC 9051, section 9,
// seq-number).
func (sel *selected) bySequence(set imap.NumSet) ([]mailbox.UID, error) {
	if set.Saved {
		return sel.saved, nil
	}
	n := uint32(len(sel.uids))
	if n == 0 && wholeMailbox(set) {
		return nil, nil
	}
	ranges := make([]indexes, 0, 8)
	for _, r := range set.Ranges {
		lo, hi := ordered(r, n)
		if lo == 0 || hi > n {
			return nil, mail.Errorf(mail.Syntax, "Message sequence number is out of range")
		}
		ranges = append(ranges, indexes{int(lo) - 1, int(hi)})
	}
	return sel.collect(ranges), nil
}

// wholeMailbox reports whether a set is "1:*", which programs also say of an empty mailbox.
func wholeMailbox(s imap.NumSet) bool {
	return len(s.Ranges) == 1 && s.Ranges[0] == imap.NumRange{First: 1, Last: 0}
}

// byUID turns a set of UIDs into those that the client knows; the rest is ignored (RFC 9051,
// section 6.4.9).
func (sel *selected) byUID(set imap.NumSet) []mailbox.UID {
	if set.Saved {
		return sel.saved
	}
	if len(sel.uids) == 0 {
		return nil
	}
	last := uint32(sel.uids[len(sel.uids)-1])
	ranges := make([]indexes, 0, 8)
	for _, r := range set.Ranges {
		lo, hi := ordered(r, last)
		first, _ := slices.BinarySearch(sel.uids, mailbox.UID(lo))
		end, found := slices.BinarySearch(sel.uids, mailbox.UID(hi))
		if found {
			end++
		}
		if first < end {
			ranges = append(ranges, indexes{first, end})
		}
	}
	return sel.collect(ranges)
}

// someExpunged is the answer to numbers of messages that are gone, of which the client has not been
// told (RFC 2180, section 4).
func someExpunged() error {
	return mail.Errorf(mail.Expunged, "Some of the messages were expunged")
}

// ordered returns the ends of r, the lower first, with last for "*".
func ordered(r imap.NumRange, last uint32) (lo, hi uint32) {
	lo, hi = r.First, r.Last
	if lo == 0 {
		lo = last
	}
	if hi == 0 {
		hi = last
	}
	return min(lo, hi), max(lo, hi)
}

// collect returns the UIDs in ranges, each once, rising.
func (sel *selected) collect(ranges []indexes) []mailbox.UID {
	if len(ranges) == 1 {
		return sel.uids[ranges[0].first:ranges[0].end]
	}
	slices.SortFunc(ranges, func(a, b indexes) int { return cmp.Compare(a.first, b.first) })
	var uids []mailbox.UID
	next := 0
	for _, r := range ranges {
		first := max(r.first, next)
		if first < r.end {
			uids = append(uids, sel.uids[first:r.end]...)
			next = r.end
		}
	}
	return uids
}

// numbers turns UIDs, rising, into message sequence numbers.
func (sel *selected) numbers(uids []mailbox.UID) []uint32 {
	numbers := make([]uint32, 0, len(uids))
	at := 0
	for _, uid := range uids {
		n, ok := slices.BinarySearch(sel.uids[at:], uid)
		at += n
		if ok {
			numbers = append(numbers, uint32(at)+1)
		}
	}
	return numbers
}
