package imapd

import (
	"context"
	"strings"

	"candor/internal/proto/imap"
)

// maxProgram bounds what is kept of a client's name for itself, in octets.
const maxProgram = 80

// id names the server, without its version, which would help an attacker most. RFC 2971.
func (s *session) id(_ context.Context, a imap.ID) (imap.Response, error) {
	s.program = program(a.Fields)
	if s.account != nil {
		s.server.directory.Introduced(s.owner, s.attempt(s.method, false))
	}
	s.sendf(`* ID ("name" "Candor")`)
	return imap.Response{}, nil
}

// program is the name and version in the fields and values of ID, as far as they can be printed.
func program(fields []string) string {
	var name, version string
	for i := 0; i+1 < len(fields); i += 2 {
		switch strings.ToLower(fields[i]) {
		case "name":
			name = fields[i+1]
		case "version":
			version = fields[i+1]
		}
	}
	text := strings.TrimSuffix(name+"/"+version, "/")
	text = text[:min(len(text), maxProgram)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
