package mailbox

import "sync/atomic"

// stats are the counters behind Stats.
type stats struct {
	appended, stored, expunged, copied, commits, searches, searched, swept atomic.Int64
}

// Stats is what an operator may want to know of a Store. The first group counts since Open.
type Stats struct {
	Appended int64 // messages
	Stored   int64 // messages whose flags were changed
	Expunged int64 // messages
	Copied   int64 // messages, moved ones included
	Commits  int64 // transactions; less than the calls that wrote, when they shared some
	Searches int64
	Searched int64 // bodies opened by searches
	Swept    int64 // deleted mailboxes and accounts whose messages are removed

	OpenMailboxes int // with a session
	IdleMailboxes int // kept in memory without one
	Messages      int // in the tables of idle mailboxes
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	st := Stats{
		Appended: s.stats.appended.Load(), Stored: s.stats.stored.Load(), Expunged: s.stats.expunged.Load(),
		Copied: s.stats.copied.Load(), Commits: s.stats.commits.Load(), Searches: s.stats.searches.Load(),
		Searched: s.stats.searched.Load(), Swept: s.stats.swept.Load(),
	}
	s.tables.mu.Lock()
	defer s.tables.mu.Unlock()
	st.IdleMailboxes = s.tables.idle.Len()
	st.OpenMailboxes = len(s.tables.held) - st.IdleMailboxes
	st.Messages = s.tables.messages - idleCost*st.IdleMailboxes
	return st
}
