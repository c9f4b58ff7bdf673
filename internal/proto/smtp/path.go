package smtp

import (
	"strings"

	"candor/internal/mail"
)

// cutPath takes "<...>" off the front of s and returns what was within and what follows. A ">" in a
// quoted string does not end it.
func cutPath(s string) (path, rest string, ok bool) {
	if !strings.HasPrefix(s, "<") {
		return "", "", false
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return s[1:i], s[i+1:], true
		}
	}
	return "", "", false
}

// parseMailbox reads the inside of a path. A source route is checked for its form and dropped, as
// RFC 5321, appendix C asks.
func parseMailbox(path string) (mail.Address, error) {
	if strings.HasPrefix(path, "@") {
		route, mailbox, ok := strings.Cut(path, ":")
		if !ok || !isRoute(route) {
			return mail.Address{}, mail.Errorf(mail.Syntax, "%.80q is not a path", path)
		}
		path = mailbox
	}
	return mail.ParseAddress(path)
}

// isRoute reports whether s is an A-d-l: "@one,@two".
func isRoute(s string) bool {
	for _, at := range strings.Split(s, ",") {
		host, ok := strings.CutPrefix(at, "@")
		if !ok {
			return false
		}
		if _, err := mail.ParseDomain(host); err != nil {
			return false
		}
	}
	return true
}

// cutKeyword takes "FROM:" or "TO:" off the front of s. Spaces after the colon are no part of the
// grammar, but so common that every large server skips them.
func cutKeyword(s, keyword string) (string, bool) {
	if len(s) < len(keyword) || !strings.EqualFold(s[:len(keyword)], keyword) {
		return "", false
	}
	return strings.TrimLeft(s[len(keyword):], " "), true
}

// ascii reports whether s can be sent without SMTPUTF8.
func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
