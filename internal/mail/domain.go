package mail

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// Domain is a domain name in its canonical form: lower-case A-labels without a final dot
// (RFC 5890), or an address literal such as "[192.0.2.1]" (RFC 5321, section 4.1.3).
// The zero value is no domain.
type Domain string

// profile maps to A-labels; underscores and other non-LDH names are kept, since mail meets them.
var profile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false), idna.Transitional(false))

// ParseDomain makes s canonical. It accepts U-labels, A-labels and address literals.
//
// Errors: Syntax.
func ParseDomain(s string) (Domain, error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	s = strings.TrimSuffix(s, ".")
	if plain(s) {
		return Domain(s), nil
	}
	a, err := profile.ToASCII(s)
	if err == nil {
		a = strings.ToLower(a)
		if plain(a) {
			return Domain(a), nil
		}
	}
	return "", Errorf(Syntax, "%q is not a domain name", s)
}

// plain reports whether s is a canonical name already: letters, digits, hyphens and underscores,
// labels of 1 to 63 octets, 253 octets in all.
func plain(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	label := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
		case c == '-':
			if label == 0 || i+1 == len(s) || s[i+1] == '.' {
				return false
			}
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0
}

func parseLiteral(s string) (Domain, error) {
	inner, ok := strings.CutSuffix(s[1:], "]")
	if !ok {
		return "", Errorf(Syntax, "%q is not an address literal", s)
	}
	if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		a, err := netip.ParseAddr(inner[5:])
		if err != nil || !a.Is6() || a.Zone() != "" {
			return "", Errorf(Syntax, "%q is not an address literal", s)
		}
		return Domain("[IPv6:" + a.String() + "]"), nil
	}
	a, err := netip.ParseAddr(inner)
	if err != nil || !a.Is4() {
		return "", Errorf(Syntax, "%q is not an address literal", s)
	}
	return Domain("[" + a.String() + "]"), nil
}

// Literal returns the address of an address literal.
func (d Domain) Literal() (netip.Addr, bool) {
	s, ok := strings.CutPrefix(string(d), "[")
	if !ok {
		return netip.Addr{}, false
	}
	s = strings.TrimPrefix(strings.TrimSuffix(s, "]"), "IPv6:")
	a, err := netip.ParseAddr(s)
	return a, err == nil
}

// Unicode returns the name with its U-labels, for people.
func (d Domain) Unicode() string {
	u, err := idna.ToUnicode(string(d))
	if err != nil {
		return string(d)
	}
	return u
}

func (d Domain) String() string { return string(d) }

// Within reports whether d is parent or a name below it.
func (d Domain) Within(parent Domain) bool {
	return d == parent || strings.HasSuffix(string(d), "."+string(parent))
}

var _ fmt.Stringer = Domain("")
