package message

import "strings"

// Claim is what the Received field of an earlier hop says of how the message got there. Whoever had the
// message before us may have written it: it proves nothing.
type Claim struct {
	By   string `json:"by,omitempty"`   // the host that took it
	With string `json:"with,omitempty"` // protocol, such as ESMTPS (RFC 3848)
	TLS  string `json:"tls,omitempty"`  // suite of the tls clause (RFC 8314, section 4.3)
}

// maxClaimed bounds one word of a claim, and maxTrace the octets of a field that are read; both in octets.
const (
	maxClaimed = 100
	maxTrace   = 2 << 10
)

// Claims returns what the Received fields of a header say, the nearest hop first, and how many more than limit
// there are. Odd octets become "?".
func (h Header) Claims(limit int) (claims []Claim, more int) {
	for f := range h.Fields() {
		switch {
		case !f.Is("Received"):
		case len(claims) == limit:
			more++
		default:
			claims = append(claims, claim(f.value()))
		}
	}
	return claims, more
}

// claim reads the clauses of a Received field (RFC 5321, section 4.4): a word, then its value.
func claim(v []byte) (c Claim) {
	words := traceWords{v[:min(len(v), maxTrace)]}
	for {
		name, ok := words.next()
		if !ok {
			return c
		}
		var to *string
		switch strings.ToLower(name) {
		case "by":
			to = &c.By
		case "with":
			to = &c.With
		case "tls":
			to = &c.TLS
		case "from", "via", "id", "for", "group":
		default:
			continue
		}
		value, ok := words.next()
		if !ok {
			return c
		}
		if to != nil && *to == "" {
			*to = printable(value, maxClaimed)
		}
	}
}

// traceWords yields the words before the date, without comments.
type traceWords struct{ rest []byte }

func (w *traceWords) next() (string, bool) {
	start, depth := -1, 0
	for i := 0; i < len(w.rest); i++ {
		switch c := w.rest[i]; {
		case depth > 0:
			switch c {
			case '\\':
				i++
			case '(':
				depth++
			case ')':
				depth--
			}
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '(' || c == ';':
			if start >= 0 {
				word := string(w.rest[start:i])
				w.rest = w.rest[i:]
				return word, true
			}
			if c == ';' {
				w.rest = nil
				return "", false
			}
			if c == '(' {
				depth = 1
			}
		case start < 0:
			start = i
		}
	}
	rest := w.rest
	w.rest = nil
	if start < 0 {
		return "", false
	}
	return string(rest[start:]), true
}
