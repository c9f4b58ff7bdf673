package imap

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"candor/internal/mail"
)

// mutf7 is the base64 of modified UTF-7: "," in place of "/", no padding (RFC 3501, section 5.1.3).
var mutf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding).Strict()

// EncodeMUTF7 writes a mailbox name in modified UTF-7 for clients that have not enabled IMAP4rev2.
func EncodeMUTF7(name string) string {
	if plainMUTF7(name) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		c := name[i]
		switch {
		case c == '&':
			b.WriteString("&-")
			i++
		case c >= ' ' && c <= '~':
			b.WriteByte(c)
			i++
		default:
			n := i
			for n < len(name) && (name[n] < ' ' || name[n] > '~') {
				n++
			}
			b.WriteString("&" + mutf7.EncodeToString(toUTF16(name[i:n])) + "-")
			i = n
		}
	}
	return b.String()
}

func plainMUTF7(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' || s[i] == '&' {
			return false
		}
	}
	return true
}

func eightBit(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func toUTF16(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return b
}

// DecodeMUTF7 reads a mailbox name in modified UTF-7, of which it takes the one canonical form only.
//
// A name with 8-bit octets is read as UTF-8 with "&-" for "&": some clients, such as those of go-imap,
// write names so to a server that announces IMAP4rev2, whether they have enabled it or not.
//
// Errors: Syntax.
func DecodeMUTF7(s string) (string, error) {
	if plainMUTF7(s) {
		return s, nil
	}
	bad := mail.Errorf(mail.Syntax, "mailbox name is not modified UTF-7")
	if eightBit(s) {
		if !utf8.ValidString(s) || strings.Count(s, "&-") != strings.Count(s, "&") {
			return "", bad
		}
		return strings.ReplaceAll(s, "&-", "&"), nil
	}
	var b strings.Builder
	for rest := s; rest != ""; {
		plain, shifted, found := strings.Cut(rest, "&")
		b.WriteString(plain)
		if !found {
			break
		}
		code, after, closed := strings.Cut(shifted, "-")
		if !closed {
			return "", bad
		}
		if code == "" {
			b.WriteByte('&')
		} else {
			raw, err := mutf7.DecodeString(code)
			if err != nil || len(raw)%2 != 0 {
				return "", bad
			}
			b.WriteString(fromUTF16(raw))
		}
		rest = after
	}
	if name := b.String(); utf8.ValidString(name) && EncodeMUTF7(name) == s {
		return name, nil
	}
	return "", bad
}

func fromUTF16(raw []byte) string {
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	return string(utf16.Decode(units))
}
