package imapd

import (
	"context"

	"candor/internal/proto/imap"
)

// noop does nothing; the loop tells what has changed. RFC 9051, section 6.1.2.
func (s *session) noop(context.Context, imap.None) (imap.Response, error) {
	return imap.Response{}, nil
}

// check does nothing: what was acknowledged is durable. RFC 3501, section 6.4.1.
func (s *session) check(context.Context, imap.None) (imap.Response, error) {
	return imap.Response{}, nil
}
