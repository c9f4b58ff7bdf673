package sasl

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"candor/internal/mail"
)

// Prepare returns a password in the form in which it is hashed and compared: the OpaqueString
// profile (RFC 8265, section 4.2). The result is a copy, which the caller may wipe.
//
// Errors: Syntax when the profile refuses the password, as it does an empty one.
func Prepare(password []byte) ([]byte, error) {
	// The profile maps nothing in printable ASCII; going round the library leaves no copies behind.
	if len(password) > 0 && printable(password) {
		return bytes.Clone(password), nil
	}
	// The library would replace what is not UTF-8, and so make different passwords equal.
	prepared, err := precis.OpaqueString.Bytes(password)
	if err != nil || !utf8.Valid(password) {
		return nil, mail.Errorf(mail.Syntax, "the password holds characters that a password may not have, or is empty")
	}
	return bytes.Clone(prepared), nil
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
