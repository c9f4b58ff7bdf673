package imap

import "strconv"

// Page is the range of PARTIAL (RFC 9394): results by their place, from 1, in any order of the two. With
// Last they are counted from the last result.
type Page struct {
	From, To uint32
	Last     bool
}

// page reads the range of PARTIAL with the space before it.
func (l *lexer) page() *Page {
	l.space()
	p := &Page{Last: l.accept('-')}
	p.From = l.nzNumber()
	l.expect(':')
	if p.Last {
		l.expect('-')
	}
	p.To = l.nzNumber()
	return p
}

// Append appends the range as the client wrote it.
func (p *Page) Append(dst []byte) []byte {
	if p.Last {
		dst = append(dst, '-')
	}
	dst = append(strconv.AppendUint(dst, uint64(p.From), 10), ':')
	if p.Last {
		dst = append(dst, '-')
	}
	return strconv.AppendUint(dst, uint64(p.To), 10)
}

// Of returns the part of a list of n results that the page has: from first up to, not including, end.
func (p *Page) Of(n int) (first, end int) {
	from, to := int(min(p.From, p.To)), int(max(p.From, p.To))
	if p.Last {
		from, to = n+1-to, n+1-from
	}
	first, end = max(from-1, 0), min(to, n)
	return min(first, n), max(end, min(first, n))
}
