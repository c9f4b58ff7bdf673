package listen

import "sync/atomic"

// Stats are the counters of one listener since the start.
type Stats struct {
	Listener string  `json:"listener"`
	Service  Service `json:"service"`
	Address  string  `json:"address"`
	Mode     Mode    `json:"mode"`
	Open     int64   `json:"open"`     // connections now
	Accepted int64   `json:"accepted"` // connections
	Refused  int64   `json:"refused"`  // too many from one network, or too many wrong logins
	Dropped  int64   `json:"dropped"`  // given up for newer ones
	// Handshakes that succeeded, with those Resumed from a ticket among them; HandshakesFailed.
	Handshakes       int64 `json:"handshakes"`
	Resumed          int64 `json:"resumed"`
	HandshakesFailed int64 `json:"handshakes_failed"`
	// WrongProtocol counts peers by what they spoke instead: "tls", "http", "silence" …
	WrongProtocol map[string]int64 `json:"wrong_protocol"`
}

type counters struct {
	open, accepted, refused, dropped      atomic.Int64
	handshakes, resumed, handshakesFailed atomic.Int64
	wrongProtocol                         [7]atomic.Int64 // as allSeen
}

// Stats returns the counters of each listener, in their order.
func (s *Server) Stats() []Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Stats, len(s.doors))
	for i, d := range s.doors {
		n := d.counters
		all[i] = Stats{
			Listener: d.Name, Service: d.Service, Address: d.Address, Mode: d.Mode,
			Open: n.open.Load(), Accepted: n.accepted.Load(), Refused: n.refused.Load(), Dropped: n.dropped.Load(),
			Handshakes: n.handshakes.Load(), Resumed: n.resumed.Load(), HandshakesFailed: n.handshakesFailed.Load(),
			WrongProtocol: map[string]int64{},
		}
		for j, what := range allSeen {
			all[i].WrongProtocol[string(what)] = n.wrongProtocol[j].Load()
		}
	}
	return all
}
