package sasl

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"candor/internal/mail"
)

// maxBearer bounds a message with a token: what fits on the longest line that SMTP, IMAP and POP3 take during an
// exchange, of 12,288 octets (RFC 4954, section 4). A token is thus of at most about 9,100 octets.
const maxBearer = 12288 / 4 * 3

// Bearer is what a client says by OAUTHBEARER or XOAUTH2. The token is a part of the message it was parsed from.
type Bearer struct {
	Identity string // the account that it wants; empty: whoever the token is of
	Token    []byte // as RFC 6750, section 2.1 spells it; empty where the client only asks for the Discovery
}

// VerifyBearer decides whether a token lets the client in. It must not keep the token. Its error ends the exchange as
// it stands.
type VerifyBearer func(ctx context.Context, b Bearer) error

// Discovery tells a refused client where to get a better token (RFC 7628, section 3.2.2).
type Discovery struct {
	Scope         string // separated by spaces; empty: none is needed
	Configuration string // URL of the issuer's metadata (RFC 8414); only of OAUTHBEARER
}

// BearerServer is the server's end of OAUTHBEARER (RFC 7628) and of XOAUTH2, which Google and Microsoft document. It
// is not to be used concurrently.
type BearerServer struct {
	mechanism string
	verify    VerifyBearer
	discovery Discovery
	ended     bool
}

// NewBearerServer begins an exchange of a mechanism, OAuthBearer or XOAuth2, that verify decides.
func NewBearerServer(mechanism string, d Discovery, verify VerifyBearer) *BearerServer {
	return &BearerServer{mechanism: mechanism, verify: verify, discovery: d}
}

// Next takes the client's message. AuthFailed comes with a challenge that says why in JSON; the client answers it with
// one response more, of which nothing depends, before it takes the refusal (RFC 7628, section 3.2.3).
//
// Errors: Syntax, Sequence, and those of VerifyBearer.
func (s *BearerServer) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	if s.ended {
		return nil, false, over()
	}
	if response == nil {
		return []byte{}, false, nil
	}
	s.ended = true
	b, ok := parseBearer(s.mechanism, response)
	if !ok {
		return nil, false, malformed(s.mechanism)
	}
	err = s.verify(ctx, b)
	switch {
	case err == nil:
		return nil, true, nil
	case mail.IsKind(err, mail.AuthFailed):
		return s.word(), false, err
	}
	return nil, false, err
}

// word is the challenge of a refusal, the same for every cause.
func (s *BearerServer) word() []byte {
	d := s.discovery
	var word any = struct {
		Status        string `json:"status"`
		Scope         string `json:"scope,omitempty"`
		Configuration string `json:"openid-configuration,omitempty"`
	}{"invalid_token", d.Scope, d.Configuration}
	if s.mechanism == XOAuth2 {
		word = struct {
			Status  string `json:"status"`
			Schemes string `json:"schemes"`
			Scope   string `json:"scope"`
		}{"401", "bearer", d.Scope}
	}
	text, _ := json.Marshal(word) // strings alone
	return text
}

// parseBearer takes the message of a mechanism apart.
func parseBearer(mechanism string, message []byte) (b Bearer, ok bool) {
	if len(message) > maxBearer || !utf8.Valid(message) || bytes.IndexByte(message, 0) >= 0 {
		return Bearer{}, false
	}
	head, rest, ok := bytes.Cut(message, []byte{1})
	if !ok {
		return Bearer{}, false
	}
	if mechanism == XOAuth2 {
		b.Identity, ok = strings.CutPrefix(string(head), "user=")
		ok = ok && b.Identity != ""
	} else {
		b.Identity, ok = parseGS2(string(head))
	}
	if !ok {
		return Bearer{}, false
	}
	b.Token, ok = parsePairs(rest)
	return b, ok
}

// parseGS2 returns the authorization identity of a gs2-header (RFC 5801, section 4). These mechanisms have no channel
// binding, so the flag is "n" or "y".
func parseGS2(header string) (identity string, ok bool) {
	flag, rest, _ := strings.Cut(header, ",")
	identity, end := strings.CutSuffix(rest, ",")
	if flag != "n" && flag != "y" || !end {
		return "", false
	}
	if identity == "" {
		return "", true
	}
	if strings.Contains(identity, ",") {
		return "", false
	}
	return saslName(identity, "a=")
}

// parsePairs finds the token in *(key "=" value %x01) %x01 (RFC 7628, section 3.1). Pairs that it does not know, host
// and port among them, are only checked: the connection itself tells where it goes.
func parsePairs(rest []byte) (token []byte, ok bool) {
	found := false
	for {
		pair, after, more := bytes.Cut(rest, []byte{1})
		if !more {
			return nil, false
		}
		if len(pair) == 0 {
			return token, found && len(after) == 0
		}
		key, value, isPair := bytes.Cut(pair, []byte("="))
		if !isPair || !isKey(key) || !isValue(value) {
			return nil, false
		}
		if string(key) == "auth" {
			if found {
				return nil, false
			}
			found = true
			if token, ok = parseCredentials(value); !ok {
				return nil, false
			}
		}
		rest = after
	}
}

// parseCredentials takes "Bearer" SP b64token (RFC 6750, section 2.1), or nothing at all, by which a client asks for
// the Discovery (RFC 7628, section 4.3).
func parseCredentials(value []byte) (token []byte, ok bool) {
	if len(value) == 0 {
		return nil, true
	}
	scheme, token, ok := bytes.Cut(value, []byte(" "))
	token = bytes.TrimLeft(token, " ")
	body := bytes.TrimRight(token, "=")
	if !ok || !strings.EqualFold(string(scheme), "Bearer") || len(body) == 0 {
		return nil, false
	}
	for _, c := range body {
		if !isLetter(c) && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/", rune(c)) {
			return nil, false
		}
	}
	return token, true
}

func isKey(key []byte) bool {
	for _, c := range key {
		if !isLetter(c) {
			return false
		}
	}
	return len(key) > 0
}

func isValue(value []byte) bool {
	for _, c := range value {
		if (c < ' ' || c > '~') && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
