package imapd

import "sync/atomic"

// Stats counts what an operator would look at, since the start unless said otherwise.
type Stats struct {
	Connections uint64 `json:"connections"`
	Open        int64  `json:"open"`   // now
	Idling      int64  `json:"idling"` // now, in IDLE
	Logins      uint64 `json:"logins"` // that succeeded
	Denied      uint64 `json:"denied"` // logins refused, for whatever reason
	InClear     uint64 `json:"clear"`  // credentials that were sent without encryption
	Commands    uint64 `json:"commands"`
	Bad         uint64 `json:"bad"`     // commands answered BAD
	Fetched     uint64 `json:"fetched"` // messages told of by FETCH
	Appended    uint64 `json:"appended"`
	Panics      uint64 `json:"panics"`
}

type counters struct {
	connections, logins, denied, inClear, commands, bad, fetched, appended, panics atomic.Uint64
	open, idling                                                                   atomic.Int64
}

// Stats returns the counts.
func (s *Server) Stats() Stats {
	c := s.stats
	return Stats{
		Connections: c.connections.Load(), Open: c.open.Load(), Idling: c.idling.Load(),
		Logins: c.logins.Load(), Denied: c.denied.Load(), InClear: c.inClear.Load(),
		Commands: c.commands.Load(), Bad: c.bad.Load(), Fetched: c.fetched.Load(),
		Appended: c.appended.Load(), Panics: c.panics.Load(),
	}
}
