package imapd

import (
	"context"
	"slices"
	"strconv"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// search finds messages and tells their numbers. RFC 9051, section 6.4.4; RFC 4731; RFC 5182; RFC 9394;
// RFC 9755, section 3.
func (s *session) search(ctx context.Context, a imap.Search) (imap.Response, error) {
	return s.searchMessages(ctx, a, false)
}

// uidSearch finds messages and tells their UIDs.
func (s *session) uidSearch(ctx context.Context, a imap.Search) (imap.Response, error) {
	return s.searchMessages(ctx, a, true)
}

func (s *session) searchMessages(ctx context.Context, a imap.Search, byUID bool) (imap.Response, error) {
	sel := s.selected
	if s.accepts && a.Charset != "" {
		s.unsave(a)
		return imap.Response{}, mail.Errorf(mail.Syntax, "No CHARSET after ENABLE UTF8=ACCEPT")
	}
	if !a.KnownCharset() {
		s.unsave(a)
		return imap.Response{Condition: imap.No, Code: "BADCHARSET (US-ASCII UTF-8)", Text: "Charset is not known"}, nil
	}
	wanted, err := (&criteria{session: s}).of(ctx, a.Key)
	if err != nil {
		if !mail.IsKind(err, mail.Syntax) {
			s.unsave(a)
		}
		return imap.Response{}, err
	}
	if a.ModSeq {
		s.enableCondStore()
	}
	found, err := sel.search(ctx, wanted, s.conn.Spend)
	if err == nil && s.extended(a) {
		err = s.reserveNumbers(ctx, found, uidOctets)
	}
	if err != nil {
		s.unsave(a)
		return imap.Response{}, err
	}
	if a.Return&imap.ReturnSave != 0 {
		sel.saved = slices.Clone(savedPart(found, a))
		if a.Return == imap.ReturnSave {
			return imap.Response{}, nil
		}
	}
	s.tellFound(a, found, byUID)
	return imap.Response{}, nil
}

// unsave empties "$" when a search that was to fill it is answered NO (RFC 5182, section 2.1).
func (s *session) unsave(a imap.Search) {
	if a.Return&imap.ReturnSave != 0 {
		s.selected.saved = nil
	}
}

// savedPart is what SAVE keeps: with MIN, MAX or PARTIAL and neither ALL nor COUNT only these messages
// (RFC 5182, section 2.1; RFC 9394, section 3.2).
func savedPart(found []mailbox.UID, a imap.Search) []mailbox.UID {
	const some = imap.ReturnMin | imap.ReturnMax | imap.ReturnPartial
	if len(found) == 0 || a.Return&some == 0 || a.Return&(imap.ReturnAll|imap.ReturnCount) != 0 {
		return found
	}
	var part []mailbox.UID
	if a.Return&imap.ReturnMin != 0 {
		part = append(part, found[0])
	}
	if a.Page != nil {
		first, end := a.Page.Of(len(found))
		part = append(part, found[first:end]...)
	}
	if a.Return&imap.ReturnMax != 0 {
		part = append(part, found[len(found)-1])
	}
	return slices.Compact(part)
}

// search asks the store, unless every message is wanted. Messages known to be gone do not match.
func (sel *selected) search(ctx context.Context, c mailbox.Criteria, spend func(context.Context, int)) ([]mailbox.UID, error) {
	if c.Op == mailbox.And && len(c.Children) == 0 {
		if len(sel.expunged) == 0 {
			return sel.uids, nil
		}
		return without(slices.Clone(sel.uids), sel.expunged), nil
	}
	return sel.box.SearchInTurn(ctx, sel.uids, c, spend)
}

// extended reports whether the answer is ESEARCH, which is one line made at once. A client of IMAP4rev1 that
// asks for no more gets SEARCH, a part at a time.
func (s *session) extended(a imap.Search) bool { return a.Extended || s.rev2 }

// tellFound sends the result.
func (s *session) tellFound(a imap.Search, found []mailbox.UID, byUID bool) {
	var top mailbox.ModSeq
	if a.ModSeq && len(found) > 0 {
		top = s.selected.topModSeq(a, found)
	}
	if !s.extended(a) {
		s.tellSearch(found, top, byUID)
		return
	}
	if !a.Extended {
		a.Return = imap.ReturnAll
	}
	b := append(append(s.scratch, "* ESEARCH (TAG "...), '"')
	b = append(append(b, s.tag...), `")`...)
	if byUID {
		b = appendResults(append(b, " UID"...), a, found)
	} else {
		b = appendResults(b, a, s.selected.numbers(found))
	}
	if top > 0 {
		b = strconv.AppendUint(append(b, " MODSEQ "...), uint64(top), 10)
	}
	s.send(append(b, "\r\n"...))
}

// appendResults appends the results of RFC 4731 and RFC 9394; without matches MIN, MAX and ALL are left out.
func appendResults[N ~uint32](b []byte, a imap.Search, found []N) []byte {
	if len(found) > 0 {
		if a.Return&imap.ReturnMin != 0 {
			b = strconv.AppendUint(append(b, " MIN "...), uint64(found[0]), 10)
		}
		if a.Return&imap.ReturnMax != 0 {
			b = strconv.AppendUint(append(b, " MAX "...), uint64(found[len(found)-1]), 10)
		}
		if a.Return&imap.ReturnAll != 0 {
			b = imap.AppendNumbers(append(b, " ALL "...), found)
		}
	}
	if a.Page != nil {
		b = appendPage(b, a.Page, found)
	}
	if a.Return&imap.ReturnCount != 0 {
		b = strconv.AppendInt(append(b, " COUNT "...), int64(len(found)), 10)
	}
	return b
}

// appendPage appends PARTIAL: the range that was asked for and the results in it.
func appendPage[N ~uint32](b []byte, p *imap.Page, found []N) []byte {
	b = append(p.Append(append(b, " PARTIAL ("...)), ' ')
	first, end := p.Of(len(found))
	if first == end {
		return append(b, "NIL)"...)
	}
	return append(imap.AppendNumbers(b, found[first:end]), ')')
}

// tellSearch sends SEARCH, a part at a time.
func (s *session) tellSearch(found []mailbox.UID, top mailbox.ModSeq, byUID bool) {
	s.send(append(s.scratch, "* SEARCH"...))
	for chunk := range slices.Chunk(found, entryChunk) {
		if byUID {
			s.send(appendEach(s.scratch, chunk))
		} else {
			s.send(appendEach(s.scratch, s.selected.numbers(chunk)))
		}
	}
	b := s.scratch
	if top > 0 {
		b = strconv.AppendUint(append(b, " (MODSEQ "...), uint64(top), 10)
		b = append(b, ')')
	}
	s.send(append(b, "\r\n"...))
}

func appendEach[N ~uint32](b []byte, found []N) []byte {
	for _, n := range found {
		b = strconv.AppendUint(append(b, ' '), uint64(n), 10)
	}
	return b
}

// topModSeq is the highest MODSEQ of the messages that the result names (RFC 7162, section 3.1.10).
func (sel *selected) topModSeq(a imap.Search, found []mailbox.UID) mailbox.ModSeq {
	if a.Extended {
		found = savedPart(found, a)
	}
	var top mailbox.ModSeq
	for chunk := range slices.Chunk(found, entryChunk) {
		for _, e := range sel.box.Entries(nil, chunk) {
			top = max(top, e.ModSeq)
		}
	}
	return top
}

// searchOps translates the tests that take the same arguments in the grammar and in the store.
var searchOps = map[imap.SearchOp]mailbox.Op{
	imap.SearchAnd: mailbox.And, imap.SearchOr: mailbox.Or, imap.SearchNot: mailbox.Not,
	imap.SearchFlag: mailbox.HasFlag, imap.SearchHeader: mailbox.Header,
	imap.SearchBody: mailbox.BodyText, imap.SearchText: mailbox.AnyText,
	imap.SearchLarger: mailbox.Larger, imap.SearchSmaller: mailbox.Smaller,
	imap.SearchBefore: mailbox.Before, imap.SearchOn: mailbox.On, imap.SearchSince: mailbox.Since,
	imap.SearchSentBefore: mailbox.SentBefore, imap.SearchSentOn: mailbox.SentOn, imap.SearchSentSince: mailbox.SentSince,
	imap.SearchModSeq: mailbox.ModSeqFrom, imap.SearchYounger: mailbox.Younger, imap.SearchOlder: mailbox.Older,
	imap.SearchEmailID:     mailbox.EmailID,
	imap.SearchSavedBefore: mailbox.SavedBefore, imap.SearchSavedOn: mailbox.SavedOn, imap.SearchSavedSince: mailbox.SavedSince,
}

// The most keys of one search. Each costs time for every message, a set memory besides.
const (
	maxKeys      = 1000
	maxSets      = 100
	maxTexts     = 100
	maxSetOctets = 32 << 20 // of all sets together, when they are UIDs
	smallSets    = 64 << 10 // which need no memory from the budget
	uidOctets    = 4
)

// criteria makes search keys those of the store, and counts them.
type criteria struct {
	session           *session
	keys, sets, texts int
}

// of makes a search key one of the store, where messages have UIDs and none is recent. Errors: TooMany.
func (m *criteria) of(ctx context.Context, k imap.SearchKey) (mailbox.Criteria, error) {
	if err := m.count(ctx, k.Op); err != nil {
		return mailbox.Criteria{}, err
	}
	sel := m.session.selected
	switch k.Op {
	case imap.SearchRecent:
		return mailbox.Criteria{Op: mailbox.Not, Children: []mailbox.Criteria{{Op: mailbox.And}}}, nil
	case imap.SearchUID:
		return mailbox.Criteria{Op: mailbox.InUIDs, UIDs: sel.byUID(k.Set)}, nil
	case imap.SearchSet:
		uids, err := sel.bySequence(k.Set)
		return mailbox.Criteria{Op: mailbox.InUIDs, UIDs: uids}, err
	}
	op, ok := searchOps[k.Op]
	if !ok {
		return mailbox.Criteria{}, mail.Errorf(mail.Unsupported, "Search key is not supported")
	}
	c := mailbox.Criteria{Op: op, Flag: k.Flag, Field: k.Field, Text: k.Text, Date: k.Date}
	switch k.Op {
	case imap.SearchLarger, imap.SearchSmaller:
		c.Size = int64(k.Number)
	case imap.SearchModSeq:
		c.ModSeq = mailbox.ModSeq(k.Number)
	case imap.SearchYounger, imap.SearchOlder:
		c.Within = time.Duration(k.Number) * time.Second
	}
	for _, child := range k.Keys {
		cc, err := m.of(ctx, child)
		if err != nil {
			return c, err
		}
		c.Children = append(c.Children, cc)
	}
	return c, nil
}

func (m *criteria) count(ctx context.Context, op imap.SearchOp) error {
	m.keys++
	switch op {
	case imap.SearchUID, imap.SearchSet:
		m.sets++
	case imap.SearchHeader, imap.SearchBody, imap.SearchText:
		m.texts++
	}
	octets := m.sets * len(m.session.selected.uids) * uidOctets
	if m.keys > maxKeys || m.texts > maxTexts || m.sets > maxSets || m.sets > 1 && octets > maxSetOctets {
		return mail.Errorf(mail.TooMany, "Too many search keys")
	}
	if octets > smallSets && m.sets > 1 {
		return m.session.reserve(ctx, int64(octets))
	}
	return nil
}
