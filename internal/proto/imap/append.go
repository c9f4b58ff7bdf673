package imap

import (
	"strconv"
	"unicode/utf8"
)

// AppendString appends s as a quoted string or, where that cannot hold it, as a literal. With utf8Quoted
// UTF-8 may stand in a quoted string, which only clients of IMAP4rev2 expect (RFC 9051, section 4.3).
// NUL, which neither form can hold, is left out.
func AppendString(dst []byte, s string, utf8Quoted bool) []byte {
	plain, eightBit, lines := true, false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == 0:
			return AppendString(dst, withoutNUL(s), utf8Quoted)
		case c == '\r' || c == '\n':
			lines = true
		case c == '"' || c == '\\':
			plain = false
		case c >= 0x80:
			eightBit = true
		}
	}
	if lines || eightBit && (!utf8Quoted || !utf8.ValidString(s)) {
		return appendLiteral(dst, s)
	}
	if plain {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	return appendQuoted(dst, s)
}

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

func withoutNUL(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != 0 {
			b = append(b, s[i])
		}
	}
	return string(b)
}

func appendLiteral(dst []byte, s string) []byte {
	dst = AppendLiteralMark(dst, int64(len(s)))
	return append(dst, s...)
}

// AppendLiteralMark appends "{n}" and CRLF, which n octets must follow.
func AppendLiteralMark(dst []byte, n int64) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "}\r\n"...)
}

// AppendNString appends NIL for an empty string.
func AppendNString(dst []byte, s string, utf8Quoted bool) []byte {
	if s == "" {
		return append(dst, "NIL"...)
	}
	return AppendString(dst, s, utf8Quoted)
}

// AppendAstring appends s as an atom where it can.
func AppendAstring(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, `""`...)
	}
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&astringClass == 0 {
			return AppendString(dst, s, false)
		}
	}
	return append(dst, s...)
}

// AppendFlags appends a parenthesised list.
func AppendFlags(dst []byte, flags []string) []byte {
	dst = append(dst, '(')
	for i, f := range flags {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, f...)
	}
	return append(dst, ')')
}

// AppendNumbered appends "* n what" and CRLF, such as "* 3 EXISTS".
func AppendNumbered(dst []byte, n int, what string) []byte {
	dst = append(dst, "* "...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	dst = append(dst, ' ')
	dst = append(dst, what...)
	return append(dst, "\r\n"...)
}

// MailboxName writes a mailbox name for the wire: in UTF-8 for a client that enabled it, in
// modified UTF-7 for others.
func MailboxName(name string, utf8 bool) string {
	if utf8 {
		return name
	}
	return EncodeMUTF7(name)
}

// StatusData has the values of STATUS.
type StatusData struct {
	Messages, Recent, UIDNext, UIDValidity, Unseen, Deleted, Size, HighestModSeq, AppendLimit, DeletedStorage uint64

	MailboxID string
}

// AppendStatus appends the items of d in parentheses.
func AppendStatus(dst []byte, items StatusItems, d StatusData) []byte {
	values := [...]uint64{d.Messages, d.Recent, d.UIDNext, d.UIDValidity, d.Unseen, d.Deleted, d.Size, d.HighestModSeq, d.AppendLimit, d.DeletedStorage}
	dst = append(dst, '(')
	sep := ""
	for i, s := range statusItems {
		if items&s.item == 0 {
			continue
		}
		dst = append(dst, sep...)
		dst = append(dst, s.name...)
		dst = append(dst, ' ')
		sep = " "
		if s.item == StatusMailboxID {
			dst = append(append(append(dst, '('), d.MailboxID...), ')')
			continue
		}
		dst = strconv.AppendUint(dst, values[i], 10)
	}
	return append(dst, ')')
}
