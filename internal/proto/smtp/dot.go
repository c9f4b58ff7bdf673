package smtp

import (
	"bufio"
	"bytes"
)

// dotWriter writes message content as DATA wants it: a bare CR or LF becomes CRLF before dots are
// stuffed, so that no lone dot in the content can end it for a receiver with other ideas of a line
// end (RFC 5321, section 4.5.2; specification, TS-2.8).
type dotWriter struct {
	w   *bufio.Writer
	bol bool // at the beginning of a line
	cr  bool // the last octet was a CR, not yet written
	err error
}

func (d *dotWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && d.err == nil; {
		rest = d.step(rest)
	}
	if d.err != nil {
		return 0, d.err
	}
	return len(p), nil
}

// step writes a stretch of p that holds at most one line end, and returns what follows it.
func (d *dotWriter) step(p []byte) []byte {
	if d.cr {
		d.cr = false
		d.endLine()
		if p[0] == '\n' {
			return p[1:]
		}
		return p
	}
	if d.bol && p[0] == '.' {
		d.put(finalDot[:1])
	}
	end := bytes.IndexByte(p, '\n')
	line := p
	if end >= 0 {
		line = p[:end]
	}
	if i := bytes.IndexByte(line, '\r'); i >= 0 {
		d.text(line[:i])
		d.cr = true
		return p[i+1:]
	}
	d.text(line)
	if end < 0 {
		return nil
	}
	d.endLine()
	return p[end+1:]
}

var (
	finalDot = []byte(".\r\n")
	newline  = finalDot[1:]
)

func (d *dotWriter) text(p []byte) {
	if len(p) > 0 {
		d.put(p)
		d.bol = false
	}
}

func (d *dotWriter) endLine() {
	d.put(newline)
	d.bol = true
}

func (d *dotWriter) put(p []byte) {
	if d.err == nil {
		_, d.err = d.w.Write(p)
	}
}

// close ends an open line and writes the final dot.
func (d *dotWriter) close() error {
	if d.cr || !d.bol {
		d.cr = false
		d.endLine()
	}
	d.put(finalDot)
	return d.err
}
