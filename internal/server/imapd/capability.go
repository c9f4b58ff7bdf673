package imapd

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"candor/internal/proto/imap"
)

// capability answers CAPABILITY. RFC 9051, section 6.1.1.
func (s *session) capability(context.Context, imap.None) (imap.Response, error) {
	s.send(append(append(append(s.scratch, "* CAPABILITY "...), s.capabilities()...), "\r\n"...))
	return imap.Response{}, nil
}

// capabilities lists what the client may use now (specification, section 2.4): before TLS next to
// nothing, before login also the mechanisms.
func (s *session) capabilities() string {
	if !s.mayLogIn() {
		return strings.Join(s.clearCapabilities(), " ")
	}
	list := append(slices.Clone(announced), "APPENDLIMIT="+strconv.FormatInt(s.server.limits.Message, 10))
	if s.account == nil && s.conn.CanStartTLS() && !s.conn.UnderTLS() {
		list = append(list, "STARTTLS")
	}
	if s.account == nil && s.server.directory.Hidden(s.attempt(loginMethod, false)) {
		list = append(list, "LOGINDISABLED")
	}
	if s.account == nil {
		for _, m := range s.server.directory.Mechanisms(s.attempt("", false)) {
			list = append(list, "AUTH="+m)
		}
	}
	return strings.Join(list, " ")
}

func (s *session) clearCapabilities() []string {
	list := []string{"IMAP4rev2", "IMAP4rev1"}
	if s.conn.CanStartTLS() {
		list = append(list, "STARTTLS")
	}
	return append(list, "LOGINDISABLED", "ID", "SASL-IR")
}
