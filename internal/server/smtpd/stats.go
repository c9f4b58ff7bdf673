package smtpd

import "sync/atomic"

// Stats counts since the start of the server.
type Stats struct {
	Sessions         int64 // begun
	Open             int64 // now
	Accepted         int64 // messages
	AcceptedOctets   int64
	Refused          int64 // messages, after their content
	Recipients       int64 // accepted
	UnknownAddresses int64 // recipients refused with 5.1.1
	RelayingDenied   int64 // recipients
	Logins           int64
	LoginsRefused    int64
	ClearCredentials int64 // logins tried without encryption
	Injections       int64 // octets behind STARTTLS
	BareLineEnds     int64 // messages that held bare CR or LF where that matters
	Truncated        int64 // messages cut off
	Panics           int64
}

type counters struct {
	sessions, open, accepted, acceptedOctets, refused, recipients, unknownAddresses, relayingDenied,
	logins, loginsRefused, clearCredentials, injections, bareLineEnds, truncated, panics atomic.Int64
}

// Stats returns the counts.
func (s *Server) Stats() Stats {
	c := s.counters
	return Stats{
		Sessions: c.sessions.Load(), Open: c.open.Load(),
		Accepted: c.accepted.Load(), AcceptedOctets: c.acceptedOctets.Load(), Refused: c.refused.Load(),
		Recipients: c.recipients.Load(), UnknownAddresses: c.unknownAddresses.Load(), RelayingDenied: c.relayingDenied.Load(),
		Logins: c.logins.Load(), LoginsRefused: c.loginsRefused.Load(), ClearCredentials: c.clearCredentials.Load(),
		Injections: c.injections.Load(), BareLineEnds: c.bareLineEnds.Load(), Truncated: c.truncated.Load(), Panics: c.panics.Load(),
	}
}
