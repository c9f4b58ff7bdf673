package smtp

import "bytes"

// LineEndRule says what becomes of CR and LF that do not stand together in a message.
type LineEndRule uint8

// The rules.
const (
	// RefuseBare finds bare LF, and bare CR beside a lone dot: what some servers take for the end of
	// DATA, and others, such as this one, do not. The content passes unchanged.
	RefuseBare LineEndRule = iota
	// NormaliseBare makes each bare LF, and each run of CR before LF, and each bare CR, a CRLF. Of a
	// run that is longer than maxRun, each further CR is bare.
	NormaliseBare
)

// maxRun is how many CR wait for an LF behind them.
const maxRun = 1024

// LineEnds applies a LineEndRule to one message, in whatever pieces it comes.
type LineEnds struct {
	rule LineEndRule
	bare bool
	todo []byte // of the piece under way

	// RefuseBare looks at lines as a lax server would: ended by CR, LF or CRLF.
	line   looseLine
	opened bool // by a bare CR
	cr     bool // the last octet was CR

	crs int // NormaliseBare: CRs that wait for what follows
}

type looseLine uint8

const (
	lineEmpty looseLine = iota
	lineDot
	lineOther
)

var crlf = []byte("\r\n")

// NewLineEnds returns a LineEnds for one message.
func NewLineEnds(rule LineEndRule) *LineEnds { return &LineEnds{rule: rule} }

// Bare reports whether anything was found so far.
func (e *LineEnds) Bare() bool { return e.bare }

// Finish ends the message and returns what is still to be added to its content.
func (e *LineEnds) Finish() []byte {
	if e.rule == NormaliseBare {
		rest := bytes.Repeat(crlf, e.crs)
		e.crs = 0
		return rest
	}
	if e.line == lineDot && (e.cr || e.opened) {
		e.bare = true
	}
	return nil
}

// push gives the next piece of content; pull takes out what has become of it, until it returns nil.
func (e *LineEnds) push(p []byte) {
	e.todo = p
	if e.rule == RefuseBare && !e.bare {
		e.check(p)
	}
}

func (e *LineEnds) pull() []byte {
	if e.rule == RefuseBare {
		chunk := e.todo
		e.todo = nil
		return chunk
	}
	for len(e.todo) > 0 {
		chunk, n := e.normalise(e.todo)
		e.todo = e.todo[n:]
		if len(chunk) > 0 {
			return chunk
		}
	}
	return nil
}

// normalise returns the next octets that p becomes and how many of p they stand for.
func (e *LineEnds) normalise(p []byte) (chunk []byte, n int) {
	if e.crs > 0 {
		switch p[0] {
		case '\n':
			e.bare = e.bare || e.crs > 1
			e.crs = 0
			return crlf, 1
		case '\r':
			if e.crs == maxRun {
				e.bare = true
				return crlf, 1
			}
			e.crs++
			return nil, 1
		}
		e.bare = true
		e.crs--
		return crlf, 0
	}
	if n := cleanPrefix(p); n > 0 {
		return p[:n], n
	}
	if p[0] == '\r' {
		e.crs = 1
		return nil, 1
	}
	e.bare = true
	return crlf, 1
}

// cleanPrefix returns the length of the longest beginning of p in which CR and LF stand only together.
func cleanPrefix(p []byte) int {
	for pos := 0; ; {
		i := bytes.IndexByte(p[pos:], '\n')
		text := p[pos:]
		if i >= 0 {
			text = p[pos : pos+i]
		}
		paired := i > 0 && text[i-1] == '\r'
		if paired {
			text = text[:i-1]
		}
		if j := bytes.IndexByte(text, '\r'); j >= 0 {
			return pos + j
		}
		if !paired {
			return pos + len(text)
		}
		pos += i + 1
	}
}

// check looks for what RefuseBare refuses.
func (e *LineEnds) check(p []byte) {
	for len(p) > 0 && !e.bare {
		if !e.cr && !e.opened {
			n := cleanPrefix(p)
			e.skip(p[:n])
			p = p[n:]
		}
		for len(p) > 0 && !e.bare {
			e.octet(p[0])
			p = p[1:]
			if !e.cr && !e.opened {
				break
			}
		}
	}
}

// skip notes which loose line a clean piece leaves open.
func (e *LineEnds) skip(p []byte) {
	if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
		e.line = lineEmpty
		p = p[i+1:]
	}
	switch {
	case len(p) == 0:
	case e.line == lineEmpty && len(p) == 1 && p[0] == '.':
		e.line = lineDot
	default:
		e.line = lineOther
	}
}

func (e *LineEnds) octet(c byte) {
	if e.cr {
		e.cr = false
		if c == '\n' {
			e.end(false)
			return
		}
		e.end(true)
	}
	switch {
	case c == '\r':
		e.cr = true
	case c == '\n':
		e.bare = true
	case c == '.' && e.line == lineEmpty:
		e.line = lineDot
	default:
		e.line = lineOther
	}
}

// end closes a loose line; bareCR says that a CR alone did it.
func (e *LineEnds) end(bareCR bool) {
	if e.line == lineDot && (bareCR || e.opened) {
		e.bare = true
	}
	e.line = lineEmpty
	e.opened = bareCR
}
