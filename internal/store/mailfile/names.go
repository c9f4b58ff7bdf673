package mailfile

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"

	"candor/internal/proto/imap"
)

// decodePart reads one level of a mailbox name as a file system has it: in modified UTF-7, of which Courier writes
// more characters than it must so that no dot is left, or as UTF-8 (Dovecot's mailbox_list_utf8).
func decodePart(part string) (string, error) {
	name := part
	if decoded, err := imap.DecodeMUTF7(part); err == nil {
		name = decoded
	} else if decoded, ok := lenientMUTF7(part); ok {
		name = decoded
	}
	if name == "" || name == "." || name == ".." || !utf8.ValidString(name) || strings.ContainsAny(name, "/\x00\r\n") {
		return "", errName
	}
	return name, nil
}

// mutf7 is the base64 of modified UTF-7 (RFC 3501, section 5.1.3).
var mutf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// lenientMUTF7 reads modified UTF-7 in which also characters are shifted that need not be.
func lenientMUTF7(s string) (string, bool) {
	var b strings.Builder
	for s != "" {
		plain, shifted, found := strings.Cut(s, "&")
		b.WriteString(plain)
		if !found {
			return b.String(), true
		}
		code, after, closed := strings.Cut(shifted, "-")
		if !closed {
			return "", false
		}
		if code == "" {
			b.WriteByte('&')
		}
		raw, err := mutf7.DecodeString(code)
		if err != nil || len(raw)%2 != 0 {
			return "", false
		}
		text, err := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewDecoder().Bytes(raw)
		if err != nil {
			return "", false
		}
		b.Write(text)
		s = after
	}
	return b.String(), true
}

// encodePart writes one level of a mailbox name in modified UTF-7, with dots shifted where dotted says so.
func encodePart(part string, dotted func(at int) bool) (string, error) {
	if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\x00") {
		return "", errName
	}
	var b strings.Builder
	for i := 0; i < len(part); {
		n := i
		for n < len(part) && (part[n] != '.' || !dotted(n)) {
			n++
		}
		b.WriteString(imap.EncodeMUTF7(part[i:n]))
		if n < len(part) {
			b.WriteString("&AC4-")
			n++
		}
		i = n
	}
	return b.String(), nil
}

// decodeLevels reads the levels of a mailbox name.
func decodeLevels(parts []string) (string, error) {
	names := make([]string, len(parts))
	for i, p := range parts {
		var err error
		if names[i], err = decodePart(p); err != nil {
			return "", err
		}
	}
	return strings.Join(names, "/"), nil
}

// maildirFolder is the name of a mailbox's folder in a Maildir++.
func maildirFolder(name string) (string, error) {
	if name == inbox {
		return ".", nil
	}
	folder := ""
	for part := range strings.SplitSeq(name, "/") {
		encoded, err := encodePart(part, func(int) bool { return true })
		if err != nil {
			return "", err
		}
		folder += "." + encoded
	}
	return folder, nil
}

const (
	inbox      = "INBOX"
	mboxSuffix = ".mbox"
	sbdSuffix  = ".sbd" // Thunderbird's folder of a mailbox's children
)

// mboxPath is the path of a mailbox's file in a tree of mboxes; its children are in a folder of its name.
func mboxPath(name string) (string, error) {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		special := len(part)
		for _, suffix := range []string{mboxSuffix, sbdSuffix, ".msf"} {
			if strings.HasSuffix(part, suffix) {
				special = len(part) - len(suffix)
			}
		}
		encoded, err := encodePart(part, func(at int) bool { return at == 0 || at == special })
		if err != nil {
			return "", err
		}
		parts[i] = encoded
	}
	return strings.Join(parts, "/") + mboxSuffix, nil
}
