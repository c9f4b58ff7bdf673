package imapd

import (
	"cmp"
	"context"
	"slices"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// vanishedChunk is how many UIDs or ranges of them one VANISHED names at most, so that no line is
// too long for clients.
const vanishedChunk = 512

// needQResync refuses what only a client that has enabled QRESYNC may use (RFC 7162, section 3.2.3).
func (s *session) needQResync() error {
	if s.qresync {
		return nil
	}
	return mail.Errorf(mail.Syntax, "ENABLE QRESYNC first")
}

// resync tells what has changed in the mailbox just selected since the client last knew it. Nothing is told to
// a client that knows another mailbox of the name. RFC 7162, section 3.2.5.
func (s *session) resync(ctx context.Context, q *imap.QResync, st mailbox.State) error {
	if q.UIDValidity != uint32(st.Info.UIDValidity) || st.UIDNext == 1 {
		return nil
	}
	known := q.Known
	if len(known.Ranges) == 0 {
		known = imap.NumSet{Ranges: []imap.NumRange{{First: 1, Last: uint32(st.UIDNext - 1)}}}
	}
	after := s.selected.matching(q.Numbers, q.UIDs)
	if err := s.tellEarlier(ctx, known, mailbox.ModSeq(q.ModSeq), after); err != nil {
		return err
	}
	changed := imap.Fetch{Items: imap.FetchUID | imap.FetchFlags, ChangedSince: &q.ModSeq}
	_, err := s.newFetching(changed).run(ctx, s.selected.byUID(known))
	return err
}

// matching returns the highest UID up to which the client has the mailbox as it is, as the pairs of message
// numbers and UIDs show: below one that matches nothing can have gone (RFC 7162, section 3.2.5.2).
func (sel *selected) matching(numbers, uids imap.NumSet) mailbox.UID {
	matched := mailbox.UID(0)
	next := eachOf(uids)
	for n := range numbers.Ranges {
		for number := numbers.Ranges[n].First; number <= numbers.Ranges[n].Last; number++ {
			if int(number) > len(sel.uids) || uint32(sel.uids[number-1]) != next() {
				return matched
			}
			matched = sel.uids[number-1]
		}
	}
	return matched
}

// eachOf returns a function that returns the numbers of a rising set one after the other, then 0.
func eachOf(set imap.NumSet) func() uint32 {
	ranges, at := set.Ranges, uint32(0)
	return func() uint32 {
		for len(ranges) > 0 && at >= ranges[0].Last {
			ranges = ranges[1:]
		}
		if len(ranges) == 0 {
			return 0
		}
		at = max(at+1, ranges[0].First)
		return at
	}
}

// tellEarlier sends VANISHED (EARLIER) for the messages of known above after that were expunged after since.
// Those that the client still counts are told later, without EARLIER. RFC 7162, section 3.2.10.1.
func (s *session) tellEarlier(ctx context.Context, known imap.NumSet, since mailbox.ModSeq, after mailbox.UID) error {
	box := s.selected.box
	gone, err := box.Vanished(ctx, since)
	if err != nil || len(gone) == 0 || known.Saved {
		return goneIfNotFound(err)
	}
	asked := rangesOf(known, uint32(box.UIDNext()-1))
	earlier := s.selected.uncounted(overlap(gone, asked), after)
	for chunk := range slices.Chunk(earlier, vanishedChunk) {
		var set imap.NumSet
		for _, r := range chunk {
			set.Ranges = append(set.Ranges, imap.NumRange{First: uint32(r.First), Last: uint32(r.Last)})
		}
		s.send(append(set.Append(append(s.scratch, "* VANISHED (EARLIER) "...)), "\r\n"...))
	}
	return nil
}

// rangesOf returns a set of UIDs as rising ranges that do not overlap, with last for "*".
func rangesOf(set imap.NumSet, last uint32) []mailbox.Range {
	ranges := make([]mailbox.Range, 0, len(set.Ranges))
	for _, r := range set.Ranges {
		lo, hi := ordered(r, last)
		ranges = append(ranges, mailbox.Range{First: mailbox.UID(lo), Last: mailbox.UID(hi)})
	}
	slices.SortFunc(ranges, func(a, b mailbox.Range) int { return cmp.Compare(a.First, b.First) })
	n := 0
	for _, r := range ranges {
		if n > 0 && r.First <= ranges[n-1].Last {
			ranges[n-1].Last = max(ranges[n-1].Last, r.Last)
			continue
		}
		ranges[n] = r
		n++
	}
	return ranges[:n]
}

// overlap returns what two rising lists of ranges have in common.
func overlap(a, b []mailbox.Range) []mailbox.Range {
	var both []mailbox.Range
	for len(a) > 0 && len(b) > 0 {
		first, last := max(a[0].First, b[0].First), min(a[0].Last, b[0].Last)
		if first <= last {
			both = append(both, mailbox.Range{First: first, Last: last})
		}
		if a[0].Last < b[0].Last {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return both
}

// uncounted returns what is left of ranges above after without the messages that the client counts.
func (sel *selected) uncounted(ranges []mailbox.Range, after mailbox.UID) []mailbox.Range {
	var left []mailbox.Range
	for _, r := range ranges {
		next := max(r.First, after+1)
		at, _ := slices.BinarySearch(sel.uids, next)
		for ; at < len(sel.uids) && sel.uids[at] <= r.Last; at++ {
			if sel.uids[at] > next {
				left = append(left, mailbox.Range{First: next, Last: sel.uids[at] - 1})
			}
			next = sel.uids[at] + 1
		}
		if next <= r.Last {
			left = append(left, mailbox.Range{First: next, Last: r.Last})
		}
	}
	return left
}

// tellVanished sends VANISHED, which a client that has enabled QRESYNC gets in place of EXPUNGE (RFC 7162,
// section 3.2.10.2).
func (s *session) tellVanished(uids []mailbox.UID) {
	for chunk := range slices.Chunk(uids, vanishedChunk) {
		b := imap.AppendNumbers(append(s.scratch, "* VANISHED "...), chunk)
		s.send(append(b, "\r\n"...))
	}
}

// knownUpTo tells a client that resynchronises by MODSEQ how far it may count on what it has heard, when it has
// heard of a higher one while messages that are gone were held back: it would never hear of these
// after a reconnect. RFC 7162, section 6. The response code goes into r if that has none.
func (s *session) knownUpTo(r *imap.Response) {
	sel := s.selected
	if !s.qresync || sel == nil || sel.heard <= sel.complete {
		return
	}
	sel.heard = 0
	code := highestModSeq(sel.complete)
	if r.Condition == imap.OK && r.Code == "" {
		r.Code = code
		return
	}
	s.sendf("* OK [%s] Expunged messages are not told yet", code)
}
