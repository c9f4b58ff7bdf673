package smtpd

import (
	"context"
	"strconv"

	"candor/internal/proto/smtp"
)

// ehlo introduces the client and lists what it may use. It also ends a transaction (RFC 5321,
// section 4.1.4).
func (s *session) ehlo(_ context.Context, cmd smtp.Ehlo) (smtp.Reply, error) {
	s.introduce(cmd.Name, greeted)
	lines := []string{string(s.hostname), "PIPELINING", "SIZE " + strconv.FormatInt(s.server.Limits.MessageSize, 10), "ENHANCEDSTATUSCODES"}
	return smtp.Reply{Code: 250, Lines: append(lines, s.keywords()...)}, nil
}

// helo is ehlo for a client that knows no extensions.
func (s *session) helo(_ context.Context, cmd smtp.Helo) (smtp.Reply, error) {
	s.introduce(cmd.Name, helloed)
	return smtp.NewReply(250, "", string(s.hostname)), nil
}

func (s *session) introduce(name string, hello state) {
	s.resetTransaction()
	s.name, s.state, s.hello = name, hello, hello
}

// keywords are what the rows of the table announce, as far as they would run.
func (s *session) keywords() []string {
	var all []string
	clear := s.conn.NeedsTLS()
	for _, c := range order {
		if c.keywords != nil && (!clear || c.flags&beforeTLS != 0) {
			all = append(all, c.keywords(s)...)
		}
	}
	return all
}
