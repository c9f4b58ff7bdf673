package directory

import (
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"candor/internal/mail"
)

// oldHash is a hash that another program made of a password. It verifies received passwords until the first right
// one, of which our own verifiers are made. In the store it is text: "{SCHEME}hash".
type oldHash struct {
	text   string
	memory uint32 // that verifying takes, in KiB
	// matches is given the octets that the client sent, for that is what the other program hashed.
	matches func(password []byte) bool
}

// scheme reads what follows the name of a scheme.
type scheme func(hash string) (oldHash, error)

// schemes are those of Dovecot, by their names there.
var schemes = map[string]scheme{
	"CRYPT": crypt("1", "5", "6", "2", "y"), "MD5-CRYPT": crypt("1"), "MD5": crypt("1"), "SHA256-CRYPT": crypt("5"), "SHA512-CRYPT": crypt("6"),
	"BLF-CRYPT": crypt("2"), "ARGON2ID": crypt("argon2id"), "ARGON2I": crypt("argon2i"),
	"SHA": plainSum("SHA"), "SHA1": plainSum("SHA"), "SHA256": plainSum("SHA256"), "SHA512": plainSum("SHA512"),
	"LDAP-MD5": plainSum("MD5"), "PLAIN-MD5": plainSum("MD5"),
	"SSHA": saltedSum("SHA"), "SSHA256": saltedSum("SHA256"), "SSHA512": saltedSum("SHA512"), "SMD5": saltedSum("MD5"),
	"PBKDF2": pbkdf2SHA1, "SCRAM-SHA-256": foreignScram, "DIGEST-MD5": ha1, "CRAM-MD5": cramContexts, "HMAC-MD5": cramContexts,
}

// plainSchemes say that the password itself follows. It is hashed when it is imported.
var plainSchemes = []string{"PLAIN", "CLEARTEXT", "CLEAR"}

// splitScheme takes the name of the scheme off. What begins like the output of crypt(3) needs none.
func splitScheme(text string) (name, hash string, err error) {
	if strings.HasPrefix(text, "$") {
		return "CRYPT", text, nil
	}
	name, hash, found := strings.Cut(strings.TrimPrefix(text, "{"), "}")
	if !found || !strings.HasPrefix(text, "{") || hash == "" {
		return "", "", mail.Errorf(mail.Syntax, "that is no password hash: it begins with its scheme, such as {SHA512-CRYPT}")
	}
	return strings.ToUpper(name), hash, nil
}

// parseOldHash reads "{SCHEME}hash" for the account at an address. Errors: Syntax; TooBig when verifying it would take too long or too
// much memory.
func parseOldHash(text string, a mail.Address) (*oldHash, error) {
	name, hash, err := splitScheme(text)
	if err != nil {
		return nil, err
	}
	name, encoding, _ := strings.Cut(name, ".")
	if hash, err = recode(name, encoding, hash); err != nil {
		return nil, err
	}
	if name == "DIGEST-MD5" {
		hash = withRealm(hash, a)
	}
	read, ok := schemes[name]
	if !ok {
		return nil, mail.Errorf(mail.Syntax, "the password scheme {%.30s} is not known; known are %s", name, strings.Join(slices.Sorted(maps.Keys(schemes)), ", "))
	}
	h, err := read(hash)
	if err != nil {
		return nil, mail.Errorf(mail.AsError(err).Kind, "{%s}: %s", name, mail.AsError(err).Text)
	}
	h.text = "{" + name + "}" + hash
	return &h, nil
}

// recode undoes what {SCHEME.HEX} says of the hash; base64 is what we expect.
func recode(name, encoding, hash string) (string, error) {
	switch encoding {
	case "", "B64", "BASE64":
		return hash, nil
	case "HEX":
		if b, err := hex.DecodeString(hash); err == nil {
			return base64.StdEncoding.EncodeToString(b), nil
		}
	}
	return "", mail.Errorf(mail.Syntax, "{%s.%s}: the hash is not so encoded", name, encoding)
}

// name is that of the scheme.
func (h *oldHash) name() string {
	name, _, _ := strings.Cut(h.text[1:], "}")
	return name
}

// MarshalText writes "{SCHEME}hash".
func (h *oldHash) MarshalText() ([]byte, error) { return []byte(h.text), nil }

// UnmarshalText reads what MarshalText writes, within the bounds of an import.
func (h *oldHash) UnmarshalText(text []byte) error {
	parsed, err := parseOldHash(string(text), mail.Address{})
	if err != nil {
		return errDamaged
	}
	*h = *parsed
	return nil
}

// malformed says that a hash has not the form of its scheme.
func malformed() error { return mail.Errorf(mail.Syntax, "the hash is damaged or cut off") }

// tooCostly says that verifying a hash would keep others waiting.
func tooCostly(what string, most int) error {
	return mail.Errorf(mail.TooBig, "verifying it would take too long: %s is at most %d; give the account a new password", what, most)
}
