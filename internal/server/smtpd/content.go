package smtpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/proto/smtp"
	"candor/internal/transit/queue"
)

// content is a message that is coming in. Only its header is held; the body goes into a blob of the
// queue. Once refusal is set the rest is read and dropped, so that the session stays in step.
type content struct {
	session *session
	ends    *smtp.LineEnds
	limit   int64
	octets  int64 // received
	header  []byte
	utf8    bool // the header holds more than ASCII
	inBody  bool
	refusal error

	message queue.Message
	blob    io.Writer
	store   func() error // finishes the blob
	abandon func()
	scanner *message.Scanner
	memory  reserved
}

// reserved is what a message has taken from Options.Memory, in octets.
type reserved struct {
	header, structure int64
	err               error // why there was none for its structure
}

// smallHeader is how many octets of header are held without asking Options.Memory. What judging a greater
// one takes is headerCopies times its limit.
const (
	smallHeader  = 16 << 10
	headerStep   = 4 << 10
	headerCopies = 3
	// headerEffort is what judging a great header costs, in octets that take as long to move, for each of its own.
	headerEffort = 8
)

// pieces is what content is read from: smtp.DataReader or smtp.ChunkReader.
type pieces interface{ Next() ([]byte, error) }

// errFlood ends a session whose peer goes on and on after the message was too big.
var errFlood = errors.New("smtpd: message goes on far beyond the limit")

// newContent begins a message. What comes from programs that log in is mended, what comes from
// other servers is taken as it is or not at all (specification, section 2.8).
func (s *session) newContent() *content {
	rule := smtp.RefuseBare
	if s.normalises() {
		rule = smtp.NormaliseBare
	}
	return &content{session: s, ends: smtp.NewLineEnds(rule), limit: s.server.Limits.MessageSize}
}

// normalises reports whether bare line ends are mended.
func (s *session) normalises() bool { return s.submission || s.server.NormaliseBare }

// receive reads all pieces of p into c, under the deadlines of content.
//
// Errors: those of the connection, and errFlood. What is wrong with the message waits in c.refusal.
func (c *content) receive(ctx context.Context, p pieces) error {
	conn := c.session.conn
	conn.SetReadTimeout(c.session.server.Limits.DataTimeout)
	conn.DemandRate()
	defer conn.EndRate()
	for {
		piece, err := p.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if c.octets += int64(len(piece)); c.octets > 2*c.limit {
			return errFlood
		}
		c.add(ctx, piece)
	}
}

// add takes the next octets of the message.
func (c *content) add(ctx context.Context, piece []byte) {
	if c.refusal == nil && c.octets > c.limit {
		c.refuse(c.session.tooBig())
	}
	switch {
	case c.refusal != nil:
	case c.inBody:
		c.write(piece)
	default:
		n := min(len(piece), headerStep)
		c.addHeader(ctx, piece[:n])
		if n < len(piece) {
			c.add(ctx, piece[n:])
		}
	}
}

var headerEnd = []byte("\r\n\r\n")

// addHeader collects the header and, once it is whole, opens the body.
func (c *content) addHeader(ctx context.Context, piece []byte) {
	if len(c.header)+len(piece) > smallHeader && !c.reserveHeader(ctx) {
		return
	}
	from := max(0, len(c.header)-len(headerEnd))
	c.header = append(c.header, piece...)
	end := -1
	switch i := bytes.Index(c.header[from:], headerEnd); {
	case bytes.HasPrefix(c.header, headerEnd[:2]):
		end = 2
	case i >= 0:
		end = from + i + len(headerEnd)
	}
	if max(end, 0) > c.session.server.Limits.Header || end < 0 && len(c.header) > c.session.server.Limits.Header {
		c.refuse(mail.Errorf(mail.TooBig, "Header is larger than %d octets", c.session.server.Limits.Header))
		return
	}
	if end >= 0 {
		c.openBody(ctx, end)
	}
}

// reserveHeader takes memory for a header of any size within the limit, and makes room for it. It
// returns false when there is none, and refuses the message.
func (c *content) reserveHeader(ctx context.Context) bool {
	if c.memory.header > 0 {
		return true
	}
	limit := c.session.server.Limits.Header
	n := headerCopies * int64(limit)
	if err := c.session.server.Memory.Take(ctx, n); err != nil {
		c.refuse(err)
		return false
	}
	c.memory.header = n
	c.header = append(make([]byte, 0, limit+headerStep), c.header...)
	return true
}

func (c *content) giveHeader() {
	c.header = nil
	c.session.server.Memory.Give(c.memory.header)
	c.memory.header = 0
}

// openBody judges the header, whose end is known, and begins the blob.
func (c *content) openBody(ctx context.Context, end int) {
	c.inBody = true
	header := message.Header(c.header[:end:end])
	if !beginsWithField(header) {
		// It is all body: a blank line keeps it apart from the trace fields that come on top.
		header, end = message.Header(headerEnd[:2:2]), 0
		if bytes.HasPrefix(c.header, headerEnd[:2]) {
			end = 2
		}
	}
	if c.memory.header > 0 {
		c.session.conn.Spend(ctx, headerEffort*end)
	}
	c.utf8 = !ascii(header)
	header, err := c.session.judgeHeader(ctx, header, &c.message.Arrival)
	if err == nil {
		err = c.openBlob(ctx)
	}
	if err != nil {
		c.refuse(err)
		return
	}
	rest := c.header[end:]
	c.write(header)
	c.write(rest)
	c.giveHeader()
}

func beginsWithField(h message.Header) bool {
	for f := range h.Fields() {
		return len(f.Name) > 0
	}
	return false
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

func (c *content) openBlob(ctx context.Context) error {
	blob, err := c.session.server.Queue.NewBody(ctx)
	if err != nil {
		return fmt.Errorf("beginning a message: %w", err)
	}
	c.blob, c.abandon = blob, blob.Discard
	c.store = func() (err error) {
		c.message.Blob, err = blob.Finish()
		return err
	}
	l := &c.session.server.Limits
	c.scanner = message.NewScanner(message.Limits{
		Header: l.Header, Depth: l.Depth, Parts: l.Parts, Reserve: func() bool { return c.reserveStructure(ctx) },
	})
	return nil
}

// reserveStructure takes memory for a structure of any size within the limits. While it holds some for a great
// header, it does not wait for more.
func (c *content) reserveStructure(ctx context.Context) bool {
	l := &c.session.server.Limits
	n := message.Limits{Header: l.Header, Depth: l.Depth, Parts: l.Parts}.MaxStructure()
	take := c.session.server.Memory.Take
	if c.memory.header > 0 {
		take = c.session.server.Memory.TakeNow
	}
	if c.memory.err = take(ctx, n); c.memory.err == nil {
		c.memory.structure = n
	}
	return c.memory.err == nil
}

// write adds octets to the finished message.
func (c *content) write(p []byte) {
	if c.refusal != nil || len(p) == 0 {
		return
	}
	c.message.BlobSize += int64(len(p))
	c.scanner.Write(p)
	if c.memory.err != nil {
		c.refuse(c.memory.err)
		return
	}
	if _, err := c.blob.Write(p); err != nil {
		c.refuse(fmt.Errorf("writing a message: %w", err))
	}
}

// refuse gives the message up for the first reason that is found.
func (c *content) refuse(err error) {
	if c.refusal == nil {
		c.refusal = err
	}
	c.discard()
}

// discard drops what was stored. It may be called again.
func (c *content) discard() {
	if c.abandon != nil {
		c.abandon()
	}
	c.scanner = nil
	c.giveHeader()
	c.session.server.Memory.Give(c.memory.structure)
	c.memory.structure = 0
}

// finish ends the message and stores it. After an error nothing is stored.
func (c *content) finish(ctx context.Context) error {
	c.add(ctx, c.ends.Finish())
	if c.refusal == nil && !c.inBody {
		c.openBody(ctx, len(c.header))
	}
	if c.ends.Bare() {
		c.session.server.counters.bareLineEnds.Add(1)
		if !c.session.normalises() {
			c.refuse(mail.Errorf(mail.Refused, "Bare CR or LF not allowed").With(5, 5, 2))
		}
	}
	if c.refusal != nil {
		return c.refusal
	}
	if c.memory.structure > 0 {
		c.session.conn.Spend(ctx, int(c.memory.structure))
	}
	c.message.Attributes = c.scanner.Finish()
	c.session.conn.Pause()
	if err := c.store(); err != nil {
		c.discard()
		return fmt.Errorf("storing a message: %w", err)
	}
	return nil
}
