package message

import (
	"crypto/rand"
	"strings"
	"time"

	"candor/internal/mail"
)

// Complete returns the header of a submitted message with a Date and a Message-ID put on top where
// they are missing, and nothing else changed (RFC 6409, sections 8.2 and 8.3). host is the right side
// of a new Message-ID. h itself is returned when nothing is missing.
func Complete(h Header, host mail.Domain, now time.Time) Header {
	var missing []byte
	if h.Count("Date") == 0 {
		missing = appendField(missing, "Date", now.Format(dateFormat))
	}
	if h.Count("Message-ID") == 0 {
		missing = appendField(missing, "Message-ID", NewMessageID(host))
	}
	if missing == nil {
		return h
	}
	return append(missing, h...)
}

// NewMessageID returns a msg-id that is unique (RFC 5322, section 3.6.4). It tells nothing but host.
func NewMessageID(host mail.Domain) string {
	return "<" + strings.ToLower(rand.Text()) + "@" + string(host) + ">"
}
