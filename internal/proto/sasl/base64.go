package sasl

import (
	"bytes"
	"encoding/base64"

	"candor/internal/mail"
)

// ErrCancelled is returned by DecodeResponse for "*", by which a client gives an exchange up. Its
// kind is Syntax, since SMTP answers 501 and IMAP BAD (RFC 4954, section 4; RFC 9051, section 6.2.2).
var ErrCancelled = mail.Errorf(mail.Syntax, "Authentication cancelled").With(5, 7, 0)

var encoding = base64.StdEncoding.Strict()

// Encode returns a challenge or response as a base64 line without its line end.
func Encode(message []byte) string { return encoding.EncodeToString(message) }

// EncodeInitial returns an initial response as it stands on a command line: "=" stands for an
// empty one (RFC 4954, section 4).
func EncodeInitial(response []byte) string {
	if len(response) == 0 {
		return "="
	}
	return Encode(response)
}

// DecodeInitial decodes an initial response that stands on a command line, where "=" is an empty
// one. The result is never nil without an error.
//
// Errors: Syntax.
func DecodeInitial(text []byte) ([]byte, error) {
	if len(text) == 1 && text[0] == '=' {
		return []byte{}, nil
	}
	if len(text) == 0 {
		return nil, mail.Errorf(mail.Syntax, "an empty initial response is written \"=\"")
	}
	return decode(text)
}

// DecodeResponse decodes a line, without its line end, that answers a challenge. The result is
// never nil without an error.
//
// Errors: ErrCancelled for "*"; Syntax.
func DecodeResponse(line []byte) ([]byte, error) {
	if len(line) == 1 && line[0] == '*' {
		return nil, ErrCancelled
	}
	return decode(line)
}

// decode is strict (RFC 4648, sections 3.3 and 3.5). Go's decoder skips line ends, which have no
// place in a message that is one line.
func decode(text []byte) ([]byte, error) {
	if encoding.DecodedLen(len(text)) > maxBearer {
		return nil, mail.Errorf(mail.Syntax, "the response is too long")
	}
	if bytes.ContainsAny(text, "\r\n") {
		return nil, mail.Errorf(mail.Syntax, "the response is not base64")
	}
	message := make([]byte, encoding.DecodedLen(len(text)))
	n, err := encoding.Decode(message, text)
	if err != nil {
		clear(message)
		return nil, mail.Errorf(mail.Syntax, "the response is not base64")
	}
	return message[:n], nil
}
