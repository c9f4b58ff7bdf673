package mail

import "strings"

// LocalPart is the text before the @ of an address, unquoted, as it was written: its case is
// kept, since RFC 5321, section 2.4 leaves its meaning to the receiving host.
type LocalPart string

// Address is a mailbox address of RFC 5321, section 4.1.2. The zero value is no address.
type Address struct {
	Local  LocalPart
	Domain Domain
}

// maxLocal and maxPath are the limits of RFC 5321, section 4.5.3.1.
const (
	maxLocal = 64
	maxPath  = 254
)

// ParseAddress parses local-part "@" domain. The local part may be a dot-string or a quoted string
// and may hold UTF-8 (RFC 6531, section 3.3).
//
// Errors: Syntax.
func ParseAddress(s string) (Address, error) {
	local, rest, err := cutLocal(s)
	if err != nil {
		return Address{}, err
	}
	d, err := ParseDomain(rest)
	if err != nil {
		return Address{}, err
	}
	if len(local) > maxLocal || len(local)+1+len(d) > maxPath {
		return Address{}, Errorf(Syntax, "address %.80q is too long", s)
	}
	return Address{local, d}, nil
}

// cutLocal splits s at the @ that ends its local part, and unquotes the latter.
func cutLocal(s string) (LocalPart, string, error) {
	if !strings.HasPrefix(s, `"`) {
		l, d, ok := strings.Cut(s, "@")
		if !ok || !dotString(l) {
			return "", "", Errorf(Syntax, "%.80q is not an address", s)
		}
		return LocalPart(l), d, nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			if i+1 < len(s) && s[i+1] == '@' && validUTF8(b.String()) {
				return LocalPart(b.String()), s[i+2:], nil
			}
			return "", "", Errorf(Syntax, "%.80q is not an address", s)
		case c == '\\' && i+1 < len(s):
			i++
			if s[i] < ' ' || s[i] > '~' {
				return "", "", Errorf(Syntax, "%.80q is not an address", s)
			}
			b.WriteByte(s[i])
		case c < ' ' || c == 0x7f:
			return "", "", Errorf(Syntax, "%.80q is not an address", s)
		default:
			b.WriteByte(c)
		}
	}
	return "", "", Errorf(Syntax, "%.80q is not an address", s)
}

func validUTF8(s string) bool { return strings.ToValidUTF8(s, "") == s }

// dotString reports whether s is a Dot-string, with UTF8-non-ascii among its atext.
func dotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") || !validUTF8(s) {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c == 0x7f || strings.IndexByte(`()<>[]:;@\,"`, c) >= 0 {
			return false
		}
	}
	return true
}

// String returns the address in the form of RFC 5321, with a quoted local part where it must be.
func (a Address) String() string {
	if a == (Address{}) {
		return ""
	}
	return a.Local.String() + "@" + string(a.Domain)
}

// String quotes the local part where it must be.
func (l LocalPart) String() string {
	s := string(l)
	if dotString(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// ASCII reports whether the address can travel without SMTPUTF8.
func (a Address) ASCII() bool {
	for i := 0; i < len(a.Local); i++ {
		if a.Local[i] >= 0x80 {
			return false
		}
	}
	return true
}

// Canonical returns the address as Candor's own domains compare it: the local part in lower case.
func (a Address) Canonical() Address {
	return Address{LocalPart(strings.ToLower(string(a.Local))), a.Domain}
}

// Detail splits a "+" subaddress (RFC 5233) off: "ann+lists" is "ann" and "lists".
func (l LocalPart) Detail() (user LocalPart, detail string) {
	u, d, _ := strings.Cut(string(l), "+")
	if u == "" {
		return l, ""
	}
	return LocalPart(u), d
}

// MarshalText and UnmarshalText make an Address a string in JSON and in the store.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText parses text as ParseAddress does; empty text is the zero Address.
func (a *Address) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Address{}
		return nil
	}
	p, err := ParseAddress(string(text))
	*a = p
	return err
}
