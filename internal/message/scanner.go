package message

import (
	"bytes"
)

// Limits bounds what a Scanner keeps (specification, section 2.10). Zero means the default.
type Limits struct {
	Header int // octets of each header that are looked at; 256 KiB. Kept in all: four times that, and 65,536 entries of address lists
	Depth  int // of MIME nesting; 100
	Parts  int // in all; 10,000. Deeper or more: kept, but shown as one part

	// Reserve is asked once, before what is kept grows beyond what ordinary messages need (SmallStructure),
	// whether there is memory for MaxStructure octets. If not, the structure ends there; who writes
	// to the Scanner knows then that its result does not count. Nil: there always is.
	Reserve func() bool
}

// SmallStructure is how many octets a Scanner keeps without Limits.Reserve, roughly.
const SmallStructure = 64 << 10

// MaxStructure is how many octets a Scanner within the limits keeps at most, roughly.
func (l Limits) MaxStructure() int64 {
	l = l.withDefaults()
	return int64(l.Header) + 2*int64(textBudget(l)) + int64(l.Parts)*partCost + maxEntries*entryCost
}

func textBudget(l Limits) int { return 4 * l.Header }

const (
	// partCost and entryCost are what a part and an entry of an address list take, with room to spare
	// for the lists that they are in.
	partCost  = 640
	entryCost = 64

	maxEntries = 64 << 10
)

func (l Limits) withDefaults() Limits {
	if l.Header <= 0 {
		l.Header = defaultHeader
	}
	if l.Depth <= 0 {
		l.Depth = defaultDepth
	}
	if l.Parts <= 0 {
		l.Parts = defaultParts
	}
	return l
}

const (
	defaultHeader = 256 << 10
	defaultDepth  = 100
	defaultParts  = 10_000

	// maxBoundary is how many octets of a boundary are compared; RFC 2046, section 5.1.1 allows 70.
	maxBoundary = 200
	// maxStart is as much of a line as it takes to recognise any delimiter.
	maxStart = len("--") + maxBoundary + len("--\r\n")
)

// Scanner computes Attributes while a message streams through it. Write never fails and keeps no
// body. Finish may be called once.
//
// The result does not depend on how the message is cut into writes. Delimiters are found as RFC 2046,
// section 5.1.1 says: a line that begins with the boundary, whatever follows; of several that
// match, the one that fits the whole line, else the longest.
type Scanner struct {
	limits  Limits
	budget  int // octets of field text that may still be kept
	entries int // of address lists, likewise
	parts   int
	asked   bool // Limits.Reserve was asked
	full    bool // it had nothing

	state  scanState
	inLine bool // the beginning of the current line was judged; its end was not seen
	offset int64
	lines  int64  // line feeds before offset
	eol    int64  // octets of the last line end: 1 or 2
	last   byte   // the octet before offset
	start  []byte // the beginning of a line that was cut by the end of a write

	header []byte // of the part that is open on top
	text   []byte // scratch: unfolded values
	found  []foundField

	open   []openPart // the root first
	active int        // boundaries that are open
	env    Envelope   // of the root
}

type scanState uint8

const (
	inHeader scanState = iota
	inBody
	inDelimiter // on the rest of a delimiter line, after which a part begins
)

// openPart is a part whose end was not met yet.
type openPart struct {
	part       Part
	boundary   string // of a multipart while its parts are awaited
	digest     bool   // RFC 2046, section 5.1.5: parts default to message/rfc822
	message    bool   // the root of a message: its header has an envelope
	bodyLines  int64  // line feeds before the body
	hasHeader  bool   // the header was read to its end
	defaultMsg bool   // no Content-Type means message/rfc822
}

// NewScanner returns a Scanner.
func NewScanner(l Limits) *Scanner {
	l = l.withDefaults()
	s := &Scanner{limits: l, budget: textBudget(l), entries: maxEntries}
	s.push(openPart{message: true})
	return s
}

func (s *Scanner) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if s.inLine {
			p = s.restOfLine(p)
		} else {
			p = s.startOfLine(p)
		}
	}
	return n, nil
}

// Finish returns the attributes of all that was written.
func (s *Scanner) Finish() *Attributes {
	if len(s.start) > 0 {
		s.judge(s.start)
	}
	if s.state == inDelimiter {
		s.beginPart()
	}
	s.closeDownTo(0, s.offset, s.lines)
	root := s.close(s.offset, s.lines)
	return &Attributes{Envelope: s.env, Root: root, Size: s.offset}
}

// startOfLine judges the line that begins with s.start and p as soon as enough of it is there, and
// returns what it has not consumed.
func (s *Scanner) startOfLine(p []byte) []byte {
	if len(s.start) == 0 {
		if n := startLength(p); n > 0 {
			s.judge(p[:n])
			return p[n:]
		}
	}
	for i, c := range p {
		s.start = append(s.start, c)
		if startLength(s.start) > 0 {
			s.judge(s.start)
			s.start = s.start[:0]
			return p[i+1:]
		}
	}
	return nil
}

// startLength returns how many octets at the start of a line are enough to judge it; 0 means that
// more are needed than b has.
func startLength(b []byte) int {
	switch {
	case b[0] == '\r':
		if len(b) < 2 {
			return 0
		}
		return 2
	case b[0] != '-':
		return 1
	case len(b) < 2:
		return 0
	case b[1] != '-':
		return 2
	}
	if len(b) > maxStart {
		b = b[:maxStart]
	}
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	if len(b) == maxStart {
		return maxStart
	}
	return 0
}

// judge decides what the line that begins with start is, and consumes start.
func (s *Scanner) judge(start []byte) {
	if s.state == inHeader && (start[0] == '\n' || string(start) == "\r\n") {
		s.consume(start)
		s.endHeader(s.offset, s.lines)
		return
	}
	if s.active > 0 && len(start) > 2 && start[0] == '-' && start[1] == '-' {
		if i, final := s.delimiter(start[2:]); i >= 0 && (final || s.mayGrow()) {
			s.delimit(i, final)
			s.consume(start)
			if s.state == inDelimiter && !s.inLine {
				s.beginPart()
			}
			return
		}
	}
	if s.state == inHeader {
		s.keep(start)
	}
	s.consume(start)
}

// consume moves past b, in which only the last octet may be a line feed.
func (s *Scanner) consume(b []byte) {
	s.offset += int64(len(b))
	s.endBlock(b)
	if !s.inLine {
		s.lines++
	}
}

// endBlock notes whether and how the last line of b ends, for the delimiter that may come next.
func (s *Scanner) endBlock(b []byte) {
	before := s.last
	if len(b) > 1 {
		before = b[len(b)-2]
	}
	s.last = b[len(b)-1]
	s.inLine = s.last != '\n'
	s.eol = 1
	if before == '\r' {
		s.eol = 2
	}
}

// restOfLine consumes the rest of a line that was judged, and in a body all lines after it that
// can be no delimiters. It returns what it has not consumed.
func (s *Scanner) restOfLine(p []byte) []byte {
	if s.state == inBody {
		return s.body(p)
	}
	n := bytes.IndexByte(p, '\n') + 1
	if n == 0 {
		n = len(p)
	}
	if s.state == inHeader {
		s.keep(p[:n])
	}
	s.consume(p[:n])
	if s.state == inDelimiter && !s.inLine {
		s.beginPart()
	}
	return p[n:]
}

var (
	lineFeed       = []byte("\n")
	delimiterStart = []byte("\n--")
)

// body consumes octets of a body up to the start of a line that may be a delimiter.
func (s *Scanner) body(p []byte) []byte {
	n := len(p)
	if s.active > 0 {
		if i := bytes.Index(p, delimiterStart); i >= 0 {
			n = i + 1
		} else if n > 1 && p[n-1] == '-' && p[n-2] == '\n' {
			n--
		}
	}
	s.offset += int64(n)
	s.lines += int64(bytes.Count(p[:n], lineFeed))
	s.endBlock(p[:n])
	return p[n:]
}

// keep adds to the header of the part on top as much as the limit allows.
func (s *Scanner) keep(b []byte) {
	if !s.hasRoom(len(s.header) + len(b)) {
		return
	}
	if room := s.limits.Header - len(s.header); len(b) > room {
		b = b[:room]
	}
	s.header = append(s.header, b...)
}

// hasRoom reports whether what is kept may grow by n octets.
func (s *Scanner) hasRoom(n int) bool {
	kept := textBudget(s.limits) - s.budget + (maxEntries-s.entries)*entryCost + s.parts*partCost
	if kept+n <= SmallStructure || s.limits.Reserve == nil {
		return true
	}
	if !s.asked {
		s.asked, s.full = true, !s.limits.Reserve()
	}
	return !s.full
}

// mayGrow reports whether there may be one more part.
func (s *Scanner) mayGrow() bool { return s.parts < s.limits.Parts && s.hasRoom(partCost) }

// delimiter finds the open multipart that a line belongs to that begins with "--" and then line:
// -1 when there is none. final tells the delimiter that ends it.
func (s *Scanner) delimiter(line []byte) (index int, final bool) {
	whole := bytes.TrimRight(line, " \t\r\n")
	best := -1
	for i := len(s.open) - 1; i >= 0; i-- {
		b := s.open[i].boundary
		if b == "" || len(b) > len(line) || string(line[:len(b)]) != b {
			continue
		}
		if rest := line[len(b):]; len(whole) <= len(b) || len(whole) == len(b)+2 && string(rest[:2]) == "--" {
			best = i
			break
		}
		if best < 0 || len(b) > len(s.open[best].boundary) {
			best = i
		}
	}
	if best < 0 {
		return -1, false
	}
	return best, bytes.HasPrefix(line[len(s.open[best].boundary):], []byte("--"))
}

// delimit ends the parts of the multipart at index at the delimiter line that begins at s.offset.
// The line end before a delimiter belongs to it (RFC 2046, section 5.1.1), unless it is the
// header's: then nothing is taken away, so that a part always lies within the one around it.
func (s *Scanner) delimit(index int, final bool) {
	end, lines := s.offset, s.lines
	if top := &s.open[len(s.open)-1]; s.state == inBody && end-s.eol >= top.part.BodyOffset {
		end, lines = end-s.eol, lines-1
	}
	s.closeDownTo(index, end, lines)
	if !final {
		s.state = inDelimiter
		return
	}
	s.state = inBody
	s.open[index].boundary = ""
	s.active--
}

// beginPart begins a part of the multipart on top.
func (s *Scanner) beginPart() {
	s.push(openPart{defaultMsg: s.open[len(s.open)-1].digest})
}

// push opens a part whose header begins at s.offset.
func (s *Scanner) push(o openPart) {
	o.part.HeaderOffset = s.offset
	s.open = append(s.open, o)
	s.parts++
	s.header = s.header[:0]
	s.state = inHeader
}

// endHeader reads the header of the part on top, whose body begins at offset, and decides whether
// other parts lie within it.
func (s *Scanner) endHeader(offset, lines int64) {
	top := &s.open[len(s.open)-1]
	top.hasHeader = true
	top.bodyLines = lines
	top.part.BodyOffset = offset
	s.describe(top)
	s.state = inBody
	inside := len(s.open) < s.limits.Depth && s.mayGrow()
	switch p := &top.part; {
	case p.Type == "MULTIPART" && top.boundary == "":
		p.Type, p.Subtype, p.Params = "TEXT", "PLAIN", nil
	case (p.Type == "MULTIPART" || p.isMessage()) && !inside:
		p.Type, p.Subtype, p.Params, top.boundary = "APPLICATION", "OCTET-STREAM", nil, ""
	case p.Type == "MULTIPART":
		s.active++
	case p.isMessage():
		s.push(openPart{message: true})
		return
	}
	if top.part.Type != "MULTIPART" {
		top.boundary = ""
	}
	if top.part.Type == "TEXT" {
		top.part.defaultCharset()
	}
}

// defaultCharset fills in the charset of RFC 2046, section 4.1.2.
func (p *Part) defaultCharset() {
	if _, ok := p.Param("charset"); !ok {
		p.Params = append(p.Params, Param{"charset", "us-ascii"})
	}
}

// closeDownTo closes all parts above index. Their bodies end at end, with lines line feeds before.
func (s *Scanner) closeDownTo(index int, end, lines int64) {
	for !s.open[len(s.open)-1].hasHeader {
		s.endHeader(end, lines)
	}
	for len(s.open)-1 > index {
		p := s.close(end, lines)
		parent := &s.open[len(s.open)-1].part
		parent.Children = append(parent.Children, p)
	}
}

// close takes the part on top off and completes it.
func (s *Scanner) close(end, lines int64) Part {
	top := &s.open[len(s.open)-1]
	p := top.part
	p.BodySize = max(0, end-p.BodyOffset)
	if p.Type == "TEXT" || p.isMessage() {
		p.Lines = max(0, lines-top.bodyLines)
	}
	if p.Type == "MULTIPART" && len(p.Children) == 0 {
		p.Children = []Part{emptyPart(end)}
	}
	if top.boundary != "" {
		s.active--
	}
	s.open = s.open[:len(s.open)-1]
	return p
}

// emptyPart stands for the parts of a multipart that has none, which the grammar of RFC 9051 does not allow.
func emptyPart(at int64) Part {
	p := Part{Type: "TEXT", Subtype: "PLAIN", Encoding: "7BIT", HeaderOffset: at, BodyOffset: at}
	p.defaultCharset()
	return p
}
