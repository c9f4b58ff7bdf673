package imap

import (
	"strings"
	"time"
)

// The forms of date and date-time of RFC 9051, section 9.
const (
	dateForm     = "2-Jan-2006"
	dateTimeForm = "_2-Jan-2006 15:04:05 -0700"
)

// date reads a date, which may be quoted.
func (l *lexer) date() time.Time {
	var s string
	if l.peek() == '"' {
		s = l.quoted()
	} else {
		s = l.atom()
	}
	if l.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(dateForm, titleMonth(s))
	if err != nil {
		l.fail("%.40q is not a date", s)
		return time.Time{}
	}
	return t
}

// dateTime reads a quoted date-time.
func (l *lexer) dateTime() time.Time {
	s := l.quoted()
	if l.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(dateTimeForm, titleMonth(s))
	if err != nil {
		l.fail("%.40q is not a date and time", s)
		return time.Time{}
	}
	return t
}

// titleMonth gives the month the case that time.Parse wants.
func titleMonth(s string) string {
	day, rest, ok := strings.Cut(s, "-")
	if !ok || len(rest) < 3 {
		return s
	}
	return day + "-" + strings.ToUpper(rest[:1]) + strings.ToLower(rest[1:3]) + rest[3:]
}

// AppendDateTime appends t as a date-time, in its own zone.
func AppendDateTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.AppendFormat(dst, dateTimeForm)
	return append(dst, '"')
}
