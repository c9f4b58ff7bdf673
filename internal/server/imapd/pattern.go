package imapd

import "math/bits"

// pattern is a pattern of LIST: "*" stands for anything, "%" for anything without a separator.
type pattern struct {
	text     string // without wildcards that another one makes superfluous
	literals int    // octets that stand for themselves
}

func newPattern(text string) pattern {
	p := pattern{}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c, last := text[i], len(b)-1
		switch {
		case c != '*' && c != '%':
			p.literals++
			b = append(b, c)
		case last >= 0 && b[last] == '*', last >= 0 && b[last] == '%' && c == '%':
		case last >= 0 && b[last] == '%':
			b[last] = '*'
		default:
			b = append(b, c)
		}
	}
	p.text = string(b)
	return p
}

// matcher matches patterns against names. It holds memory from one name to the next.
type matcher struct {
	name  string
	words int
	// reach has bit i when what was seen of the pattern matches name[:i].
	reach []uint64
	// places has, of the octets that were asked for, bit i where name[i] is that octet.
	places [256][]uint64
	asked  []byte
}

// use makes name the one that is matched.
func (m *matcher) use(name string) {
	m.name, m.words = name, len(name)/64+1
	if cap(m.reach) < m.words {
		m.reach = make([]uint64, m.words)
	}
	for _, c := range m.asked {
		m.places[c] = m.places[c][:0]
	}
	m.asked = m.asked[:0]
}

// matches reports whether the name matches p. It takes at most a 64th of the product of both lengths in steps, so
// that no pattern keeps the server busy.
func (m *matcher) matches(p pattern) bool {
	if p.literals > len(m.name) {
		return false
	}
	m.reach = m.reach[:m.words]
	clear(m.reach)
	m.reach[0] = 1
	for i := 0; i < len(p.text); i++ {
		some := false
		switch c := p.text[i]; c {
		case '*':
			some = m.anything()
		case '%':
			some = m.component()
		default:
			some = m.literal(c)
		}
		if !some {
			return false
		}
	}
	return m.reach[len(m.name)/64]>>(len(m.name)%64)&1 == 1
}

// literal takes one octet. It reports whether any place is reached.
func (m *matcher) literal(c byte) bool {
	var carry, any uint64
	for w, here := range m.where(c) {
		here &= m.reach[w]
		m.reach[w], carry = here<<1|carry, here>>63
		any |= m.reach[w]
	}
	return any != 0
}

// anything reaches every place from the first that is reached.
func (m *matcher) anything() bool {
	found := false
	for w := range m.reach {
		switch {
		case found:
			m.reach[w] = ^uint64(0)
		case m.reach[w] != 0:
			m.reach[w] |= -m.reach[w]
			found = true
		}
	}
	m.reach[m.words-1] &= 2<<(len(m.name)%64) - 1
	return found
}

// component reaches from each place that is reached all up to the next separator. The sum runs through
// the ones of a component from the first that is reached and ends at the zero of the separator.
func (m *matcher) component() bool {
	var carry, any uint64
	for w, separators := range m.where('/') {
		within := ^separators
		if w == m.words-1 {
			within &= 1<<(len(m.name)%64) - 1
		}
		var sum uint64
		sum, carry = bits.Add64(within, m.reach[w]&within, carry)
		m.reach[w] |= sum ^ within
		any |= m.reach[w]
	}
	return any != 0
}

// where returns the places of an octet.
func (m *matcher) where(c byte) []uint64 {
	if len(m.places[c]) > 0 {
		return m.places[c]
	}
	if cap(m.places[c]) < m.words {
		m.places[c] = make([]uint64, m.words)
	}
	places := m.places[c][:m.words]
	clear(places)
	for i := 0; i < len(m.name); i++ {
		if m.name[i] == c {
			places[i/64] |= 1 << (i % 64)
		}
	}
	m.places[c], m.asked = places, append(m.asked, c)
	return places
}
