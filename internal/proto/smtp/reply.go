// Package smtp is the grammar of SMTP, both ends of the wire: commands, parameters, replies, DATA and
// BDAT framing, and a client over a given connection (RFC 5321). It holds no policy and dials nothing.
package smtp

import "candor/internal/mail"

// Reply is a reply with its lines, which hold neither code nor status. A zero Status is left out.
type Reply struct {
	Code   int
	Status mail.Status
	Lines  []string
}
