package imapd

import (
	"context"
	"slices"
	"strings"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/store/mailbox"
)

// store changes flags by number. RFC 9051, section 6.4.6; RFC 7162, section 3.1.3.
func (s *session) store(ctx context.Context, a imap.Store) (imap.Response, error) {
	uids, err := s.selected.bySequence(a.Set)
	if err != nil {
		return imap.Response{}, err
	}
	return s.storeFlags(ctx, a, uids, false)
}

// uidStore changes flags by UID.
func (s *session) uidStore(ctx context.Context, a imap.Store) (imap.Response, error) {
	return s.storeFlags(ctx, a, s.selected.byUID(a.Set), true)
}

// storeModes translates the modes of the grammar.
var storeModes = [...]mailbox.StoreMode{imap.ReplaceFlags: mailbox.ReplaceFlags, imap.AddFlags: mailbox.AddFlags, imap.RemoveFlags: mailbox.RemoveFlags}

func (s *session) storeFlags(ctx context.Context, a imap.Store, uids []mailbox.UID, byUID bool) (imap.Response, error) {
	if r := s.writable(); r.Condition != imap.OK {
		return r, nil
	}
	if err := checkFlags(a.Flags); err != nil {
		return imap.Response{}, err
	}
	change := mailbox.Change{UIDs: uids, Mode: storeModes[a.Mode], Flags: a.Flags}
	if a.UnchangedSince != nil {
		since := mailbox.ModSeq(*a.UnchangedSince)
		change.UnchangedSince = &since
		s.enableCondStore()
	}
	if len(uids) == 0 {
		return imap.Response{}, nil
	}
	var others []mailbox.UID
	if a.Silent {
		// What others did before must be told even so (RFC 9051, section 6.4.6), which afterwards
		// cannot be told apart from this change. What they do in this very moment is told with it.
		var err error
		if others, err = s.observe(ctx, false); err != nil {
			return imap.Response{}, err
		}
	}
	stored, err := s.selected.storeAll(ctx, change, a.Silent)
	if err == nil && s.selected.makesKeyword(a.Flags) {
		err = s.sync(ctx, false)
	}
	// The flags as they are now: a client that counts on its change would lose it to older ones. After an
	// error, too, since they are not told again.
	s.tellFlags(others, nil)
	if err != nil {
		return imap.Response{}, err
	}
	told := s.tellStored(a, uids, stored, byUID)
	if len(stored.Modified) == 0 {
		if !byUID && !a.Silent && told < len(uids) {
			return imap.Response{}, someExpunged()
		}
		return imap.Response{}, nil
	}
	return imap.Response{Code: s.modified(stored.Modified, byUID), Text: "Conditional STORE failed for some"}, nil
}

// storeAll changes flags, those of many messages in several changes, of which an error may leave some undone.
// That only the client changed flags is told in the reply, or known to a client that asked for silence
// if nobody else came between.
func (sel *selected) storeAll(ctx context.Context, c mailbox.Change, silent bool) (all mailbox.Stored, err error) {
	known := sel.told
	for part := range slices.Chunk(c.UIDs, mailbox.MaxChange) {
		c.UIDs = part
		stored, err := sel.box.Store(ctx, c)
		if err != nil {
			sel.own = sel.own[:0] // the next sync tells what was done
			return all, err
		}
		if !silent || stored.Before == known {
			sel.noteOwn(stored)
			known = stored.ModSeq
		}
		all.Changed, all.Modified = append(all.Changed, stored.Changed...), append(all.Modified, stored.Modified...)
	}
	return all, nil
}

// checkFlags refuses system flags that do not exist.
func checkFlags(flags []string) error {
	for _, f := range flags {
		if strings.HasPrefix(f, `\`) && f != `\Recent` && !slices.Contains(systemFlags, f) {
			return mail.Errorf(mail.Unsupported, "There is no flag %.40s", f)
		}
	}
	return nil
}

// tellStored sends the new flags and returns of how many messages. With .SILENT only a client that counts MODSEQs hears anything,
// and that is the new MODSEQ (RFC 7162, section 3.1.3).
func (s *session) tellStored(a imap.Store, uids []mailbox.UID, stored mailbox.Stored, byUID bool) (told int) {
	sel := s.selected
	items := imap.FetchItems(0)
	switch {
	case !a.Silent:
		items = imap.FetchFlags
	case !s.condStore:
		return 0
	default:
		uids = stored.Changed
	}
	items |= s.withFlags()
	if byUID {
		items |= imap.FetchUID
	}
	at := 0
	for chunk := range slices.Chunk(uids, entryChunk) {
		for _, e := range sel.box.Entries(nil, chunk) {
			n, ok := slices.BinarySearch(sel.uids[at:], e.UID)
			if at += n; ok {
				told++
				s.send(append(s.appendEntry(s.scratch, at+1, e, items), ")\r\n"...))
			}
		}
	}
	return told
}

// makesKeyword reports whether one of flags is a keyword that the client has not been told of.
func (sel *selected) makesKeyword(flags []string) bool {
	return slices.ContainsFunc(flags, func(f string) bool {
		return !strings.HasPrefix(f, `\`) && !slices.ContainsFunc(sel.keywords, func(k string) bool { return strings.EqualFold(k, f) })
	})
}

// modified is the MODIFIED response code.
func (s *session) modified(uids []mailbox.UID, byUID bool) string {
	if byUID {
		return string(imap.AppendNumbers([]byte("MODIFIED "), uids))
	}
	return string(imap.AppendNumbers([]byte("MODIFIED "), s.selected.numbers(uids)))
}
