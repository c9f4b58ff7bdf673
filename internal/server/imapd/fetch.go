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

// fetch tells of messages by number. RFC 9051, section 6.4.5; RFC 7162, section 3.1.4.
func (s *session) fetch(ctx context.Context, a imap.Fetch) (imap.Response, error) {
	uids, err := s.selected.bySequence(a.Set)
	if err != nil {
		return imap.Response{}, err
	}
	f := s.newFetching(a)
	if r, err := f.run(ctx, uids); err != nil || r.Condition != imap.OK {
		return r, err
	}
	if f.missing {
		return imap.Response{}, someExpunged()
	}
	return imap.Response{}, nil
}

// uidFetch tells of messages by UID, and tells the UID. RFC 7162, section 3.2.6; RFC 9394, section 3.3.
func (s *session) uidFetch(ctx context.Context, a imap.Fetch) (imap.Response, error) {
	a.Items |= imap.FetchUID
	if a.Vanished {
		if err := s.needQResync(); err != nil {
			return imap.Response{}, err
		}
		if err := s.tellEarlier(ctx, a.Set, mailbox.ModSeq(*a.ChangedSince), 0); err != nil {
			return imap.Response{}, err
		}
	}
	uids := s.selected.byUID(a.Set)
	if a.Page != nil {
		first, end := a.Page.Of(len(uids))
		uids = uids[first:end]
	}
	return s.newFetching(a).run(ctx, uids)
}

// The items that come from an entry, from a record, and from a record's attributes.
const (
	recordItems    = imap.FetchInternalDate | imap.FetchSize | imap.FetchEmailID | imap.FetchThreadID | imap.FetchSaveDate | attributeItems
	attributeItems = imap.FetchEnvelope | imap.FetchBody | imap.FetchBodyStructure | imap.FetchPreview
)

// fetching is a FETCH under way. It goes through its messages in chunks, to bound what it holds.
type fetching struct {
	imap.Fetch
	s       *session
	entries []mailbox.Entry
	at      int     // where in selected.uids the search for the next UID begins
	missing bool    // a message was gone
	unknown bool    // a part could not be decoded
	pieces  []piece // of the message under way, as Bodies

	seen    bool // sets \Seen
	partial bool // asks for a part of a message, whose place its attributes tell
}

// fetchChunk is how many messages are looked up at a time: fewer when they become \Seen, since a
// connection that breaks then leaves unread ones so marked.
const (
	fetchChunk = 512
	seenChunk  = 32
)

func (s *session) newFetching(a imap.Fetch) *fetching {
	f := &fetching{Fetch: a, s: s}
	if a.Items&imap.FetchModSeq != 0 {
		s.enableCondStore()
	}
	if a.Items&imap.FetchFlags != 0 {
		f.Items |= s.withFlags()
	}
	for i := range a.Bodies {
		f.seen = f.seen || !a.Bodies[i].Peek && !s.selected.readOnly
		f.partial = f.partial || !isWhole(&a.Bodies[i])
	}
	return f
}

// run tells of uids. That a part has an encoding nobody knows is the answer in the end, after all
// other messages (RFC 3516, section 4.3).
func (f *fetching) run(ctx context.Context, uids []mailbox.UID) (imap.Response, error) {
	size := fetchChunk
	if f.seen {
		size = seenChunk
	}
	for chunk := range slices.Chunk(uids, size) {
		if err := f.chunk(ctx, chunk); err != nil {
			return imap.Response{}, err
		}
	}
	if f.unknown {
		return imap.Response{Condition: imap.No, Code: "UNKNOWN-CTE", Text: "Transfer encoding is not known"}, nil
	}
	return imap.Response{}, nil
}

func (f *fetching) chunk(ctx context.Context, uids []mailbox.UID) error {
	box := f.s.selected.box
	f.entries = box.Entries(f.entries[:0], uids)
	f.missing = f.missing || len(f.entries) < len(uids)
	if f.ChangedSince != nil {
		since := mailbox.ModSeq(*f.ChangedSince)
		f.entries = slices.DeleteFunc(f.entries, func(e mailbox.Entry) bool { return e.ModSeq <= since })
	}
	if f.seen {
		if err := f.markSeen(ctx); err != nil {
			return err
		}
	}
	f.s.server.stats.fetched.Add(uint64(len(f.entries)))
	if len(f.entries) > 0 && (f.Items&recordItems != 0 || f.partial) {
		return f.records(ctx)
	}
	for _, e := range f.entries {
		if err := f.tell(ctx, e, nil); err != nil {
			return err
		}
	}
	return nil
}

// markSeen sets \Seen where it is not set; the new flags are told with the rest (RFC 9051, section 6.4.5).
func (f *fetching) markSeen(ctx context.Context) error {
	var unseen []mailbox.UID
	for _, e := range f.entries {
		if e.Flags&mailbox.Seen == 0 {
			unseen = append(unseen, e.UID)
		}
	}
	if len(unseen) == 0 {
		return nil
	}
	sel := f.s.selected
	stored, err := sel.box.Store(ctx, mailbox.Change{UIDs: unseen, Mode: mailbox.AddFlags, Flags: []string{`\Seen`}})
	if err != nil {
		return err
	}
	sel.noteOwn(stored)
	// Other flags may have changed meanwhile, and another session may have done the same at the same
	// time, of which the loop tells.
	changed := sel.box.Entries(nil, stored.Changed)
	for i := range f.entries {
		if len(changed) > 0 && f.entries[i].UID == changed[0].UID {
			f.entries[i] = changed[0]
			changed = changed[1:]
		}
	}
	return nil
}

// items are those told of e: a message that has just become \Seen shows its flags.
func (f *fetching) items(e mailbox.Entry) imap.FetchItems {
	items := f.Items
	if _, own := slices.BinarySearch(f.s.selected.own, e.ModSeq); own && f.seen {
		items |= imap.FetchFlags | f.s.withFlags()
	}
	return items
}

// sequence returns the number of the message with uid; UIDs must be asked for in rising order.
func (f *fetching) sequence(uid mailbox.UID) int {
	uids := f.s.selected.uids[f.at:]
	if len(uids) > 0 && uids[0] == uid { // the next one, most often
		f.at++
		return f.at
	}
	n, ok := slices.BinarySearch(uids, uid)
	f.at += n
	if !ok {
		return 0
	}
	f.at++
	return f.at
}

// records tells of f.entries what the store has in records. It writes as the store reads, which
// holds no snapshot meanwhile.
func (f *fetching) records(ctx context.Context) error {
	uids := make([]mailbox.UID, len(f.entries))
	for i, e := range f.entries {
		uids[i] = e.UID
	}
	told := 0
	err := f.s.selected.box.Records(ctx, uids, func(r *mailbox.Record) error {
		for f.entries[0].UID < r.UID {
			f.entries = f.entries[1:]
		}
		told++
		return f.tell(ctx, f.entries[0], r)
	})
	f.missing = f.missing || told < len(uids)
	return err
}

// tell sends the response for one message. r is nil when nothing of it is asked for.
func (f *fetching) tell(ctx context.Context, e mailbox.Entry, r *mailbox.Record) error {
	seq := f.sequence(e.UID)
	if seq == 0 {
		return nil
	}
	b, err := f.appendItems(ctx, f.s.scratch, seq, e, r)
	if err == nil && f.Items&imap.FetchPreview != 0 {
		b, err = f.appendPreview(ctx, b, r)
	}
	if mail.IsKind(err, mail.Expunged) {
		f.missing = true
		return nil
	}
	if err != nil {
		return err
	}
	if len(f.Bodies) > 0 {
		return f.tellBodies(ctx, b, e.UID, r)
	}
	f.s.send(append(b, ")\r\n"...))
	return f.s.broken
}

// appendItems appends "* 1 FETCH (" and all items that have no section.
func (f *fetching) appendItems(ctx context.Context, b []byte, seq int, e mailbox.Entry, r *mailbox.Record) ([]byte, error) {
	items := f.items(e)
	b = f.s.appendEntry(b, seq, e, items)
	if items&recordItems == 0 {
		return b, nil
	}
	if items&imap.FetchSize != 0 {
		b = strconv.AppendInt(append(separated(b), "RFC822.SIZE "...), r.Size, 10)
	}
	if items&imap.FetchInternalDate != 0 {
		b = imap.AppendDateTime(append(separated(b), "INTERNALDATE "...), r.Received)
	}
	if items&imap.FetchEmailID != 0 {
		b = append(append(append(separated(b), "EMAILID ("...), r.EmailID()...), ')')
	}
	if items&imap.FetchThreadID != 0 {
		b = append(separated(b), "THREADID NIL"...)
	}
	if items&imap.FetchSaveDate != 0 {
		b = appendSaveDate(append(separated(b), "SAVEDATE "...), r.Saved)
	}
	if items&attributeItems == 0 {
		return b, nil
	}
	a, err := f.s.attributes(ctx, r)
	if err != nil {
		return b, err
	}
	style := f.s.style()
	if items&imap.FetchEnvelope != 0 {
		b = imap.AppendEnvelope(append(separated(b), "ENVELOPE "...), &a.Envelope, style)
	}
	if items&imap.FetchBody != 0 {
		b = imap.AppendBody(append(separated(b), "BODY "...), &a.Root, style)
	}
	if items&imap.FetchBodyStructure != 0 {
		b = imap.AppendBodyStructure(append(separated(b), "BODYSTRUCTURE "...), &a.Root, style)
	}
	return b, nil
}

func appendSaveDate(b []byte, saved time.Time) []byte {
	if saved.IsZero() {
		return append(b, "NIL"...)
	}
	return imap.AppendDateTime(b, saved)
}

// separated appends a space unless the first item follows.
func separated(b []byte) []byte {
	if b[len(b)-1] == '(' {
		return b
	}
	return append(b, ' ')
}

// withFlags are the items that go with all flags: once the client knows of MODSEQ, that (RFC 7162, section
// 3.1.2), and once it has enabled QRESYNC, the UID (section 3.2.4).
func (s *session) withFlags() imap.FetchItems {
	switch {
	case s.qresync:
		return imap.FetchModSeq | imap.FetchUID
	case s.condStore:
		return imap.FetchModSeq
	}
	return 0
}

// appendEntry appends "* 1 FETCH (" and those of items that come from the entry.
func (s *session) appendEntry(b []byte, seq int, e mailbox.Entry, items imap.FetchItems) []byte {
	b = strconv.AppendInt(append(b, "* "...), int64(seq), 10)
	b = append(b, " FETCH ("...)
	if items&imap.FetchUID != 0 {
		b = strconv.AppendUint(append(b, "UID "...), uint64(e.UID), 10)
	}
	if items&imap.FetchFlags != 0 {
		b = s.appendFlags(append(separated(b), "FLAGS ("...), e.Flags)
		b = append(b, ')')
	}
	if items&imap.FetchModSeq != 0 {
		s.selected.heard = max(s.selected.heard, e.ModSeq)
		b = strconv.AppendUint(append(separated(b), "MODSEQ ("...), uint64(e.ModSeq), 10)
		b = append(b, ')')
	}
	return b
}

// appendFlags appends the names of f. Keywords made since the client was last told are looked up.
func (s *session) appendFlags(b []byte, f mailbox.Flags) []byte {
	first := len(b)
	for i, name := range systemFlags {
		if f&(1<<i) != 0 {
			b = appendWord(b, first, name)
		}
	}
	f &^= 1<<mailbox.KeywordBit - 1
	if f == 0 {
		return b
	}
	if known := s.selected.keywords; f>>(mailbox.KeywordBit+len(known)) == 0 {
		for i, name := range known {
			if f&(1<<(mailbox.KeywordBit+i)) != 0 {
				b = appendWord(b, first, name)
			}
		}
		return b
	}
	for _, name := range s.selected.box.FlagNames(f) {
		b = appendWord(b, first, name)
	}
	return b
}

// appendWord appends a word to those that begin at first.
func appendWord(b []byte, first int, word string) []byte {
	if len(b) > first {
		b = append(b, ' ')
	}
	return append(b, word...)
}
