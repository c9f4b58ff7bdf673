package imap

import (
	"encoding/base64"
	"fmt"
)

// DecodeBase64 decodes a SASL response: "=" is an empty one (RFC 4959, section 3), as is nothing at
// all. The result is not nil.
func DecodeBase64(line []byte) ([]byte, error) {
	if string(line) == "=" {
		return []byte{}, nil
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Strict().Decode(out, line)
	if err != nil {
		return nil, fmt.Errorf("decoding base64: %w", err)
	}
	return out[:n], nil
}

// AppendContinue appends a continuation request that bears a SASL challenge.
func AppendContinue(dst, challenge []byte) []byte {
	dst = append(dst, "+ "...)
	dst = base64.StdEncoding.AppendEncode(dst, challenge)
	return append(dst, "\r\n"...)
}
