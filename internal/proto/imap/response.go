package imap

import (
	"candor/internal/mail"
)

// Condition is the outcome of a command (RFC 9051, section 7.1).
type Condition uint8

// The conditions.
const (
	OK Condition = iota
	No
	Bad
)

func (c Condition) String() string { return [...]string{"OK", "NO", "BAD"}[c] }

// Response ends a command. Code is a response code without its brackets; empty: none.
type Response struct {
	Condition Condition
	Code      string
	Text      string
}

// Append appends the response to the command with tag.
func (r Response) Append(dst []byte, tag string) []byte {
	dst = append(dst, tag...)
	dst = append(dst, ' ')
	dst = append(dst, r.Condition.String()...)
	dst = append(dst, ' ')
	if r.Code != "" {
		dst = append(dst, '[')
		dst = append(dst, r.Code...)
		dst = append(dst, "] "...)
	}
	dst = appendText(dst, r.Text)
	return append(dst, "\r\n"...)
}

// appendText appends text for people, of which only printable US-ASCII goes out: what a stranger
// put into an error must not end the line.
func appendText(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, '-')
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' || c > '~' {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}

// PrivacyRequired is the code of what is refused for want of encryption (RFC 5530, section 3).
const PrivacyRequired = "PRIVACYREQUIRED"

// conditions is the IMAP column of docs/errors.md. The codes are those of RFC 5530 and RFC 9051, section 7.1.
var conditions = map[mail.Kind]Response{
	mail.Internal:      {Condition: No, Code: "SERVERBUG"},
	mail.Syntax:        {Condition: Bad},
	mail.Sequence:      {Condition: Bad},
	mail.Unsupported:   {Condition: No, Code: "CANNOT"},
	mail.NoAddress:     {Condition: No, Code: "NONEXISTENT"},
	mail.NotFound:      {Condition: No, Code: "NONEXISTENT"},
	mail.Exists:        {Condition: No, Code: "ALREADYEXISTS"},
	mail.InUse:         {Condition: No, Code: "INUSE"},
	mail.Expunged:      {Condition: No, Code: "EXPUNGEISSUED"},
	mail.OverQuota:     {Condition: No, Code: "OVERQUOTA"},
	mail.TooBig:        {Condition: No, Code: "TOOBIG"},
	mail.TooMany:       {Condition: No, Code: "LIMIT"},
	mail.AuthFailed:    {Condition: No, Code: "AUTHENTICATIONFAILED"},
	mail.AuthNeeded:    {Condition: Bad},
	mail.Forbidden:     {Condition: No, Code: "NOPERM"},
	mail.NeedTLS:       {Condition: No, Code: PrivacyRequired},
	mail.Refused:       {Condition: No, Code: "NOPERM"},
	mail.Loop:          {Condition: No, Code: "CANNOT"},
	mail.Expired:       {Condition: No, Code: "UNAVAILABLE"},
	mail.Unavailable:   {Condition: No, Code: "UNAVAILABLE"},
	mail.RemoteFailure: {Condition: No, Code: "UNAVAILABLE"},
}

// CodeFor translates a failure, which is not nil, for the client.
func CodeFor(err error) Response {
	e := mail.AsError(err)
	r, ok := conditions[e.Kind]
	if !ok {
		r = conditions[mail.Internal]
	}
	r.Text = e.Text
	return r
}
