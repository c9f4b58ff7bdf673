package main

import (
	"net/netip"
	"slices"

	"candor/internal/server/listen"
)

// throttle puts the bounds of wrong logins in force, and returns what tells whose are refused. Who may submit mail
// without a login is not kept from that.
func (p *parts) throttle(c *config) (refuses func(listen.Service, netip.Addr) bool, err error) {
	relays, err := parsePrefixes(c.Submission.RelayNetworks)
	if err != nil {
		return nil, err
	}
	p.directory.Throttle(c.limits.exempt, int(c.limits.loginCounters))
	return func(s listen.Service, from netip.Addr) bool {
		relayed := s == listen.Submission && slices.ContainsFunc(relays, func(n netip.Prefix) bool { return n.Contains(from) })
		return !relayed && p.directory.RefusesLogins(from)
	}, nil
}
