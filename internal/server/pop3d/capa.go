package pop3d

import (
	"context"

	"candor/internal/server/listen"
)

// capa lists the capabilities: those of the commands that work now, and of those that will after
// login. Before TLS nothing is told that invites a password. RFC 2449, section 5.
func (s *session) capa(_ context.Context, args arguments) (reply, error) {
	if err := args.none(); err != nil {
		return reply{}, err
	}
	return reply{text: "Capabilities follow", lines: func(c *listen.Conn) error {
		for i := range commands {
			if line := s.capability(&commands[i]); line != "" {
				c.WriteString(line)
				c.WriteString("\r\n")
			}
		}
		return nil
	}}, nil
}

func (s *session) capability(cmd *command) string {
	if cmd.capability == nil || !s.mayLogIn() && cmd.flags&beforeTLS == 0 {
		return ""
	}
	return cmd.capability(s)
}

// noop does nothing. RFC 1939, section 5.
func (s *session) noop(_ context.Context, args arguments) (reply, error) { return ok(""), args.none() }
