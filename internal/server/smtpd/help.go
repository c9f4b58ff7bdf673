package smtpd

import (
	"context"
	"strings"

	"candor/internal/proto/smtp"
)

// help names the commands. RFC 5321, section 4.1.1.8.
func (s *session) help(context.Context, smtp.Help) (smtp.Reply, error) {
	var verbs []string
	for _, c := range order {
		if c.flags&credential == 0 || s.submission {
			verbs = append(verbs, c.verb)
		}
	}
	lines := []string{"Commands: " + strings.Join(verbs, " "), "See " + s.server.helpURL()}
	return smtp.Reply{Code: 214, Status: smtp.OK("2.0.0", "").Status, Lines: lines}, nil
}
