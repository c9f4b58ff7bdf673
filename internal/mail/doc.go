// Package mail holds the words that all of Candor shares: domains, addresses, envelopes,
// statuses, errors and the state of a transport. It does no I/O and imports nothing of Candor.
package mail
