package mailfile

import (
	"bytes"
	"io"
)

// quoter puts a ">" before lines that are "From " after any number of ">" (mboxrd).
type quoter struct {
	w       io.Writer
	midLine bool
	held    []byte // of a line's beginning that may have to be quoted
}

// Write implements io.Writer.
func (q *quoter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if !q.midLine {
			q.held = append(q.held, p[0])
			p = p[1:]
			if err := q.decide(); err != nil {
				return 0, err
			}
			continue
		}
		end := bytes.IndexByte(p, '\n') + 1
		if q.midLine = end == 0; q.midLine {
			end = len(p)
		}
		if _, err := q.w.Write(p[:end]); err != nil {
			return 0, err
		}
		p = p[end:]
	}
	return n, nil
}

// decide gives out what is held once it is known whether it has to be quoted.
func (q *quoter) decide() error {
	rest := bytes.TrimLeft(q.held, ">")
	switch {
	case bytes.Equal(rest, from):
		q.held = append([]byte(">"), q.held...)
	case bytes.HasPrefix(from, rest) && len(q.held) < filterBuffer/2:
		return nil
	}
	return q.put()
}

func (q *quoter) put() error {
	q.midLine = len(q.held) > 0 && q.held[len(q.held)-1] != '\n'
	_, err := q.w.Write(q.held)
	q.held = q.held[:0]
	return err
}

// Close gives out what is held.
func (q *quoter) Close() error {
	if len(q.held) == 0 {
		return nil
	}
	return q.put()
}
